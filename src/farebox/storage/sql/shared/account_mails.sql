-- Account mails, in the table that was released as `letter`.

-- insert_account_mail: owe somebody an account mail
INSERT INTO letter ({account_mail.stored}) VALUES ({account_mail.values});

-- account_mail: read one account mail
SELECT {account_mail} FROM letter WHERE letter_id = $1;

-- account_mails: list the account mails, newest first
SELECT {account_mail} FROM letter ORDER BY letter_id DESC LIMIT $1;

-- account_mails_since: count the account mails to a login since a time
SELECT count(*) FROM letter
WHERE login_id = $1 AND created_at > $2 AND purpose IN ({Purpose.INVITATION}, {Purpose.RESET}, {Purpose.TEST});

-- use_link: use an account mail's link up, if it is still good
UPDATE letter SET used_at = $2 WHERE letter_id = $1 AND used_at IS NULL AND expires_at > $2 RETURNING login_id;

-- end_links: make a login's links useless
UPDATE letter SET used_at = $2 WHERE login_id = $1 AND used_at IS NULL;

-- settle_account_mail: write what became of an account mail
UPDATE letter SET state = $2, attempts = $3, next_attempt_at = $4, sent_at = $5, last_error = $6 WHERE letter_id = $1
RETURNING letter_id;

-- retry_account_mails: make every account mail that is neither sent nor withdrawn, and not too old, due
UPDATE letter SET state = {DeliveryState.WAITING}, next_attempt_at = $1
WHERE state IN ({DeliveryState.WAITING}, {DeliveryState.GIVEN_UP}) AND expires_at > $1 RETURNING letter_id;

-- next_account_mail_at: tell when the next account mail falls due
SELECT next_attempt_at FROM letter WHERE state = {DeliveryState.WAITING} ORDER BY next_attempt_at LIMIT 1;

-- untaken_approval_mails: tell who has a mail about approvals that nobody has begun to send, or begins to meanwhile
UPDATE letter SET attempts = attempts
WHERE purpose = {Purpose.APPROVAL} AND state = {DeliveryState.WAITING} AND attempts = 0 RETURNING login_id;

-- insert_staff_mail: owe one of the staff a mail about what happened; the number is made of who gets it and why
INSERT INTO letter ({account_mail.stored}) VALUES ({account_mail.values}) ON CONFLICT DO NOTHING;
