-- What both engines run alike: people who sign in, their sessions and account mails, and what the console shows.

-- insert_login: add somebody who may sign in
INSERT INTO login ({login}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- login: read one login
SELECT {login} FROM login WHERE login_id = $1;

-- find_login: look a login up by its address
SELECT {login} FROM login WHERE realm = $1 AND email = $2;

-- logins: list a realm's logins by address
SELECT {login} FROM login WHERE realm = $1 ORDER BY email;

-- set_password: write a login's password
UPDATE login SET password_hash = $2 WHERE login_id = $1 AND disabled_at IS NULL RETURNING login_id;

-- set_code_seed: write or remove the seed of a login's one-time codes, and up to where they are used up
UPDATE login SET totp_seed = $2, totp_step = $3 WHERE login_id = $1 RETURNING login_id;

-- use_code_step: use a one-time code up, and all before it
UPDATE login SET totp_step = $2 WHERE login_id = $1 AND totp_step < $2 RETURNING login_id;

-- sign_in: write when somebody signed in, if by the password that is theirs
UPDATE login SET signed_in_at = $2
WHERE login_id = $1 AND disabled_at IS NULL AND coalesce(password_hash, '') = coalesce($3, '')
RETURNING login_id;

-- set_disabled: close a login or open it again
UPDATE login SET disabled_at = $2 WHERE login_id = $1 RETURNING login_id;

-- insert_session: add a session
INSERT INTO session ({session}) VALUES ($1, $2, $3, $4, $5, $6, $7);

-- session: read a session that has not ended
SELECT {session} FROM session WHERE digest = $1 AND expires_at > $2;

-- sessions: list a login's sessions that have not ended, the last seen first
SELECT {session} FROM session WHERE login_id = $1 AND expires_at > $2 ORDER BY seen_at DESC;

-- touch_session: write when a session was last seen and when it now ends
UPDATE session SET seen_at = $2, expires_at = $3 WHERE digest = $1;

-- end_session: end a session
DELETE FROM session WHERE digest = $1;

-- end_sessions: end a login's sessions but one
DELETE FROM session WHERE login_id = $1 AND digest <> $2;

-- end_old_sessions: remove the sessions that are over
DELETE FROM session WHERE expires_at <= $1;

-- insert_account_mail: owe somebody an account mail
INSERT INTO letter ({account_mail}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14);

-- account_mail: read one account mail
SELECT {account_mail} FROM letter WHERE letter_id = $1;

-- account_mails: list the account mails, newest first
SELECT {account_mail} FROM letter ORDER BY letter_id DESC LIMIT $1;

-- account_mails_since: count the account mails to a login since a time
SELECT count(*) FROM letter WHERE login_id = $1 AND created_at > $2;

-- use_link: use an account mail's link up, if it is still good
UPDATE letter SET used_at = $2 WHERE letter_id = $1 AND used_at IS NULL AND expires_at > $2 RETURNING login_id;

-- end_links: make a login's links useless
UPDATE letter SET used_at = $2 WHERE login_id = $1 AND used_at IS NULL;

-- due_account_mails: name account mails that are due, the longest due first
SELECT letter_id FROM letter WHERE state = 1 AND next_attempt_at <= $1 ORDER BY next_attempt_at LIMIT $2;

-- claim_account_mail: lease an account mail that is due; of two claimers, the second finds it leased
UPDATE letter SET attempts = attempts + 1, next_attempt_at = $3
WHERE letter_id = $1 AND state = 1 AND next_attempt_at <= $2
RETURNING {account_mail};

-- settle_account_mail: write what became of an account mail
UPDATE letter SET state = $2, next_attempt_at = $3, sent_at = $4, last_error = $5 WHERE letter_id = $1
RETURNING letter_id;

-- retry_account_mails: make every account mail that is not sent, and not too old, due
UPDATE letter SET state = 1, next_attempt_at = $1
WHERE state IN (1, 3) AND expires_at > $1 RETURNING letter_id;

-- next_account_mail_at: tell when the next account mail falls due
SELECT min(next_attempt_at) FROM letter WHERE state = 1;

-- memberships: list the merchants on whose account an address is registered
SELECT u.merchant_id, (SELECT m.name FROM merchant m WHERE m.merchant_id = u.merchant_id) AS name, u.role
FROM merchant_user u WHERE u.email = $1 ORDER BY name, u.merchant_id;

-- membership: tell what an address may do on a merchant's account
SELECT role FROM merchant_user WHERE merchant_id = $1 AND email = $2;

-- lock_users: read a merchant's people, so that nobody else changes them meanwhile
UPDATE merchant_user SET role = role WHERE merchant_id = $1 RETURNING user_id, email, role;

-- set_role: change what an address may do on a merchant's account
UPDATE merchant_user SET role = $3 WHERE merchant_id = $1 AND email = $2 RETURNING user_id;

-- note_merchant_key: write when a merchant's key was last used
UPDATE merchant_key SET used_at = $3 WHERE merchant_id = $1 AND digest = $2 AND (used_at IS NULL OR used_at < $3);

-- note_staff_key: write when a service's or support's key was last used
UPDATE staff_key SET used_at = $2 WHERE digest = $1 AND (used_at IS NULL OR used_at < $2);

-- put_runway_snapshot: write a merchant's runway snapshot
INSERT INTO outlook ({runway_snapshot}) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (merchant_id) DO UPDATE SET seq = excluded.seq, available = excluded.available, last_at = excluded.last_at,
    runs_out_at = excluded.runs_out_at, burn_per_day = excluded.burn_per_day, computed_at = excluded.computed_at;

-- runway_snapshot_ages: list merchants above one, in order: how far each book is, and how far and how old its runway snapshot are
SELECT a.merchant_id, a.seq, o.seq, o.computed_at
FROM account a LEFT JOIN outlook o ON o.merchant_id = a.merchant_id AND o.merchant_id > $1
WHERE a.merchant_id > $1 ORDER BY a.merchant_id LIMIT $2;

-- merchants_by_runs_out: list merchants by when their money runs out, soonest first
SELECT merchant_id FROM outlook WHERE runs_out_at IS NOT NULL ORDER BY runs_out_at, merchant_id LIMIT $1 OFFSET $2;

-- merchants_by_available: list merchants by balance, lowest first
SELECT merchant_id FROM outlook ORDER BY available, merchant_id LIMIT $1 OFFSET $2;

-- merchants_by_last: list merchants by their last transfer, newest first
SELECT merchant_id FROM outlook ORDER BY last_at DESC, merchant_id DESC LIMIT $1 OFFSET $2;

-- merchants_by_age: list merchants, newest first
SELECT merchant_id FROM merchant ORDER BY merchant_id DESC LIMIT $1 OFFSET $2;

-- search_merchants: list merchants whose name, or a person of whom, holds a text in lower case; newest first
SELECT merchant_id FROM merchant m
WHERE lower(m.name) LIKE $1 ESCAPE '!' OR m.merchant_id IN (
    SELECT u.merchant_id FROM merchant_user u WHERE lower(u.email) LIKE $1 ESCAPE '!'
)
ORDER BY m.merchant_id DESC LIMIT $2 OFFSET $3;

-- runway_snapshot: read a merchant's runway snapshot
SELECT {runway_snapshot} FROM outlook WHERE merchant_id = $1;

-- insert_verification: begin a verification
INSERT INTO verification ({verification}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- update_verification: write how far a verification is
UPDATE verification SET seen_at = $2, finished_at = $3, merchants = $4, merchants_done = $5, transfers_done = $6,
    problems = $7, first_problem = $8
WHERE verification_id = $1;

-- verifications: list the verifications, newest first
SELECT {verification} FROM verification ORDER BY verification_id DESC LIMIT $1;

-- insert_user: register a person on a merchant's account
INSERT INTO merchant_user (merchant_id, user_id, email, created_at, role) VALUES ($1, $2, $3, $4, $5);

-- remove_user: take a person off a merchant's account
DELETE FROM merchant_user WHERE merchant_id = $1 AND email = $2 RETURNING user_id;

-- counts: count merchants, transfers, and mails and account mails that wait
SELECT count(*), coalesce(CAST(sum(seq) AS BIGINT), 0), (SELECT count(*) FROM outbox WHERE state = 1),
    (SELECT count(*) FROM letter WHERE state = 1)
FROM account;
