-- Alerts are told of by episode, that a balance is used up is told as well, and mails can be withdrawn. Applied before
-- the new program is started. SQLite changes no CHECK, so the tables with other ones are made anew.

-- Requests are refused for lack of money, and that was told.
ALTER TABLE account ADD COLUMN is_exhausted INTEGER NOT NULL DEFAULT 0 CHECK (is_exhausted IN (0, 1));

-- A book that no money has moved in is told of by its first move: its thresholds wait for that, and were never told of.
UPDATE account SET thresholds = replace(thresholds, 'false', 'true')
WHERE revenue = 0 AND funding = 0 AND adjustments = 0 AND alerts_count = 0;

DROP INDEX outbox_due;
ALTER TABLE outbox RENAME TO outbox_before;
ALTER TABLE alert RENAME TO alert_before;

-- Kind 1 is a balance below a threshold, 2 a balance that did not cover a request of the amount `refused`. With a user_id
-- it is for that user alone, who joined meanwhile.
CREATE TABLE alert (
    merchant_id INTEGER NOT NULL,
    number INTEGER NOT NULL CHECK (number > 0),
    threshold INTEGER,
    posted INTEGER NOT NULL,
    fired_at INTEGER NOT NULL,
    transfer_seq INTEGER,
    kind INTEGER NOT NULL DEFAULT 1 CHECK (kind IN (1, 2)),
    refused INTEGER CHECK (refused > 0),
    user_id INTEGER,
    PRIMARY KEY (merchant_id, number),
    CHECK (threshold IS NULL OR posted < threshold),
    CHECK ((kind = 1) = (threshold IS NOT NULL)),
    CHECK (kind = 2 OR refused IS NULL)
) STRICT, WITHOUT ROWID;

-- One mail per alert and registered user. State 1 waits until next_attempt_at, 2 is sent, 3 is given up, 4 is withdrawn.
CREATE TABLE outbox (
    merchant_id INTEGER NOT NULL,
    alert_number INTEGER NOT NULL,
    user_id INTEGER NOT NULL,
    email TEXT NOT NULL,
    state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 4),
    attempts INTEGER NOT NULL CHECK (attempts >= 0),
    next_attempt_at INTEGER NOT NULL,
    sent_at INTEGER,
    last_error TEXT,
    PRIMARY KEY (merchant_id, alert_number, user_id),
    FOREIGN KEY (merchant_id, alert_number) REFERENCES alert (merchant_id, number),
    CHECK ((state = 2) = (sent_at IS NOT NULL))
) STRICT, WITHOUT ROWID;

INSERT INTO alert (merchant_id, number, threshold, posted, fired_at, transfer_seq)
SELECT merchant_id, number, threshold, posted, fired_at, transfer_seq FROM alert_before;
INSERT INTO outbox SELECT * FROM outbox_before;
DROP TABLE outbox_before;
DROP TABLE alert_before;

CREATE INDEX outbox_due ON outbox (next_attempt_at) WHERE state = 1;

DROP INDEX letter_due;
DROP INDEX letter_login;
ALTER TABLE letter RENAME TO letter_before;

-- Mails to one person; the program knows the purposes. A link's token is made of the seed, and good once, until
-- expires_at. States are those of the outbox.
CREATE TABLE letter (
    letter_id INTEGER PRIMARY KEY,
    purpose INTEGER NOT NULL CHECK (purpose > 0),
    login_id INTEGER NOT NULL REFERENCES login (login_id),
    merchant_id INTEGER,
    email TEXT NOT NULL,
    seed BLOB NOT NULL CHECK (length(seed) = 32),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER,
    state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 4),
    attempts INTEGER NOT NULL CHECK (attempts >= 0),
    next_attempt_at INTEGER NOT NULL,
    sent_at INTEGER,
    last_error TEXT,
    CHECK ((state = 2) = (sent_at IS NOT NULL))
) STRICT;

INSERT INTO letter SELECT * FROM letter_before;
DROP TABLE letter_before;

CREATE INDEX letter_due ON letter (next_attempt_at) WHERE state = 1;
CREATE INDEX letter_login ON letter (login_id);
