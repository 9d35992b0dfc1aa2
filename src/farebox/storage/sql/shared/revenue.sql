-- What moved by month, kind and request type, and each book's balance at the end of each month: rolled up from the book
-- up to the transfer that revenue_mark names. Sums are whole billions and a rest.

-- lock_revenue_mark: tell up to which transfer a book was rolled up into months, and lock that until the transaction ends
INSERT INTO revenue_mark AS m (merchant_id, seq, last_at) VALUES ($1, 0, 0)
ON CONFLICT (merchant_id) DO UPDATE SET seq = m.seq RETURNING seq;

-- set_revenue_mark: write up to which transfer a book was rolled up into months, and when that was committed
UPDATE revenue_mark SET seq = $2,
    last_at = coalesce((SELECT committed_at FROM transfer WHERE merchant_id = $1 AND seq = $2), 0)
WHERE merchant_id = $1;

-- last_seq_before: find the last transfer of a stretch of a book that was committed before a time
SELECT max(seq) FROM transfer WHERE merchant_id = $1 AND seq BETWEEN $2 AND $3 AND committed_at < $4;

-- roll_up_revenue: add a stretch of a book that is in one month to it, by kind and type: all that changes what a merchant has
INSERT INTO revenue_month AS r (
    month, currency, kind, request_type, merchant_id,
    amount_billions, amount_rest, given_billions, given_rest, uncollected_billions, uncollected_rest
)
SELECT CAST($3 AS BIGINT), CAST($4 AS TEXT), kind, coalesce(request_type, ''), CAST($1 AS BIGINT),
    sum(amount_billions), sum(amount_rest), sum(given_billions), sum(given_rest),
    sum(uncollected_billions), sum(uncollected_rest)
FROM {summed in $2}
WHERE kind NOT IN ({Kind.HOLD}, {Kind.RELEASE}, {Kind.EXPIRE})
GROUP BY kind, request_type
ON CONFLICT (month, currency, kind, request_type, merchant_id) DO UPDATE SET
    amount_billions = r.amount_billions + excluded.amount_billions, amount_rest = r.amount_rest + excluded.amount_rest,
    given_billions = r.given_billions + excluded.given_billions, given_rest = r.given_rest + excluded.given_rest,
    uncollected_billions = r.uncollected_billions + excluded.uncollected_billions,
    uncollected_rest = r.uncollected_rest + excluded.uncollected_rest;

-- roll_up_balance: write what a stretch of a book that is in one month left: posted as the book tells it, its given part,
-- and what is owed of top-ups that were taken back
INSERT INTO balance_month (merchant_id, month, posted, given, owed)
SELECT l.merchant_id, CAST($4 AS BIGINT), l.wallet_after + l.held_after,
    CAST(coalesce(b.given, 0) + coalesce(c.given, 0) AS BIGINT),
    CAST(coalesce(b.owed, 0) + coalesce(c.owed, 0) AS BIGINT)
FROM transfer l
CROSS JOIN (
    SELECT sum(CASE WHEN t.kind IN ({Kind.GRANT}, {Kind.REFUND}) THEN 1 ELSE -1 END * {given part}) AS given,
        sum({owed}) AS owed
    FROM transfer t
    WHERE t.merchant_id = $1 AND t.seq BETWEEN $2 AND $3 AND (t.given IS NOT NULL OR t.kind = {Kind.TOP_UP_REVERSAL})
        AND t.kind NOT IN ({Kind.HOLD}, {Kind.RELEASE}, {Kind.EXPIRE})
) c
LEFT JOIN balance_month b ON b.merchant_id = $1
    AND b.month = (SELECT max(month) FROM balance_month WHERE merchant_id = $1)
WHERE l.merchant_id = $1 AND l.seq = $3
ON CONFLICT (merchant_id, month) DO UPDATE SET
    posted = excluded.posted, given = excluded.given, owed = excluded.owed;

-- revenue_moved: sum up what is rolled up of the months from $1 to $2, by kind and type
SELECT month, currency, kind, request_type,
    CAST(sum(amount_billions) AS BIGINT), CAST(sum(amount_rest) AS BIGINT),
    CAST(sum(given_billions) AS BIGINT), CAST(sum(given_rest) AS BIGINT),
    CAST(sum(uncollected_billions) AS BIGINT), CAST(sum(uncollected_rest) AS BIGINT)
