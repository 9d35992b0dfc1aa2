-- Users of merchants' accounts, and what they may do there.

-- insert_user: register a user on a merchant's account
INSERT INTO merchant_user ({user.stored}, mailbox) VALUES ({user.values}, {user.next});

-- users: list the users of a merchant's account, oldest first
SELECT {user} FROM merchant_user WHERE merchant_id = $1 ORDER BY user_id;

-- memberships: list the merchants on whose account a mailbox is registered
SELECT u.merchant_id, (SELECT m.name FROM merchant m WHERE m.merchant_id = u.merchant_id) AS name, u.role
FROM merchant_user u WHERE u.mailbox = $1 ORDER BY name, u.merchant_id;

-- role: tell what a mailbox's user may do on a merchant's account
SELECT role FROM merchant_user WHERE merchant_id = $1 AND mailbox = $2;

-- user_at: read one user of a merchant's account
SELECT {user} FROM merchant_user WHERE merchant_id = $1 AND user_id = $2;

-- stop_mails: mail a user no alerts of these kinds any more
UPDATE merchant_user SET mail_kinds = mail_kinds - (mail_kinds & $3)
WHERE merchant_id = $1 AND user_id = $2 AND (mail_kinds & $3) <> 0
RETURNING user_id;

-- lock_users: read a merchant's users, so that nobody else changes them meanwhile
UPDATE merchant_user SET role = role WHERE merchant_id = $1 RETURNING mailbox, role;

-- set_role: change what a mailbox's user may do on a merchant's account
UPDATE merchant_user SET role = $3 WHERE merchant_id = $1 AND mailbox = $2 RETURNING user_id;

-- user_of_mailbox: read a mailbox's user on a merchant's account
SELECT {user} FROM merchant_user WHERE merchant_id = $1 AND mailbox = $2;

-- set_mail_kinds: change which kinds of alerts a mailbox's user is mailed
UPDATE merchant_user SET mail_kinds = $3 WHERE merchant_id = $1 AND mailbox = $2 RETURNING user_id;

-- remove_user: take a mailbox's user off a merchant's account
DELETE FROM merchant_user WHERE merchant_id = $1 AND mailbox = $2 RETURNING user_id;
