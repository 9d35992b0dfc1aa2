-- The ledger, its keys and prices, and the alert outbox. Applied before the new program is started.
-- Amounts are micros, times microseconds since 1970. Every table of the hot path is keyed by merchant first: each UNIQUE
-- holds merchant_id and ids and times come from the program, so that the tables can be spread over machines by merchant.
-- Texts that are looked up compare byte by byte (COLLATE "C"): no upgrade of a locale library can then disorder the index
-- that keeps idempotency keys unique, and every engine sorts alike.

CREATE TABLE merchant (
    merchant_id BIGINT PRIMARY KEY,
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    created_at BIGINT NOT NULL
);

-- One closed book per merchant: balances are credits less debits, so they sum to zero.
CREATE TABLE account (
    merchant_id BIGINT PRIMARY KEY REFERENCES merchant (merchant_id),
    wallet BIGINT NOT NULL,
    held BIGINT NOT NULL CHECK (held >= 0),
    revenue BIGINT NOT NULL CHECK (revenue >= 0),
    funding BIGINT NOT NULL CHECK (funding <= 0),
    adjustments BIGINT NOT NULL,
    credit_limit BIGINT NOT NULL CHECK (credit_limit >= 0),
    seq BIGINT NOT NULL CHECK (seq >= 0),
    last_at BIGINT NOT NULL,
    alerts_count BIGINT NOT NULL CHECK (alerts_count >= 0),
    is_frozen BOOLEAN NOT NULL,
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    last_hash BYTEA NOT NULL CHECK (length(last_hash) = 32),
    thresholds TEXT NOT NULL CHECK (jsonb_array_length(thresholds::jsonb) <= 5),
    CHECK (wallet + held + revenue + funding + adjustments = 0),
    CHECK (wallet + credit_limit >= 0)
) WITH (
    -- Every batch updates its accounts, and no changed column is indexed: with room in its page, a new version needs no
    -- new index entry, and the old one is cleared away by the next reader of the page.
    fillfactor = 50,
    -- Every charge reads its account, so the table is vacuumed long before a fifth of it is dead, which is the default.
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 1000
);

-- Append-only. Fixed widths stand first, so nothing is padded; the two indexes are what a charge needs, and no more.
CREATE TABLE transfer (
    merchant_id BIGINT NOT NULL,
    seq BIGINT NOT NULL CHECK (seq > 0),
    amount BIGINT NOT NULL CHECK (amount > 0),
    wallet_after BIGINT NOT NULL,
    held_after BIGINT NOT NULL CHECK (held_after >= 0),
    committed_at BIGINT NOT NULL,
    quantity BIGINT CHECK (quantity > 0),
    unit_price BIGINT CHECK (unit_price > 0 AND amount = unit_price * quantity),
    price_id BIGINT,
    refers_to BIGINT CHECK (refers_to > 0 AND refers_to < seq),
    kind SMALLINT NOT NULL CHECK (kind BETWEEN 1 AND 10),
    idempotency_key TEXT COLLATE "C" NOT NULL CHECK (length(idempotency_key) > 0),
    content BYTEA NOT NULL CHECK (length(content) = 8),
    hash BYTEA NOT NULL CHECK (length(hash) = 32),
    request_type TEXT COLLATE "C",
    reference TEXT,
    note TEXT,
    PRIMARY KEY (merchant_id, seq),
    UNIQUE (merchant_id, idempotency_key)
);

-- Refunds, reversals and the ends of holds: what refers to a transfer.
CREATE INDEX transfer_refers_to ON transfer (merchant_id, refers_to) WHERE refers_to IS NOT NULL;

-- What came in from outside: top-ups, reversals and adjustments, for the burn between two moments.
CREATE INDEX transfer_funding ON transfer (merchant_id, seq) WHERE kind IN (1, 2, 9, 10);

CREATE TABLE hold (
    merchant_id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    amount BIGINT NOT NULL CHECK (amount > 0),
    expires_at BIGINT NOT NULL,
    captured BIGINT NOT NULL CHECK (captured BETWEEN 0 AND amount),
    quantity BIGINT NOT NULL CHECK (quantity > 0),
    state SMALLINT NOT NULL CHECK (state BETWEEN 1 AND 4),
    request_type TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (merchant_id, seq),
    CHECK ((state = 2) = (captured > 0))
);

CREATE INDEX hold_due ON hold (expires_at) WHERE state = 1;

CREATE TABLE default_price (
    price_id BIGINT PRIMARY KEY,
    request_type TEXT COLLATE "C" NOT NULL,
    unit_price BIGINT CHECK (unit_price > 0),
    starts_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE INDEX default_price_in_force ON default_price (request_type, starts_at, price_id);

CREATE TABLE merchant_price (
    merchant_id BIGINT NOT NULL REFERENCES merchant (merchant_id),
    request_type TEXT COLLATE "C" NOT NULL,
    starts_at BIGINT NOT NULL,
    price_id BIGINT NOT NULL,
    unit_price BIGINT CHECK (unit_price > 0),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (merchant_id, request_type, starts_at, price_id)
);

CREATE TABLE merchant_key (
    merchant_id BIGINT NOT NULL REFERENCES merchant (merchant_id),
    digest BYTEA NOT NULL CHECK (length(digest) = 32),
    key_id BIGINT NOT NULL,
    hint TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    PRIMARY KEY (merchant_id, digest)
);

CREATE INDEX merchant_key_id ON merchant_key (key_id);

-- The operator's own keys: kind 2 is a service's, 3 support's.
CREATE TABLE staff_key (
    digest BYTEA PRIMARY KEY CHECK (length(digest) = 32),
    key_id BIGINT NOT NULL UNIQUE,
    kind SMALLINT NOT NULL CHECK (kind IN (2, 3)),
    name TEXT NOT NULL,
    hint TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT
);

CREATE TABLE merchant_user (
    merchant_id BIGINT NOT NULL REFERENCES merchant (merchant_id),
    user_id BIGINT NOT NULL,
    email TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (merchant_id, user_id),
    UNIQUE (merchant_id, email)
);

CREATE TABLE alert (
    merchant_id BIGINT NOT NULL,
    number BIGINT NOT NULL CHECK (number > 0),
    threshold BIGINT NOT NULL CHECK (threshold > 0),
    posted BIGINT NOT NULL CHECK (posted < threshold),
    fired_at BIGINT NOT NULL,
    transfer_seq BIGINT,
    PRIMARY KEY (merchant_id, number)
);

-- One mail per firing and registered user. State 1 waits until next_attempt_at, 2 is sent, 3 is given up.
CREATE TABLE outbox (
    merchant_id BIGINT NOT NULL,
    alert_number BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    next_attempt_at BIGINT NOT NULL,
    sent_at BIGINT,
    attempts INTEGER NOT NULL CHECK (attempts >= 0),
    state SMALLINT NOT NULL CHECK (state BETWEEN 1 AND 3),
    email TEXT COLLATE "C" NOT NULL,
    last_error TEXT,
    PRIMARY KEY (merchant_id, alert_number, user_id),
    -- A mail is written with its alert, and rarely: what this costs is no charge's.
    FOREIGN KEY (merchant_id, alert_number) REFERENCES alert (merchant_id, number),
    CHECK ((state = 2) = (sent_at IS NOT NULL))
) WITH (
    -- Each attempt moves its mail within outbox_due, and the dispatcher always starts at that index's low end: what is
    -- dead there is to be cleared away soon, however many mails are kept.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 500
);

CREATE INDEX outbox_due ON outbox (next_attempt_at) WHERE state = 1;
