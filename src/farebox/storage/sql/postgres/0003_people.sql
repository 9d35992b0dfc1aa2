-- People who sign in, what they are mailed, and what the console shows. Applied before the new program is started.

-- What a registered person may do on the dashboard: 1 is an owner, 2 a member, 3 a viewer.
ALTER TABLE merchant_user ADD COLUMN role BIGINT NOT NULL DEFAULT 2 CHECK (role BETWEEN 1 AND 3);

CREATE INDEX merchant_user_email ON merchant_user (email);

-- When a key was last seen, to the minute or so.
ALTER TABLE merchant_key ADD COLUMN used_at BIGINT;
ALTER TABLE staff_key ADD COLUMN used_at BIGINT;

-- Whoever signs in: realm 1 is merchants' people, realm 2 the operator's support. Without a password there is no way in
-- but a mailed link. A code's step is kept so that no code is good twice.
CREATE TABLE login (
    login_id BIGINT PRIMARY KEY,
    realm BIGINT NOT NULL CHECK (realm IN (1, 2)),
    email TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    password_hash TEXT COLLATE "C",
    totp_seed BYTEA CHECK (length(totp_seed) = 32),
    totp_step BIGINT NOT NULL DEFAULT 0,
    signed_in_at BIGINT,
    disabled_at BIGINT,
    UNIQUE (realm, email)
);

-- The token itself is in the person's browser alone.
CREATE TABLE session (
    digest BYTEA PRIMARY KEY CHECK (length(digest) = 32),
    login_id BIGINT NOT NULL REFERENCES login (login_id),
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    address TEXT COLLATE "C",
    agent TEXT COLLATE "C" NOT NULL
);

CREATE INDEX session_login ON session (login_id);
CREATE INDEX session_expires ON session (expires_at);

-- Mails to one person: purpose 1 invites, 2 resets a password, 3 tests. A link's token is made of the seed, and good
-- once, until expires_at. States are those of the outbox.
CREATE TABLE letter (
    letter_id BIGINT PRIMARY KEY,
    purpose BIGINT NOT NULL CHECK (purpose BETWEEN 1 AND 3),
    login_id BIGINT NOT NULL REFERENCES login (login_id),
    merchant_id BIGINT,
    email TEXT COLLATE "C" NOT NULL,
    seed BYTEA NOT NULL CHECK (length(seed) = 32),
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    state BIGINT NOT NULL CHECK (state BETWEEN 1 AND 3),
    attempts BIGINT NOT NULL CHECK (attempts >= 0),
    next_attempt_at BIGINT NOT NULL,
    sent_at BIGINT,
    last_error TEXT COLLATE "C",
    CHECK ((state = 2) = (sent_at IS NOT NULL))
);

CREATE INDEX letter_due ON letter (next_attempt_at) WHERE state = 1;
CREATE INDEX letter_login ON letter (login_id);

-- Each merchant's prospects as of its transfer seq, so that the console can sort many merchants by them. The balance
-- that counts is the account's.
CREATE TABLE outlook (
    merchant_id BIGINT PRIMARY KEY,
    seq BIGINT NOT NULL,
    available BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    runs_out_at BIGINT,
    burn_per_day BIGINT,
    computed_at BIGINT NOT NULL
);

CREATE INDEX outlook_runs_out ON outlook (runs_out_at, merchant_id) WHERE runs_out_at IS NOT NULL;
CREATE INDEX outlook_available ON outlook (available, merchant_id);
CREATE INDEX outlook_last ON outlook (last_at, merchant_id);

-- Runs of `farebox verify` over the whole ledger, the one that is under way included.
CREATE TABLE verification (
    verification_id BIGINT PRIMARY KEY,
    started_by TEXT COLLATE "C" NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    finished_at BIGINT,
    merchants BIGINT NOT NULL,
    merchants_done BIGINT NOT NULL,
    transfers_done BIGINT NOT NULL,
    problems BIGINT NOT NULL,
    first_problem TEXT COLLATE "C"
);
