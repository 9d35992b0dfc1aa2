-- Usage by API key and quarter of an hour since 1970, rolled up from the book up to the transfer that usage_key_mark names.

-- lock_key_mark: tell up to which transfer a book was rolled up by key, and lock that until the transaction ends
INSERT INTO usage_key_mark AS m (merchant_id, seq) VALUES ($1, 0)
ON CONFLICT (merchant_id) DO UPDATE SET seq = m.seq RETURNING seq;

-- set_key_mark: write up to which transfer a book was rolled up by key
UPDATE usage_key_mark SET seq = $2 WHERE merchant_id = $1;

-- roll_up_keys: add a stretch of a book to its usage by key; what was spent is that of the quarter in which a charge or
-- hold was made
INSERT INTO usage_key AS u (merchant_id, quarter, key_id, request_type, requests, cost, refunded, spent)
SELECT CAST($1 AS BIGINT), quarter, key_id, request_type,
    sum(CASE WHEN kind IN ({Kind.CHARGE}, {Kind.CAPTURE}) THEN quantity ELSE 0 END),
    sum(CASE WHEN kind IN ({Kind.CHARGE}, {Kind.CAPTURE}) THEN amount ELSE 0 END),
    sum(CASE WHEN kind = {Kind.REFUND} THEN amount ELSE 0 END),
    sum(CASE WHEN kind IN ({Kind.CHARGE}, {Kind.HOLD}) THEN amount ELSE 0 END)
FROM {summed in $2}
WHERE key_id IS NOT NULL AND kind IN ({Kind.CHARGE}, {Kind.REFUND}, {Kind.HOLD}, {Kind.CAPTURE})
GROUP BY quarter, key_id, request_type
ON CONFLICT (merchant_id, quarter, key_id, request_type) DO UPDATE SET
    requests = u.requests + excluded.requests, cost = u.cost + excluded.cost,
    refunded = u.refunded + excluded.refunded, spent = u.spent + excluded.spent;

-- take_off_keys: take what a stretch of a book gives back off what keys spent, in the quarter in which the charge or hold was
-- made
INSERT INTO usage_key AS u (merchant_id, quarter, key_id, request_type, requests, cost, refunded, spent)
SELECT merchant_id, quarter, key_id, request_type, 0, 0, 0, sum(spent)
FROM (
    SELECT merchant_id, {counted at} / 900000000 AS quarter, key_id, request_type, -amount AS spent
    FROM transfer t
    WHERE merchant_id = $1 AND seq BETWEEN $2 AND $3 AND key_id IS NOT NULL
        AND kind IN ({Kind.REFUND}, {Kind.RELEASE}, {Kind.EXPIRE})
) returned
WHERE true
GROUP BY merchant_id, quarter, key_id, request_type
ON CONFLICT (merchant_id, quarter, key_id, request_type) DO UPDATE SET spent = u.spent + excluded.spent;

-- usage_by_key: sum up what is rolled up by key and what is not yet, into buckets of $5 quarters
SELECT (quarter + CAST($4 AS BIGINT)) / CAST($5 AS BIGINT), key_id, request_type, CAST(sum(requests) AS BIGINT),
    CAST(sum(cost) AS BIGINT), CAST(sum(refunded) AS BIGINT)
FROM (
    SELECT quarter, key_id, request_type, requests, cost, refunded
    FROM usage_key WHERE merchant_id = $1 AND quarter BETWEEN $2 AND $3
    UNION ALL
    SELECT committed_at / 900000000 AS quarter, key_id, request_type,
        CASE WHEN kind = {Kind.REFUND} THEN 0 ELSE coalesce(quantity, 0) END,
        CASE WHEN kind = {Kind.REFUND} THEN 0 ELSE amount END, CASE WHEN kind = {Kind.REFUND} THEN amount ELSE 0 END
    FROM transfer
    WHERE merchant_id = $1 AND seq > coalesce((SELECT seq FROM usage_key_mark WHERE merchant_id = $1), 0)
        AND key_id IS NOT NULL AND kind IN ({Kind.CHARGE}, {Kind.REFUND}, {Kind.CAPTURE})
        AND committed_at / 900000000 BETWEEN $2 AND $3
) used
WHERE requests > 0 OR cost > 0 OR refunded > 0
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;

-- spent_by_keys: sum up what charges and holds of keys took since a quarter began, less what went back of them
SELECT CAST(coalesce(sum(spent), 0) AS BIGINT)
FROM (
    SELECT spent FROM usage_key WHERE merchant_id = $1 AND key_id {in $2} AND quarter >= $3
    UNION ALL
    SELECT amount FROM transfer
    WHERE merchant_id = $1 AND seq > coalesce((SELECT seq FROM usage_key_mark WHERE merchant_id = $1), 0)
        AND key_id {in $2} AND kind IN ({Kind.CHARGE}, {Kind.HOLD}) AND committed_at / 900000000 >= $3
    UNION ALL
    SELECT -amount FROM transfer t
    WHERE merchant_id = $1 AND seq > coalesce((SELECT seq FROM usage_key_mark WHERE merchant_id = $1), 0)
        AND key_id {in $2} AND kind IN ({Kind.REFUND}, {Kind.RELEASE}, {Kind.EXPIRE}) AND {counted at} / 900000000 >= $3
) used;
