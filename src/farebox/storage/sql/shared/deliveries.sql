-- Alerts, and what is owed of each: mails to users, webhooks and chat messages to destinations.

-- alerts: list a merchant's alerts, newest first
SELECT {alert} FROM alert WHERE merchant_id = $1 ORDER BY number DESC LIMIT $2;

-- alert: read one of a merchant's alerts
SELECT {alert} FROM alert WHERE merchant_id = $1 AND number = $2;

-- shown_alerts: list a merchant's alerts that are its own affair, newest first
SELECT {alert} FROM alert
WHERE merchant_id = $1 AND kind <> {AlertKind.APPROVAL_WAITING} ORDER BY number DESC LIMIT $2;

-- last_low_alert: find a merchant's newest alert of a threshold
SELECT {alert} FROM alert
WHERE merchant_id = $1 AND kind = {AlertKind.LOW_BALANCE} AND threshold = $2 ORDER BY number DESC LIMIT 1;

-- alert_mails: list the mails that one alert owes
SELECT {alert of a}, {delivery of o}
FROM delivery o JOIN alert a ON a.merchant_id = o.merchant_id AND a.number = o.alert_number
WHERE o.merchant_id = $1 AND o.alert_number = $2 AND o.channel = {Channel.EMAIL} ORDER BY o.recipient_id;

-- all_alerts: list all of a merchant's alerts, oldest first
SELECT {alert} FROM alert WHERE merchant_id = $1 ORDER BY number;

-- insert_alert: record an alert
INSERT INTO alert ({alert.stored}) VALUES ({alert.values});

-- owe_deliveries: owe an alert to those who want its kind: users by mail, and destinations that are on
INSERT INTO delivery (merchant_id, alert_number, channel, recipient_id, email, state, attempts, next_attempt_at)
{owed deliveries};

-- ending_grants: list grants that end within a time, and were not told of; none that lasts less than that in all
-- One of a merchant of whom nobody is to be told waits for the first who is.
-- Single values, as an EXISTS may be planned as a walk through all alerts and users.
SELECT {grant of g} FROM credit_grant g
WHERE g.state = {GrantState.OPEN} AND g.remaining > 0 AND g.due_at > $1 AND g.due_at <= $2
    AND g.expires_at - g.starts_at >= $3
    AND (
        SELECT a.number FROM alert a
        WHERE a.merchant_id = g.merchant_id AND a.transfer_seq = g.transfer_seq AND a.kind = {AlertKind.CREDIT_ENDS}
        LIMIT 1
    ) IS NULL
    AND (
        (SELECT u.user_id FROM merchant_user u WHERE u.merchant_id = g.merchant_id LIMIT 1) IS NOT NULL
        OR (
            SELECT d.destination_id FROM destination d
            WHERE d.merchant_id = g.merchant_id AND d.state = {DestinationState.ON}
                AND (d.kinds / (1 << {AlertKind.CREDIT_ENDS})) % 2 = 1
            LIMIT 1
        ) IS NOT NULL
        OR (
            SELECT d.destination_id FROM destination d
            WHERE d.merchant_id IS NULL AND d.state = {DestinationState.ON}
                AND (d.kinds / (1 << {AlertKind.CREDIT_ENDS})) % 2 = 1
            LIMIT 1
        ) IS NOT NULL
    )
ORDER BY g.due_at LIMIT $4;

-- told_of_grant: find the alert that told that a grant's credit ends
SELECT number FROM alert WHERE merchant_id = $1 AND transfer_seq = $2 AND kind = {AlertKind.CREDIT_ENDS};

-- newer_delivery: find a delivery to the same recipient of a newer alert of the same kind and threshold
SELECT o.alert_number FROM delivery o JOIN alert a ON a.merchant_id = o.merchant_id AND a.number = o.alert_number
WHERE o.merchant_id = $1 AND o.alert_number > $2 AND o.channel = $3 AND o.recipient_id = $4
    AND a.kind = $5 AND a.threshold IS NOT DISTINCT FROM $6
LIMIT 1;

-- settle_delivery: write what became of a delivery, unless its recipient was forgotten meanwhile
UPDATE delivery SET state = $5, attempts = $6, next_attempt_at = $7, sent_at = $8, last_error = $9
WHERE merchant_id = $1 AND alert_number = $2 AND channel = $3 AND recipient_id = $4 AND email = $10 RETURNING recipient_id;

-- all_mails: list the mails that alerts owe, newest first
SELECT {alert of a}, {delivery of o}
FROM delivery o JOIN alert a ON a.merchant_id = o.merchant_id AND a.number = o.alert_number
WHERE o.channel = {Channel.EMAIL}
ORDER BY a.fired_at DESC, o.merchant_id, o.alert_number DESC, o.recipient_id LIMIT $1;

-- merchant_mails: list the mails that a merchant's alerts owe, newest first
SELECT {alert of a}, {delivery of o}
FROM delivery o JOIN alert a ON a.merchant_id = o.merchant_id AND a.number = o.alert_number
WHERE o.merchant_id = $1 AND o.channel = {Channel.EMAIL} ORDER BY o.alert_number DESC, o.recipient_id LIMIT $2;

-- retry_mails: make every mail that is neither sent nor withdrawn due
UPDATE delivery SET state = {DeliveryState.WAITING}, next_attempt_at = $1
WHERE channel = {Channel.EMAIL} AND state IN ({DeliveryState.WAITING}, {DeliveryState.GIVEN_UP}) RETURNING recipient_id;

-- next_mail_at: tell when the next mail falls due
SELECT next_attempt_at FROM delivery
WHERE channel = {Channel.EMAIL} AND state = {DeliveryState.WAITING} ORDER BY next_attempt_at LIMIT 1;

-- oldest_waiting: tell since when the oldest of what each channel owes waits; mails about accounts have the channel 0
SELECT CAST(channel AS BIGINT), min((
    SELECT fired_at FROM alert WHERE alert.merchant_id = delivery.merchant_id AND alert.number = delivery.alert_number
))
FROM delivery WHERE state = {DeliveryState.WAITING} GROUP BY channel
UNION ALL
SELECT CAST(0 AS BIGINT), min(created_at) FROM letter WHERE state = {DeliveryState.WAITING} HAVING count(*) > 0;
