-- Mails: whose turn it is, and mail servers that take none. Applied before the new program is started.

-- Mails are claimed in turn by merchant; account mails of no merchant have a turn of their own.
CREATE INDEX outbox_turn ON outbox (merchant_id, next_attempt_at) WHERE state = 1;
CREATE INDEX letter_turn ON letter ((coalesce(merchant_id, 0)), next_attempt_at) WHERE state = 1;

-- A mail server that takes no mail is given up until paused_until. It has a row until it takes one again.
CREATE TABLE mail_server (
    server TEXT PRIMARY KEY,
    since bigint NOT NULL,
    paused_until bigint NOT NULL,
    pauses bigint NOT NULL CHECK (pauses > 0),
    reason TEXT NOT NULL
);
