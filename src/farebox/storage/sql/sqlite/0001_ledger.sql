-- The ledger, its keys and prices, and the alert outbox. Applied before the new program is started.
-- Amounts are micros, times microseconds since 1970. Every table of the hot path is keyed by merchant first.

CREATE TABLE merchant (
    merchant_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    created_at INTEGER NOT NULL
) STRICT;

-- One closed book per merchant: balances are credits less debits, so they sum to zero.
CREATE TABLE account (
    merchant_id INTEGER PRIMARY KEY REFERENCES merchant (merchant_id),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    wallet INTEGER NOT NULL,
    held INTEGER NOT NULL CHECK (held >= 0),
    revenue INTEGER NOT NULL CHECK (revenue >= 0),
    funding INTEGER NOT NULL CHECK (funding <= 0),
    adjustments INTEGER NOT NULL,
    credit_limit INTEGER NOT NULL CHECK (credit_limit >= 0),
    is_frozen INTEGER NOT NULL CHECK (is_frozen IN (0, 1)),
    seq INTEGER NOT NULL CHECK (seq >= 0),
    last_hash BLOB NOT NULL CHECK (length(last_hash) = 32),
    last_at INTEGER NOT NULL,
    alerts_count INTEGER NOT NULL CHECK (alerts_count >= 0),
    thresholds TEXT NOT NULL CHECK (json_valid(thresholds) AND json_array_length(thresholds) <= 5),
    CHECK (wallet + held + revenue + funding + adjustments = 0),
    CHECK (wallet + credit_limit >= 0)
) STRICT;

-- Append-only, in commit order. The two indexes are what a charge needs, and no more.
CREATE TABLE transfer (
    merchant_id INTEGER NOT NULL,
    seq INTEGER NOT NULL CHECK (seq > 0),
    kind INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 10),
    amount INTEGER NOT NULL CHECK (amount > 0),
    idempotency_key TEXT NOT NULL CHECK (length(idempotency_key) > 0),
    content BLOB NOT NULL CHECK (length(content) = 8),
    wallet_after INTEGER NOT NULL,
    held_after INTEGER NOT NULL CHECK (held_after >= 0),
    committed_at INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    request_type TEXT,
    quantity INTEGER CHECK (quantity > 0),
    unit_price INTEGER CHECK (unit_price > 0 AND amount = unit_price * quantity),
    price_id INTEGER,
    refers_to INTEGER CHECK (refers_to > 0 AND refers_to < seq),
    reference TEXT,
    note TEXT,
    UNIQUE (merchant_id, seq),
    -- The key goes first: keys ordered by time, as Farebox's own clients make them, then fall on one page for all merchants,
    -- and a batch of charges to many merchants has that many pages less to write.
    UNIQUE (idempotency_key, merchant_id)
) STRICT;

-- Refunds, reversals and the ends of holds: what refers to a transfer.
CREATE INDEX transfer_refers_to ON transfer (merchant_id, refers_to) WHERE refers_to IS NOT NULL;

-- What came in from outside: top-ups, reversals and adjustments, for the burn between two moments.
CREATE INDEX transfer_funding ON transfer (merchant_id, seq) WHERE kind IN (1, 2, 9, 10);

CREATE TABLE hold (
    merchant_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    amount INTEGER NOT NULL CHECK (amount > 0),
    expires_at INTEGER NOT NULL,
    state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 4),
    captured INTEGER NOT NULL CHECK (captured BETWEEN 0 AND amount),
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    request_type TEXT NOT NULL,
    PRIMARY KEY (merchant_id, seq),
    CHECK ((state = 2) = (captured > 0))
) STRICT, WITHOUT ROWID;

CREATE INDEX hold_due ON hold (expires_at) WHERE state = 1;

CREATE TABLE default_price (
    price_id INTEGER PRIMARY KEY,
    request_type TEXT NOT NULL,
    unit_price INTEGER CHECK (unit_price > 0),
    starts_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX default_price_in_force ON default_price (request_type, starts_at, price_id);

CREATE TABLE merchant_price (
    merchant_id INTEGER NOT NULL REFERENCES merchant (merchant_id),
    request_type TEXT NOT NULL,
    starts_at INTEGER NOT NULL,
    price_id INTEGER NOT NULL,
    unit_price INTEGER CHECK (unit_price > 0),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (merchant_id, request_type, starts_at, price_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE merchant_key (
    merchant_id INTEGER NOT NULL REFERENCES merchant (merchant_id),
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    key_id INTEGER NOT NULL,
    hint TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    PRIMARY KEY (merchant_id, digest)
) STRICT, WITHOUT ROWID;

CREATE INDEX merchant_key_id ON merchant_key (key_id);

-- The operator's own keys: kind 2 is a service's, 3 support's.
CREATE TABLE staff_key (
    digest BLOB PRIMARY KEY CHECK (length(digest) = 32),
    key_id INTEGER NOT NULL UNIQUE,
    kind INTEGER NOT NULL CHECK (kind IN (2, 3)),
    name TEXT NOT NULL,
    hint TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE merchant_user (
    merchant_id INTEGER NOT NULL REFERENCES merchant (merchant_id),
    user_id INTEGER NOT NULL,
    email TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (merchant_id, user_id),
    UNIQUE (merchant_id, email)
) STRICT, WITHOUT ROWID;

CREATE TABLE alert (
    merchant_id INTEGER NOT NULL,
    number INTEGER NOT NULL CHECK (number > 0),
    threshold INTEGER NOT NULL CHECK (threshold > 0),
    posted INTEGER NOT NULL CHECK (posted < threshold),
    fired_at INTEGER NOT NULL,
    transfer_seq INTEGER,
    PRIMARY KEY (merchant_id, number)
) STRICT, WITHOUT ROWID;

-- One mail per firing and registered user. State 1 waits until next_attempt_at, 2 is sent, 3 is given up.
CREATE TABLE outbox (
    merchant_id INTEGER NOT NULL,
    alert_number INTEGER NOT NULL,
    user_id INTEGER NOT NULL,
    email TEXT NOT NULL,
    state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 3),
    attempts INTEGER NOT NULL CHECK (attempts >= 0),
    next_attempt_at INTEGER NOT NULL,
    sent_at INTEGER,
    last_error TEXT,
    PRIMARY KEY (merchant_id, alert_number, user_id),
    FOREIGN KEY (merchant_id, alert_number) REFERENCES alert (merchant_id, number),
    CHECK ((state = 2) = (sent_at IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX outbox_due ON outbox (next_attempt_at) WHERE state = 1;
