-- What is read of several merchants, or of copied tables and divided ones: Citus joins tables by merchant, and takes neither
-- LATERAL look-ups with a LIMIT nor single values of other shards.

-- merchant_rows: read merchants with their accounts and runway snapshots, in the order in which they are named
SELECT {merchant of m}, {account of a}, {runway_snapshot of r}
FROM merchant m JOIN account a ON a.merchant_id = m.merchant_id LEFT JOIN outlook r ON r.merchant_id = m.merchant_id
WHERE m.merchant_id = ANY($1::bigint[]) ORDER BY array_position($1::bigint[], m.merchant_id);

-- transfers_at: read single transfers of a book by their seq
SELECT {transfer} FROM transfer WHERE merchant_id = $1 AND seq = ANY($2::bigint[]);

-- open_holds: list all open holds, the soonest end first, from behind one, with the transfers that made them
SELECT {hold of h}, {transfer of t}
FROM hold h JOIN transfer t ON t.merchant_id = h.merchant_id AND t.seq = h.seq
WHERE h.state = {HoldState.HELD} AND (h.expires_at, h.merchant_id, h.seq) > ($1::bigint, $2::bigint, $3::bigint)
ORDER BY h.expires_at, h.merchant_id, h.seq LIMIT $4;

-- open_holds_of: list a merchant's open holds in the same way
SELECT {hold of h}, {transfer of t}
FROM hold h JOIN transfer t ON t.merchant_id = $4 AND t.seq = h.seq
WHERE h.state = {HoldState.HELD} AND h.merchant_id = $4
    AND (h.expires_at, h.merchant_id, h.seq) > ($1::bigint, $2::bigint, $3::bigint)
ORDER BY h.expires_at, h.seq LIMIT $5;

-- shortfalls: list what transfers left uncollected, newest first, from behind one, with the transfers
SELECT {shortfall of s}, {transfer of t}
FROM shortfall s JOIN transfer t ON t.merchant_id = s.merchant_id AND t.seq = s.seq
WHERE (s.at, s.merchant_id, s.seq) < ($1::bigint, $2::bigint, $3::bigint)
ORDER BY s.at DESC, s.merchant_id DESC, s.seq DESC LIMIT $4;

-- merchant_shortfalls: list what a merchant's transfers left uncollected, newest first, from behind one, with the transfers
SELECT {shortfall of s}, {transfer of t}
FROM shortfall s JOIN transfer t ON t.merchant_id = $1 AND t.seq = s.seq
WHERE s.merchant_id = $1 AND s.seq < $2 ORDER BY s.seq DESC LIMIT $3;

-- attempts_of_destination: list the attempts at a destination before a time, newest first, each with what it delivered
SELECT {alert of a}, {delivery of o}, {delivery_attempt of t}
FROM delivery_attempt t
JOIN delivery o ON o.merchant_id = t.merchant_id AND o.alert_number = t.alert_number AND o.channel = t.channel
    AND o.recipient_id = t.recipient_id
JOIN alert a ON a.merchant_id = t.merchant_id AND a.number = t.alert_number
WHERE t.channel = $1 AND t.recipient_id = $2 AND t.at < $3 ORDER BY t.at DESC LIMIT $4;

-- counts: count merchants that are not closed and those that are, transfers, and mails and account mails that wait
WITH mails AS MATERIALIZED (
    SELECT count(*) AS waiting FROM delivery
    WHERE channel = {Channel.EMAIL} AND state = {DeliveryState.WAITING}
), account_mails AS MATERIALIZED (
    SELECT count(*) AS waiting FROM letter WHERE state = {DeliveryState.WAITING}
), accounts AS MATERIALIZED (
    SELECT count(*) - count(closed_at) AS open, count(closed_at) AS closed, CAST(sum(seq) AS BIGINT) AS transfers
    FROM account
)
SELECT accounts.open, accounts.closed, coalesce(accounts.transfers, 0), mails.waiting, account_mails.waiting
FROM accounts CROSS JOIN mails CROSS JOIN account_mails;

-- oldest_event: tell when the oldest event was that waits for a channel, of so many due first and as many due last
SELECT min(a.fired_at) AS fired_at
FROM (
    (SELECT merchant_id, alert_number FROM delivery
    WHERE channel = $1 AND state = {DeliveryState.WAITING} ORDER BY next_attempt_at LIMIT $2)
    UNION
    (SELECT merchant_id, alert_number FROM delivery
    WHERE channel = $1 AND state = {DeliveryState.WAITING} ORDER BY next_attempt_at DESC LIMIT $2)
) w JOIN alert a ON a.merchant_id = w.merchant_id AND a.number = w.alert_number;

-- oldest_hold: tell when the oldest open hold was made, of so many that end first and as many that end last
SELECT min(t.committed_at) AS committed_at
FROM (
    (SELECT merchant_id, seq FROM hold WHERE state = {HoldState.HELD} ORDER BY expires_at LIMIT $1)
    UNION
    (SELECT merchant_id, seq FROM hold WHERE state = {HoldState.HELD} ORDER BY expires_at DESC LIMIT $1)
) h JOIN transfer t ON t.merchant_id = h.merchant_id AND t.seq = h.seq;

-- forget_attempts: forget attempts of before a time, about so many at most
WITH last AS MATERIALIZED (
    SELECT at FROM delivery_attempt WHERE at < $1 ORDER BY at LIMIT 1 OFFSET $2 - 1
)
DELETE FROM delivery_attempt WHERE at < $1 AND NOT EXISTS (SELECT 1 FROM last WHERE last.at < delivery_attempt.at)
RETURNING number;

-- withdraw_default_price: withdraw a version of a default price that has not started by the clock, nor, if it starts so
-- soon that clocks may differ about it, by any book
WITH latest AS MATERIALIZED (SELECT max(last_at) AS last_at FROM account)
UPDATE default_price SET withdrawn_at = $2
WHERE price_id = $1 AND starts_at > $2 AND withdrawn_at IS NULL
    AND (starts_at > $3 OR NOT EXISTS (SELECT 1 FROM latest WHERE latest.last_at >= default_price.starts_at))
RETURNING price_id;

-- delete_destinations_of_user: remove the destinations of a mailbox's user on a merchant's account
-- A range, so that users are looked for in all shards first: within one, a copied table can't be changed.
DELETE FROM destination WHERE merchant_id = $1 AND user_id IN (
    SELECT user_id FROM merchant_user WHERE merchant_id BETWEEN $1 AND $1 AND mailbox = $2
) RETURNING destination_id;
