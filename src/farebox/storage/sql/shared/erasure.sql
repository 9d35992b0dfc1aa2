-- What is kept of a person who is a user of merchants: by their address, in each way in which it was written.
-- Which those are the program says, as it does for signing in: no engine compares addresses as mail does.

-- written_addresses: list whatever may be somebody's address, wherever one is kept
SELECT email FROM login
UNION SELECT email FROM delivery WHERE channel = {Channel.EMAIL}
UNION SELECT person FROM audit_log WHERE person LIKE '%@%'
UNION SELECT subject FROM audit_log WHERE subject LIKE '%@%';

-- kept_of_person: count what is kept of a person, and whether they are staff as well
SELECT
    (SELECT count(*) FROM login WHERE realm = {Realm.MERCHANT} AND email {text in $1}) AS logins,
    (SELECT count(*) FROM session s JOIN login l ON l.login_id = s.login_id
        WHERE l.realm = {Realm.MERCHANT} AND l.email {text in $1}) AS sessions,
    (SELECT count(*) FROM report_choice r JOIN login l ON l.login_id = r.login_id
        WHERE l.realm = {Realm.MERCHANT} AND l.email {text in $1}) AS report_choices,
    (SELECT count(*) FROM letter m JOIN login l ON l.login_id = m.login_id
        WHERE l.realm = {Realm.MERCHANT} AND l.email {text in $1}) AS account_mails,
    (SELECT count(*) FROM delivery WHERE channel = {Channel.EMAIL} AND email {text in $1}) AS alert_mails,
    (SELECT count(*) FROM audit_log WHERE person {text in $1} OR subject {text in $1}) AS audit_entries,
    (SELECT count(*) FROM login WHERE realm = {Realm.SUPPORT} AND email {text in $1}) AS staff;

-- count_memberships: count the accounts that a mailbox is a user of
SELECT count(*) FROM merchant_user WHERE mailbox = $1;

-- logins_of_person: list the logins of a person, those that were set aside included
SELECT login_id FROM login WHERE realm = {Realm.MERCHANT} AND email {text in $1};

-- delete_sessions_of: delete all sessions of a login
DELETE FROM session WHERE login_id = $1;

-- delete_reports_of: delete what a login's reports told of
DELETE FROM report WHERE login_id = $1;

-- delete_report_choices_of: delete which reports a login wants
DELETE FROM report_choice WHERE login_id = $1;

-- delete_account_mails_of: delete the mails about its account that a login was sent
DELETE FROM letter WHERE login_id = $1;

-- delete_login: delete a login that nothing refers to any more
DELETE FROM login WHERE login_id = $1;

-- forget_recipient: forget to whom mails of alerts went, and what was answered; what waits is sent no more
UPDATE delivery
SET email = 'removed', last_error = CASE WHEN last_error IS NULL THEN NULL ELSE 'removed' END,
    state = CASE WHEN state = {DeliveryState.WAITING} THEN {DeliveryState.WITHDRAWN} ELSE state END
WHERE channel = {Channel.EMAIL} AND email {text in $1};

-- forget_in_details: forget one way of writing the address in the details of what the person did or was done to
UPDATE audit_log SET detail = replace(detail, $2, 'removed')
WHERE person {text in $1} OR subject {text in $1};

-- forget_in_audit_log: forget who did something, or to whom it was done; what was done stays
UPDATE audit_log
SET person = CASE WHEN person {text in $1} THEN 'removed' ELSE person END,
    address = CASE WHEN person {text in $1} THEN NULL ELSE address END,
    subject = CASE WHEN subject {text in $1} THEN 'removed' ELSE subject END
WHERE person {text in $1} OR subject {text in $1};
