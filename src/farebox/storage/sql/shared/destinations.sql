-- Destinations: where webhooks and chat messages go, what was sent there, and what was answered.

-- insert_destination: add a destination
INSERT INTO destination ({destination.stored}) VALUES ({destination.values});

-- destination: read one destination
SELECT {destination} FROM destination WHERE destination_id = $1;

-- merchant_destinations: list the destinations of a merchant and of its users, oldest first
-- The sum keeps PostgreSQL from walking the index of all destinations because that has the order already.
SELECT {destination} FROM destination WHERE merchant_id = $1 ORDER BY destination_id + 0;

-- operator_destinations: list the operator's own destinations, oldest first
SELECT {destination} FROM destination WHERE merchant_id IS NULL ORDER BY destination_id + 0;

-- lock_destination: read one destination, so that nobody else changes it meanwhile
UPDATE destination SET state = state WHERE destination_id = $1 RETURNING {destination};

-- set_destination: change what a destination is called, wants, and where it leads
UPDATE destination SET name = $2, url = $3, kinds = $4, secret = $5, version = $6
WHERE destination_id = $1 RETURNING destination_id;

-- set_destination_secret: give a destination another secret; the one before stays good until $4
UPDATE destination SET secret = $2, secret_before = $3, secret_before_until = $4
WHERE destination_id = $1 RETURNING destination_id;

-- destination_secrets_page: list what destinations keep secret after a destination, in their order
SELECT destination_id, secret, secret_before FROM destination WHERE destination_id > $1 ORDER BY destination_id LIMIT $2;

-- rewrite_destination_secret: write a destination's secrets in place of ones that mean the same
UPDATE destination SET secret = $2, secret_before = $3
WHERE destination_id = $1 AND secret = $4 RETURNING destination_id;

-- set_destination_state: turn a destination on or off, whatever became of it before
UPDATE destination
SET state = $2, failing_since = NULL, failures = 0, paused_until = 0, disabled_at = NULL, disabled_reason = NULL
WHERE destination_id = $1 RETURNING destination_id;

-- delete_destination: remove a destination
DELETE FROM destination WHERE destination_id = $1 RETURNING destination_id;

-- delete_destinations_of_user: remove the destinations of a mailbox's user on a merchant's account
DELETE FROM destination WHERE merchant_id = $1 AND user_id = (
    SELECT user_id FROM merchant_user WHERE merchant_id = $1 AND mailbox = $2
) RETURNING destination_id;

-- sent_to_destination: list what is owed to a merchant's destination and was, newest first, with the last attempt
SELECT {alert of a}, {delivery of o}, {delivery_attempt of t}
FROM delivery o
JOIN alert a ON a.merchant_id = o.merchant_id AND a.number = o.alert_number
LEFT JOIN delivery_attempt t ON t.merchant_id = o.merchant_id AND t.alert_number = o.alert_number
    AND t.channel = o.channel AND t.recipient_id = o.recipient_id AND t.number = (
        SELECT l.number FROM delivery_attempt l
        WHERE l.merchant_id = o.merchant_id AND l.alert_number = o.alert_number
            AND l.channel = o.channel AND l.recipient_id = o.recipient_id
        ORDER BY l.number DESC LIMIT 1
    )
WHERE o.channel = $1 AND o.recipient_id = $2 AND o.merchant_id = $3 AND o.alert_number < $4
ORDER BY o.alert_number DESC LIMIT $5;

-- attempts_of_destination: list the attempts at a destination before a time, newest first, each with what it delivered
-- A range of one, as equal values would be joined by a walk through all alerts in a plan that is made of empty tables.
SELECT {alert of a}, {delivery of o}, {delivery_attempt of t}
FROM (
    SELECT {delivery_attempt} FROM delivery_attempt
    WHERE channel = $1 AND recipient_id = $2 AND at < $3 ORDER BY at DESC LIMIT $4
) t
JOIN delivery o ON o.merchant_id BETWEEN t.merchant_id AND t.merchant_id
    AND o.alert_number BETWEEN t.alert_number AND t.alert_number AND o.channel BETWEEN t.channel AND t.channel
    AND o.recipient_id BETWEEN t.recipient_id AND t.recipient_id