FROM revenue_month WHERE month BETWEEN $1 AND $2
GROUP BY month, currency, kind, request_type;

-- revenue_not_rolled_up: sum up what is not rolled up yet of the time from $1 to $2, by month, kind and type
-- A book that is rolled up beyond that time has nothing in it; nor has one that ended ahead of it.
SELECT month, currency, kind, request_type,
    CAST(sum(amount / 1000000000) AS BIGINT), CAST(sum(amount % 1000000000) AS BIGINT),
    CAST(sum(given / 1000000000) AS BIGINT), CAST(sum(given % 1000000000) AS BIGINT),
    CAST(sum(uncollected / 1000000000) AS BIGINT), CAST(sum(uncollected % 1000000000) AS BIGINT)
FROM (
    SELECT {month} AS month, s.currency, t.kind, coalesce(t.request_type, '') AS request_type, t.amount,
        {given part} AS given, coalesce(t.uncollected, 0) AS uncollected
    FROM (
        SELECT a.merchant_id, a.currency, coalesce(m.seq, 0) AS seq
        FROM account a LEFT JOIN revenue_mark m ON m.merchant_id = a.merchant_id
        WHERE a.seq > coalesce(m.seq, 0) AND a.last_at >= $1 AND coalesce(m.last_at, 0) < $2
    ) s {not rolled up}
    WHERE t.committed_at >= $1 AND t.committed_at < $2
        AND t.kind NOT IN ({Kind.HOLD}, {Kind.RELEASE}, {Kind.EXPIRE})
) moved
GROUP BY month, currency, kind, request_type;

-- balances_before: sum up what merchants had when month $1 began, at the time $2, by currency: the paid money of those who
-- have some, what others are below zero, given credit, and what is owed
SELECT currency,
    CAST(sum(CASE WHEN paid > 0 THEN paid / 1000000000 ELSE 0 END) AS BIGINT),
    CAST(sum(CASE WHEN paid > 0 THEN paid % 1000000000 ELSE 0 END) AS BIGINT),
    CAST(sum(CASE WHEN paid < 0 THEN -paid / 1000000000 ELSE 0 END) AS BIGINT),
    CAST(sum(CASE WHEN paid < 0 THEN -paid % 1000000000 ELSE 0 END) AS BIGINT),
    CAST(sum(given / 1000000000) AS BIGINT), CAST(sum(given % 1000000000) AS BIGINT),
    CAST(sum(owed / 1000000000) AS BIGINT), CAST(sum(owed % 1000000000) AS BIGINT)
FROM (
    SELECT merchant_id, currency, CAST(sum(paid) AS BIGINT) AS paid, CAST(sum(given) AS BIGINT) AS given,
        CAST(sum(owed) AS BIGINT) AS owed
    FROM (
        SELECT a.merchant_id, a.currency, e.posted - e.given AS paid, e.given, e.owed
        FROM account a {latest balance}
        UNION ALL
        SELECT merchant_id, currency, sign * (amount - given), sign * given, owed
        FROM (
            SELECT s.merchant_id, s.currency, t.amount, {given part} AS given, {owed} AS owed,
                CASE WHEN t.kind IN ({Kind.TOP_UP}, {Kind.REFUND}, {Kind.ADJUSTMENT_CREDIT}, {Kind.GRANT}) THEN 1
                ELSE -1 END AS sign
            FROM (
                SELECT a.merchant_id, a.currency, coalesce(m.seq, 0) AS seq
                FROM account a LEFT JOIN revenue_mark m ON m.merchant_id = a.merchant_id
                WHERE a.seq > coalesce(m.seq, 0) AND coalesce(m.last_at, 0) < $2
            ) s {not rolled up}
            WHERE t.committed_at < $2 AND t.kind NOT IN ({Kind.HOLD}, {Kind.RELEASE}, {Kind.EXPIRE})
        ) moved
    ) changed
    GROUP BY merchant_id, currency
) balance
GROUP BY currency;
