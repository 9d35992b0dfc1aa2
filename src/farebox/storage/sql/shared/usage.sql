-- Usage by quarter of an hour (900 seconds) since 1970, rolled up from the book up to the transfer that usage_mark names.

-- books_to_roll_up: list merchants whose books have many transfers that are not rolled up yet
SELECT a.merchant_id
FROM account a
LEFT JOIN usage_mark m ON m.merchant_id = a.merchant_id
LEFT JOIN revenue_mark r ON r.merchant_id = a.merchant_id
LEFT JOIN usage_key_mark k ON k.merchant_id = a.merchant_id
LEFT JOIN usage_hour_mark h ON h.merchant_id = a.merchant_id
WHERE a.merchant_id > $1
    AND (
        a.seq - coalesce(m.seq, 0) >= $2 OR a.seq - coalesce(r.seq, 0) >= $2
        OR a.seq - coalesce(k.seq, 0) >= $2 OR a.seq - coalesce(h.seq, 0) >= $2
    )
ORDER BY a.merchant_id LIMIT $3;

-- lock_rolled_up_seq: tell up to which transfer a book was rolled up, and lock that until the transaction ends
INSERT INTO usage_mark AS m (merchant_id, seq) VALUES ($1, 0)
ON CONFLICT (merchant_id) DO UPDATE SET seq = m.seq RETURNING seq;

-- set_rolled_up_seq: write up to which transfer a book was rolled up
UPDATE usage_mark SET seq = $2 WHERE merchant_id = $1;

-- sum_of_stretch: sum a stretch of a book up by quarter, kind, type and key, for all that is rolled up from it: `{summed
-- in $2}`, and how many of its transfers were priced by quantities
SELECT quarter, kind, request_type, key_id, CAST(sum(quantity) AS BIGINT),
    CAST(sum(amount / 1000000000) AS BIGINT), CAST(sum(amount % 1000000000) AS BIGINT),
    CAST(sum(given / 1000000000) AS BIGINT), CAST(sum(given % 1000000000) AS BIGINT),
    CAST(sum(uncollected / 1000000000) AS BIGINT), CAST(sum(uncollected % 1000000000) AS BIGINT), count(pricing)
FROM (
    SELECT t.committed_at / 900000000 AS quarter, t.kind, t.request_type, t.key_id, coalesce(t.quantity, 0) AS quantity,
        t.amount, {given part} AS given, coalesce(t.uncollected, 0) AS uncollected, t.pricing
    FROM transfer t
    WHERE t.merchant_id = $1 AND t.seq BETWEEN $2 AND $3
) moved
GROUP BY quarter, kind, request_type, key_id;

-- roll_up_usage: add a stretch of a book to its usage; what a charge and a capture take, and a refund gives back
INSERT INTO usage_quarter AS u (merchant_id, quarter, request_type, requests, cost, refunded)
SELECT CAST($1 AS BIGINT), quarter, request_type,
    sum(CASE WHEN kind = {Kind.REFUND} THEN 0 ELSE quantity END),
    sum(CASE WHEN kind = {Kind.REFUND} THEN 0 ELSE amount END),
    sum(CASE WHEN kind = {Kind.REFUND} THEN amount ELSE 0 END)
FROM {summed in $2}
WHERE kind IN ({Kind.CHARGE}, {Kind.REFUND}, {Kind.CAPTURE})
GROUP BY quarter, request_type
ON CONFLICT (merchant_id, quarter, request_type) DO UPDATE SET
    requests = u.requests + excluded.requests, cost = u.cost + excluded.cost,
    refunded = u.refunded + excluded.refunded;

-- roll_up_components: sum the quantities that a stretch of a book was priced by up, by name; whole billions and the rest
-- apart, so that no sum goes beyond 64 bits
INSERT INTO usage_component AS u (merchant_id, quarter, request_type, name, billions, rest)
SELECT merchant_id, committed_at / 900000000, request_type, named.key, sum(named.value / 1000000000),
    sum(named.value % 1000000000)
FROM transfer CROSS JOIN {quantities}
WHERE merchant_id = $1 AND seq BETWEEN $2 AND $3 AND kind IN ({Kind.CHARGE}, {Kind.CAPTURE}) AND pricing IS NOT NULL
GROUP BY 1, 2, 3, 4
ON CONFLICT (merchant_id, quarter, request_type, name) DO UPDATE SET
    billions = u.billions + excluded.billions, rest = u.rest + excluded.rest;

-- usage: sum up what is rolled up and what is not yet, into buckets of $5 quarters: requests and money, where the name is
-- NULL, and each named quantity
SELECT (quarter + CAST($4 AS BIGINT)) / CAST($5 AS BIGINT), request_type, name, CAST(sum(requests) AS BIGINT),
    CAST(sum(cost) AS BIGINT), CAST(sum(refunded) AS BIGINT), CAST(sum(billions) AS BIGINT), CAST(sum(rest) AS BIGINT)
FROM (
    SELECT quarter, request_type, CAST(NULL AS TEXT) AS name, requests, cost, refunded, 0 AS billions, 0 AS rest
    FROM usage_quarter WHERE merchant_id = $1 AND quarter BETWEEN $2 AND $3
    UNION ALL
    SELECT committed_at / 900000000 AS quarter, request_type, NULL,
        CASE WHEN kind = {Kind.REFUND} THEN 0 ELSE quantity END,
        CASE WHEN kind = {Kind.REFUND} THEN 0 ELSE amount END, CASE WHEN kind = {Kind.REFUND} THEN amount ELSE 0 END,
        0, 0
    FROM transfer
    WHERE merchant_id = $1 AND seq > coalesce((SELECT seq FROM usage_mark WHERE merchant_id = $1), 0)
        AND kind IN ({Kind.CHARGE}, {Kind.REFUND}, {Kind.CAPTURE}) AND committed_at / 900000000 BETWEEN $2 AND $3
    UNION ALL
    SELECT quarter, request_type, name, 0, 0, 0, billions, rest
    FROM usage_component WHERE merchant_id = $1 AND quarter BETWEEN $2 AND $3
    UNION ALL
    SELECT committed_at / 900000000, request_type, named.key, 0, 0, 0, named.value / 1000000000, named.value % 1000000000
    FROM transfer CROSS JOIN {quantities}
    WHERE merchant_id = $1 AND seq > coalesce((SELECT seq FROM usage_mark WHERE merchant_id = $1), 0)
        AND kind IN ({Kind.CHARGE}, {Kind.CAPTURE}) AND pricing IS NOT NULL
        AND committed_at / 900000000 BETWEEN $2 AND $3
) used
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
