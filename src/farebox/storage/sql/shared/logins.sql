-- Logins and their sessions.

-- insert_login: add somebody who may sign in
INSERT INTO login ({login.stored}, mailbox) VALUES ({login.values}, {login.next});

-- login: read one login
SELECT {login} FROM login WHERE login_id = $1;

-- find_login: look a login up by its mailbox
SELECT {login} FROM login WHERE realm = $1 AND mailbox = $2;

-- logins: list a realm's logins by address, but for those that are set aside
SELECT {login} FROM login WHERE realm = $1 AND mailbox IS NOT NULL ORDER BY email;

-- set_password: write a login's password
UPDATE login SET password_hash = $2 WHERE login_id = $1 AND disabled_at IS NULL RETURNING login_id;

-- change_password: write a login's password in place of the one that it has
UPDATE login SET password_hash = $2
WHERE login_id = $1 AND disabled_at IS NULL AND password_hash = $3
RETURNING login_id;

-- set_totp_seed: write the seed of a login's one-time codes, and up to where they are used up
UPDATE login SET totp_seed = $2, totp_step = $3 WHERE login_id = $1 RETURNING login_id;

-- totp_seeds_page: list the seeds of one-time codes after a login, in the order of the logins
SELECT login_id, totp_seed FROM login WHERE login_id > $1 AND totp_seed IS NOT NULL ORDER BY login_id LIMIT $2;

-- replace_totp_seed: write a seed in place of one that stands for the same codes
UPDATE login SET totp_seed = $2 WHERE login_id = $1 AND totp_seed = $3 RETURNING login_id;

-- remove_totp_seed: ask for no more one-time codes, if they are asked for
UPDATE login SET totp_seed = NULL, totp_step = 0 WHERE login_id = $1 AND totp_seed IS NOT NULL RETURNING login_id;

-- use_totp_step: use a one-time code up, and all before it
UPDATE login SET totp_step = $2 WHERE login_id = $1 AND totp_step < $2 RETURNING login_id;

-- sign_in: write when a login signed in, if by the password that it has
UPDATE login SET signed_in_at = $2
WHERE login_id = $1 AND disabled_at IS NULL AND coalesce(password_hash, '') = coalesce($3, '')
RETURNING login_id;

-- close_login: close a login that is open
UPDATE login SET disabled_at = $2 WHERE login_id = $1 AND disabled_at IS NULL RETURNING login_id;

-- reopen_login: open a login that is closed
UPDATE login SET disabled_at = NULL WHERE login_id = $1 AND disabled_at IS NOT NULL RETURNING login_id;

-- lock_logins: read a realm's logins, so that nobody else changes them meanwhile
UPDATE login SET roles = roles WHERE realm = $1 RETURNING {login};

-- lock_roles: tell what one of the staff may do, so that nobody else changes it meanwhile
UPDATE login SET roles = roles WHERE login_id = $1 RETURNING roles;

-- set_staff_roles: change what one of the staff may do
UPDATE login SET roles = $2 WHERE login_id = $1;

-- login_counts_as: tell whom a staff account counts as beside itself
SELECT counts_as FROM login WHERE login_id = $1 AND realm = {Realm.SUPPORT};

-- lock_counts_as: tell the same, and whether it is closed, so that nobody else changes it meanwhile
UPDATE login SET counts_as = counts_as WHERE login_id = $1 AND realm = {Realm.SUPPORT} RETURNING counts_as, disabled_at;

-- confirm_login: let a staff account be a person of its own
UPDATE login SET counts_as = '' WHERE login_id = $1;

-- open_staff: list the staff accounts that may sign in and have one of some roles
SELECT login_id, email, counts_as FROM login
WHERE realm = {Realm.SUPPORT} AND disabled_at IS NULL AND mailbox IS NOT NULL AND roles & $1 <> 0
ORDER BY login_id;

-- warned_staff: list the staff accounts that may sign in, have one of some roles, and want one of some kinds of warnings
SELECT login_id, email FROM login
WHERE realm = {Realm.SUPPORT} AND disabled_at IS NULL AND mailbox IS NOT NULL AND roles & $1 <> 0
    AND (mail_kinds & $2) <> 0
ORDER BY login_id;

-- set_login_mail_kinds: change which kinds of alerts one of the staff is warned of
UPDATE login SET mail_kinds = $2 WHERE login_id = $1 AND realm = {Realm.SUPPORT} RETURNING login_id;

-- stop_login_mails: warn one of the staff of these kinds of alerts no more
UPDATE login SET mail_kinds = mail_kinds - (mail_kinds & $2)
WHERE login_id = $1 AND realm = {Realm.SUPPORT} AND (mail_kinds & $2) <> 0
RETURNING login_id;

-- insert_session: add a session
INSERT INTO session ({session.stored}) VALUES ({session.values});

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

-- set_language: write the language that a login is spoken to in
UPDATE login SET language = $2 WHERE login_id = $1 RETURNING login_id;

-- signing_seed: read the seed of what links in mails are signed with
SELECT seed FROM signing_seed WHERE signing_seed_id = 1;
