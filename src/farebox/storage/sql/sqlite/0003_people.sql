-- People who sign in, what they are mailed, and what the console shows. Applied before the new program is started.

-- What a registered person may do on the dashboard: 1 is an owner, 2 a member, 3 a viewer.
ALTER TABLE merchant_user ADD COLUMN role INTEGER NOT NULL DEFAULT 2 CHECK (role BETWEEN 1 AND 3);

CREATE INDEX merchant_user_email ON merchant_user (email);

-- When a key was last seen, to the minute or so.
ALTER TABLE merchant_key ADD COLUMN used_at INTEGER;
ALTER TABLE staff_key ADD COLUMN used_at INTEGER;

-- Whoever signs in: realm 1 is merchants' people, realm 2 the operator's support. Without a password there is no way in
-- but a mailed link. A code's step is kept so that no code is good twice.
CREATE TABLE login (
    login_id INTEGER PRIMARY KEY,
    realm INTEGER NOT NULL CHECK (realm IN (1, 2)),
    email TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    password_hash TEXT,
    totp_seed BLOB CHECK (length(totp_seed) = 32),
    totp_step INTEGER NOT NULL DEFAULT 0,
    signed_in_at INTEGER,
    disabled_at INTEGER,
    UNIQUE (realm, email)
) STRICT;

-- The token itself is in the person's browser alone.
CREATE TABLE session (
    digest BLOB PRIMARY KEY CHECK (length(digest) = 32),
    login_id INTEGER NOT NULL REFERENCES login (login_id),
    created_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    address TEXT,
    agent TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX session_login ON session (login_id);
CREATE INDEX session_expires ON session (expires_at);

-- Mails to one person: purpose 1 invites, 2 resets a password, 3 tests. A link's token is made of the seed, and good
-- once, until expires_at. States are those of the outbox.
CREATE TABLE letter (
    letter_id INTEGER PRIMARY KEY,
    purpose INTEGER NOT NULL CHECK (purpose BETWEEN 1 AND 3),
    login_id INTEGER NOT NULL REFERENCES login (login_id),
    merchant_id INTEGER,
    email TEXT NOT NULL,
    seed BLOB NOT NULL CHECK (length(seed) = 32),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER,
    state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 3),
    attempts INTEGER NOT NULL CHECK (attempts >= 0),
    next_attempt_at INTEGER NOT NULL,
    sent_at INTEGER,
    last_error TEXT,
    CHECK ((state = 2) = (sent_at IS NOT NULL))
) STRICT;

CREATE INDEX letter_due ON letter (next_attempt_at) WHERE state = 1;
CREATE INDEX letter_login ON letter (login_id);

-- Each merchant's prospects as of its transfer seq, so that the console can sort many merchants by them. The balance
-- that counts is the account's.
CREATE TABLE outlook (
    merchant_id INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL,
    available INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    runs_out_at INTEGER,
    burn_per_day INTEGER,
    computed_at INTEGER NOT NULL
) STRICT;

CREATE INDEX outlook_runs_out ON outlook (runs_out_at, merchant_id) WHERE runs_out_at IS NOT NULL;
CREATE INDEX outlook_available ON outlook (available, merchant_id);
CREATE INDEX outlook_last ON outlook (last_at, merchant_id);

-- Runs of `farebox verify` over the whole ledger, the one that is under way included.
CREATE TABLE verification (
    verification_id INTEGER PRIMARY KEY,
    started_by TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    finished_at INTEGER,
    merchants INTEGER NOT NULL,
    merchants_done INTEGER NOT NULL,
    transfers_done INTEGER NOT NULL,
    problems INTEGER NOT NULL,
    first_problem TEXT
) STRICT;
