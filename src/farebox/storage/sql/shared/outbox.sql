-- Alerts that fired, and the mails that they owe to users.

-- alerts: list a merchant's alerts, newest first
SELECT {alert} FROM alert WHERE merchant_id = $1 ORDER BY number DESC LIMIT $2;

-- all_alerts: list all of a merchant's alerts, oldest first
SELECT {alert} FROM alert WHERE merchant_id = $1 ORDER BY number;

-- insert_alert: record an alert
INSERT INTO alert ({alert.stored}) VALUES ({alert.values});

-- insert_mail: owe a mail about an alert to one user
INSERT INTO outbox (merchant_id, alert_number, user_id, email, state, attempts, next_attempt_at)
VALUES ($1, $2, $3, $4, {MailState.WAITING}, 0, $5);

-- insert_mails: owe a mail about an alert to each registered user
INSERT INTO outbox (merchant_id, alert_number, user_id, email, state, attempts, next_attempt_at)
SELECT merchant_id, CAST($2 AS BIGINT), user_id, email, {MailState.WAITING}, 0, CAST($3 AS BIGINT)
FROM merchant_user WHERE merchant_id = $1;

-- ending_grants: list grants that end within a time, whose users were not told; none that lasts less than that in all
-- Single values, as an EXISTS may be planned as a walk through all alerts and users.
SELECT {grant of g} FROM credit_grant g
WHERE g.state = {GrantState.OPEN} AND g.remaining > 0 AND g.due_at > $1 AND g.due_at <= $2
    AND g.expires_at - g.starts_at >= $3
    AND (
        SELECT a.number FROM alert a
        WHERE a.merchant_id = g.merchant_id AND a.transfer_seq = g.transfer_seq AND a.kind = {AlertKind.CREDIT_ENDS}
        LIMIT 1
    ) IS NULL
    AND (SELECT u.user_id FROM merchant_user u WHERE u.merchant_id = g.merchant_id LIMIT 1) IS NOT NULL
ORDER BY g.due_at LIMIT $4;

-- told_of_grant: find the alert that told that a grant's credit ends
SELECT number FROM alert WHERE merchant_id = $1 AND transfer_seq = $2 AND kind = {AlertKind.CREDIT_ENDS};

-- newer_mail: find a mail to the same user about a newer alert of the same kind and threshold
SELECT o.alert_number FROM outbox o JOIN alert a ON a.merchant_id = o.merchant_id AND a.number = o.alert_number
WHERE o.merchant_id = $1 AND o.alert_number > $2 AND o.user_id = $3
    AND a.kind = $4 AND a.threshold IS NOT DISTINCT FROM $5
LIMIT 1;

-- settle_mail: write what became of a mail
UPDATE outbox SET state = $4, attempts = $5, next_attempt_at = $6, sent_at = $7, last_error = $8
WHERE merchant_id = $1 AND alert_number = $2 AND user_id = $3 RETURNING user_id;

-- all_mails: list the outbox, newest first
SELECT {alert of a}, {mail of o}
FROM outbox o JOIN alert a ON a.merchant_id = o.merchant_id AND a.number = o.alert_number
ORDER BY a.fired_at DESC, o.merchant_id, o.alert_number DESC, o.user_id LIMIT $1;

-- merchant_mails: list the outbox of one merchant, newest first
SELECT {alert of a}, {mail of o}
FROM outbox o JOIN alert a ON a.merchant_id = o.merchant_id AND a.number = o.alert_number
WHERE o.merchant_id = $1 ORDER BY o.alert_number DESC, o.user_id LIMIT $2;

-- retry_mails: make every mail that is neither sent nor withdrawn due
UPDATE outbox SET state = {MailState.WAITING}, next_attempt_at = $1
WHERE state IN ({MailState.WAITING}, {MailState.GIVEN_UP}) RETURNING user_id;

-- next_mail_at: tell when the next mail falls due
SELECT next_attempt_at FROM outbox WHERE state = {MailState.WAITING} ORDER BY next_attempt_at LIMIT 1;
