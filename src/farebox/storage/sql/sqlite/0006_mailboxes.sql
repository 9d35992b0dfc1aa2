-- One mailbox is one person; whose turn it is to be mailed; mail servers that take no mail. Applied before the new program
-- is started.

-- Mails are claimed in turn by merchant; account mails of no merchant have a turn of their own.
CREATE INDEX outbox_turn ON outbox (merchant_id, next_attempt_at) WHERE state = 1;
CREATE INDEX letter_turn ON letter (coalesce(merchant_id, 0), next_attempt_at) WHERE state = 1;

-- A mail server that takes no mail is given up until paused_until. It has a row until it takes one again.
CREATE TABLE mail_server (
    server TEXT PRIMARY KEY,
    since INTEGER NOT NULL,
    paused_until INTEGER NOT NULL,
    pauses INTEGER NOT NULL CHECK (pauses > 0),
    reason TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The mailbox that an address reaches, as the program writes it: two addresses of one mailbox differ in how they are
-- typed. A login without one is set aside, for another has its mailbox.
ALTER TABLE merchant_user ADD COLUMN mailbox TEXT NOT NULL DEFAULT '';
ALTER TABLE login ADD COLUMN mailbox TEXT;
UPDATE merchant_user SET mailbox = lower(email);
UPDATE login SET mailbox = lower(email);

-- Here comes the data step.

CREATE UNIQUE INDEX merchant_user_of_mailbox ON merchant_user (merchant_id, mailbox);
CREATE INDEX merchant_user_mailbox ON merchant_user (mailbox);
CREATE UNIQUE INDEX login_mailbox ON login (realm, mailbox);
DROP INDEX merchant_user_email;
