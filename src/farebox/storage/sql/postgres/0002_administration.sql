-- What support does and what usage comes to. Applied before the new program is started.

-- Who did what from where; merchant 0 stands for what concerns the operator as a whole.
CREATE TABLE audit_log (
    merchant_id BIGINT NOT NULL,
    at BIGINT NOT NULL,
    entry_id BIGINT NOT NULL,
    key_id BIGINT,
    person TEXT NOT NULL,
    address TEXT,
    action TEXT NOT NULL,
    subject TEXT,
    detail TEXT NOT NULL,
    PRIMARY KEY (merchant_id, at, entry_id)
);

CREATE INDEX audit_log_at ON audit_log (at, entry_id);

-- Moves above the operator's limit, which wait for a second person. State 1 is pending, 2 approved, 3 rejected.
CREATE TABLE approval (
    merchant_id BIGINT NOT NULL REFERENCES merchant (merchant_id),
    number BIGINT NOT NULL,
    amount BIGINT NOT NULL CHECK (amount > 0),
    requested_at BIGINT NOT NULL,
    decided_at BIGINT,
    transfer_seq BIGINT,
    kind SMALLINT NOT NULL CHECK (kind IN (1, 9, 10)),
    state SMALLINT NOT NULL CHECK (state BETWEEN 1 AND 3),
    idempotency_key TEXT COLLATE "C" NOT NULL,
    content BYTEA NOT NULL CHECK (length(content) = 8),
    reference TEXT NOT NULL,
    note TEXT,
    requested_by TEXT COLLATE "C" NOT NULL,
    decided_by TEXT COLLATE "C",
    PRIMARY KEY (merchant_id, number),
    UNIQUE (merchant_id, idempotency_key),
    CHECK ((state = 1) = (decided_by IS NULL)),
    CHECK ((state = 1) = (decided_at IS NULL)),
    CHECK ((state = 2) = (transfer_seq IS NOT NULL)),
    CHECK (state <> 2 OR decided_by <> requested_by)
);

CREATE INDEX approval_number ON approval (number);

-- Usage by quarter of an hour since 1970, summed up from the book up to the transfer that usage_mark names. A quarter,
-- because every time zone's offset is a whole number of them.
CREATE TABLE usage_quarter (
    merchant_id BIGINT NOT NULL,
    quarter BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    cost BIGINT NOT NULL,
    refunded BIGINT NOT NULL,
    request_type TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (merchant_id, quarter, request_type)
);

CREATE TABLE usage_mark (
    merchant_id BIGINT PRIMARY KEY,
    seq BIGINT NOT NULL
);