JOIN alert a ON a.merchant_id BETWEEN t.merchant_id AND t.merchant_id AND a.number BETWEEN t.alert_number AND t.alert_number
ORDER BY t.at DESC;

-- delivery_to: read one delivery
SELECT {alert of a}, {delivery of o}
FROM delivery o JOIN alert a ON a.merchant_id = o.merchant_id AND a.number = o.alert_number
WHERE o.merchant_id = $1 AND o.alert_number = $2 AND o.channel = $3 AND o.recipient_id = $4;

-- attempts_of_delivery: list the attempts of one delivery, the last first
SELECT {delivery_attempt} FROM delivery_attempt
WHERE merchant_id = $1 AND alert_number = $2 AND channel = $3 AND recipient_id = $4 ORDER BY number DESC LIMIT $5;

-- replay_delivery: make a delivery due again, as if it had never been tried; what is due already stays as it is
UPDATE delivery SET state = {DeliveryState.WAITING}, attempts = 0, next_attempt_at = $5, sent_at = NULL, last_error = NULL
WHERE merchant_id = $1 AND alert_number = $2 AND channel = $3 AND recipient_id = $4
RETURNING recipient_id;

-- replay_deliveries: make a merchant's alerts of a time due at a destination that wants them, whether owed before or not
-- With 0 for $8, those that it took are left out.
INSERT INTO delivery AS o (merchant_id, alert_number, channel, recipient_id, email, state, attempts, next_attempt_at)
SELECT a.merchant_id, a.number, CAST($1 AS BIGINT), CAST($2 AS BIGINT), '', {DeliveryState.WAITING}, 0, CAST($7 AS BIGINT)
FROM alert a
WHERE a.merchant_id = $3 AND a.fired_at >= $4 AND a.fired_at < $5 AND (CAST($6 AS BIGINT) / (1 << a.kind)) % 2 = 1
    AND a.facts IS NOT NULL AND a.user_id IS NULL AND a.kind <> {AlertKind.APPROVAL_WAITING}
    AND ($8 = 1 OR NOT EXISTS (
        SELECT 1 FROM delivery s
        WHERE s.merchant_id = a.merchant_id AND s.alert_number = a.number AND s.channel = $1 AND s.recipient_id = $2
            AND s.state = {DeliveryState.SENT}
    ))
ORDER BY a.number LIMIT $9
ON CONFLICT (merchant_id, alert_number, channel, recipient_id) DO UPDATE SET state = {DeliveryState.WAITING}, attempts = 0,
    next_attempt_at = excluded.next_attempt_at, sent_at = NULL, last_error = NULL
RETURNING alert_number;

-- replay_deliveries_of_all: make all merchants' alerts of a time due at one of the operator's destinations
INSERT INTO delivery AS o (merchant_id, alert_number, channel, recipient_id, email, state, attempts, next_attempt_at)
SELECT a.merchant_id, a.number, CAST($1 AS BIGINT), CAST($2 AS BIGINT), '', {DeliveryState.WAITING}, 0, CAST($6 AS BIGINT)
FROM alert a
WHERE a.fired_at >= $3 AND a.fired_at < $4 AND (CAST($5 AS BIGINT) / (1 << a.kind)) % 2 = 1
    AND a.facts IS NOT NULL AND a.user_id IS NULL
    AND ($7 = 1 OR NOT EXISTS (
        SELECT 1 FROM delivery s
        WHERE s.merchant_id = a.merchant_id AND s.alert_number = a.number AND s.channel = $1 AND s.recipient_id = $2
            AND s.state = {DeliveryState.SENT}
    ))
ORDER BY a.fired_at, a.merchant_id, a.number LIMIT $8
ON CONFLICT (merchant_id, alert_number, channel, recipient_id) DO UPDATE SET state = {DeliveryState.WAITING}, attempts = 0,
    next_attempt_at = excluded.next_attempt_at, sent_at = NULL, last_error = NULL
RETURNING alert_number;

-- all_destinations: list everybody's destinations, behind one
SELECT {destination} FROM destination WHERE destination_id > $1 ORDER BY destination_id LIMIT $2;
