-- What support does and what usage comes to. Applied before the new program is started.

-- Who did what from where; merchant 0 stands for what concerns the operator as a whole.
CREATE TABLE audit_log (
    merchant_id INTEGER NOT NULL,
    at INTEGER NOT NULL,
    entry_id INTEGER NOT NULL,
    person TEXT NOT NULL,
    key_id INTEGER,
    address TEXT,
    action TEXT NOT NULL,
    subject TEXT,
    detail TEXT NOT NULL,
    PRIMARY KEY (merchant_id, at, entry_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX audit_log_at ON audit_log (at, entry_id);

-- Moves above the operator's limit, which wait for a second person. State 1 is pending, 2 approved, 3 rejected.
CREATE TABLE approval (
    merchant_id INTEGER NOT NULL REFERENCES merchant (merchant_id),
    number INTEGER NOT NULL,
    kind INTEGER NOT NULL CHECK (kind IN (1, 9, 10)),
    amount INTEGER NOT NULL CHECK (amount > 0),
    reference TEXT NOT NULL,
    note TEXT,
    idempotency_key TEXT NOT NULL,
    content BLOB NOT NULL CHECK (length(content) = 8),
    requested_by TEXT NOT NULL,
    requested_at INTEGER NOT NULL,
    state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 3),
    decided_by TEXT,
    decided_at INTEGER,
    transfer_seq INTEGER,
    PRIMARY KEY (merchant_id, number),
    UNIQUE (merchant_id, idempotency_key),
    CHECK ((state = 1) = (decided_by IS NULL)),
    CHECK ((state = 1) = (decided_at IS NULL)),
    CHECK ((state = 2) = (transfer_seq IS NOT NULL)),
    CHECK (state <> 2 OR decided_by <> requested_by)
) STRICT, WITHOUT ROWID;

CREATE INDEX approval_number ON approval (number);

-- Usage by quarter of an hour since 1970, summed up from the book up to the transfer that usage_mark names. A quarter,
-- because every time zone's offset is a whole number of them.
CREATE TABLE usage_quarter (
    merchant_id INTEGER NOT NULL,
    quarter INTEGER NOT NULL,
    request_type TEXT NOT NULL,
    requests INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    refunded INTEGER NOT NULL,
    PRIMARY KEY (merchant_id, quarter, request_type)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage_mark (
    merchant_id INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL
) STRICT;
