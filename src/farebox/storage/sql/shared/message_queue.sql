-- What is owed to destinations. A lane is what one merchant's alerts owe to one of them.

-- lane_heads: find due deliveries that are the first of their lanes: of a channel, at a time, after a destination
-- Each step finds the next merchant of a destination, or else the next destination; one that is paused has no lanes.
WITH RECURSIVE lane (recipient_id, merchant_id) AS (
    SELECT CAST($3 AS BIGINT), CAST(9223372036854775807 AS BIGINT)
    UNION ALL
    SELECT
        CASE WHEN (
            SELECT min(w.merchant_id) FROM delivery w
            WHERE w.state = {DeliveryState.WAITING} AND w.channel <> {Channel.EMAIL} AND w.attempts < 8
                AND w.channel = $1 AND w.recipient_id = l.recipient_id AND w.merchant_id > l.merchant_id
                AND coalesce((SELECT d.paused_until FROM destination d WHERE d.destination_id = l.recipient_id), 0) <= $2
        ) IS NULL THEN (
            SELECT min(w.recipient_id) FROM delivery w
            WHERE w.state = {DeliveryState.WAITING} AND w.channel <> {Channel.EMAIL} AND w.attempts < 8
                AND w.channel = $1 AND w.recipient_id > l.recipient_id
        ) ELSE l.recipient_id END,
        coalesce((
            SELECT min(w.merchant_id) FROM delivery w
            WHERE w.state = {DeliveryState.WAITING} AND w.channel <> {Channel.EMAIL} AND w.attempts < 8
                AND w.channel = $1 AND w.recipient_id = l.recipient_id AND w.merchant_id > l.merchant_id
                AND coalesce((SELECT d.paused_until FROM destination d WHERE d.destination_id = l.recipient_id), 0) <= $2
        ), -1)
    FROM lane l WHERE l.recipient_id IS NOT NULL
)
SELECT l.recipient_id, l.merchant_id, (
    SELECT min(w.alert_number) FROM delivery w
    WHERE w.state = {DeliveryState.WAITING} AND w.channel <> {Channel.EMAIL} AND w.attempts < 8
        AND w.channel = $1 AND w.recipient_id = l.recipient_id AND w.merchant_id = l.merchant_id
) AS alert_number
FROM lane l
WHERE l.merchant_id BETWEEN 0 AND 9223372036854775806 AND l.recipient_id IS NOT NULL AND (
    SELECT w.next_attempt_at FROM delivery w
    WHERE w.state = {DeliveryState.WAITING} AND w.channel <> {Channel.EMAIL} AND w.attempts < 8
        AND w.channel = $1 AND w.recipient_id = l.recipient_id AND w.merchant_id = l.merchant_id
    ORDER BY w.alert_number LIMIT 1
) <= $2
LIMIT $4;

-- late_deliveries: find deliveries of a channel that are due and hold up no others any more
SELECT w.merchant_id, w.alert_number, w.recipient_id FROM delivery w
WHERE w.state = {DeliveryState.WAITING} AND w.channel <> {Channel.EMAIL} AND w.attempts >= 8
    AND w.channel = $1 AND w.next_attempt_at <= $2
    AND coalesce((SELECT d.paused_until FROM destination d WHERE d.destination_id = w.recipient_id), 0) <= $2
ORDER BY w.next_attempt_at LIMIT $3;

-- lease_delivery: take a delivery, if it is due still
UPDATE delivery SET attempts = attempts + 1, next_attempt_at = $6
WHERE merchant_id = $1 AND alert_number = $2 AND channel = $3 AND recipient_id = $4
    AND state = {DeliveryState.WAITING} AND next_attempt_at <= $5
RETURNING recipient_id;

-- owed_message: read a delivery, its alert and its destination
SELECT {alert of a}, {delivery of o}, {destination of d}
FROM delivery o
JOIN alert a ON a.merchant_id = o.merchant_id AND a.number = o.alert_number
LEFT JOIN destination d ON d.destination_id = o.recipient_id
WHERE o.merchant_id = $1 AND o.alert_number = $2 AND o.channel = $3 AND o.recipient_id = $4;

-- insert_attempt: write down what came of an attempt, as the next of its delivery, unless it is there
INSERT INTO delivery_attempt ({delivery_attempt.stored})
SELECT CAST($1 AS BIGINT), CAST($2 AS BIGINT), CAST($3 AS SMALLINT), CAST($4 AS BIGINT), coalesce(max(t.number), 0) + 1,
    CAST($5 AS BIGINT), CAST($6 AS BIGINT), CAST($7 AS BIGINT), CAST($8 AS TEXT)
FROM delivery_attempt t
WHERE t.merchant_id = $1 AND t.alert_number = $2 AND t.channel = $3 AND t.recipient_id = $4
HAVING coalesce(max(t.at), -1) <> $5;

-- note_destination_failure: note that a destination fails, and until when it is left alone
UPDATE destination
SET failing_since = coalesce(failing_since, $2), failures = $3,
    paused_until = CASE WHEN paused_until < $4 THEN $4 ELSE paused_until END
WHERE destination_id = $1;

-- note_destination_success: note that a destination works again
UPDATE destination SET failing_since = NULL, failures = 0, paused_until = 0
WHERE destination_id = $1 AND (failing_since IS NOT NULL OR failures > 0 OR paused_until > 0);

-- hurry_deliveries: make due what waits for a destination for longer than any lease
UPDATE delivery SET next_attempt_at = $3
WHERE channel = $1 AND recipient_id = $2 AND state = {DeliveryState.WAITING} AND next_attempt_at > $4;

-- disable_destination: disable a destination that is on
UPDATE destination SET state = {DestinationState.DISABLED}, disabled_at = $2, disabled_reason = $3
WHERE destination_id = $1 AND state = {DestinationState.ON}
RETURNING destination_id;

-- give_up_deliveries: give up all that waits for a destination, for a reason
UPDATE delivery SET state = {DeliveryState.GIVEN_UP}, last_error = $3
WHERE channel = $1 AND recipient_id = $2 AND state = {DeliveryState.WAITING};

-- forget_attempts: forget attempts of before a time, about so many at most
DELETE FROM delivery_attempt
WHERE at < $1 AND at <= coalesce((SELECT at FROM delivery_attempt WHERE at < $1 ORDER BY at LIMIT 1 OFFSET $2 - 1), $1)
RETURNING number;
