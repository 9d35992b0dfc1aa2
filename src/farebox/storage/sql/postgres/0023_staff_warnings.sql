-- Which alerts each of the staff is warned of by mail. Applied before the new program is started.

-- A bit for each kind; from the start 12 and 13. It says nothing of merchants' users, who choose for each account.
-- In two statements, as a ledger that is spread over servers takes no column together with a condition.
ALTER TABLE login ADD COLUMN mail_kinds BIGINT NOT NULL DEFAULT 12288;
ALTER TABLE login ADD CONSTRAINT login_mail_kinds_check CHECK (mail_kinds >= 0);
