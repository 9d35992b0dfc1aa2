-- What moved by month, kind and request type, and each book's balance at the end of each month: rolled up from the book
-- up to the transfer that revenue_mark names. Sums are whole billions and a rest.

-- lock_revenue_mark: tell up to which transfer a book was rolled up into months, and lock that until the transaction ends
INSERT INTO revenue_mark AS m (merchant_id, seq, last_at) VALUES ($1, 0, 0)
ON CONFLICT (merchant_id) DO UPDATE SET seq = m.seq RETURNING seq;

-- set_revenue_mark: write up to which transfer a book was rolled up into months, and when that was committed
UPDATE revenue_mark SET seq = $2,
    last_at = coalesce((SELECT committed_at FROM transfer WHERE merchant_id = $1 AND seq = $2), 0)
WHERE merchant_id = $1;

-- roll_up_revenue: sum a stretch of a book up by month, kind and type: all that changes what a merchant has
INSERT INTO revenue_month AS r (
    month, currency, kind, request_type, merchant_id,
    amount_billions, amount_rest, given_billions, given_rest, uncollected_billions, uncollected_rest
)
SELECT month, CAST($4 AS TEXT), kind, request_type, merchant_id, sum(amount / 1000000000), sum(amount % 1000000000),
    sum(given / 1000000000), sum(given % 1000000000), sum(uncollected / 1000000000), sum(uncollected % 1000000000)
FROM (
    SELECT t.merchant_id, {month} AS month, t.kind, coalesce(t.request_type, '') AS request_type, t.amount,
        {given part} AS given, coalesce(t.uncollected, 0) AS uncollected
    FROM transfer t
    WHERE t.merchant_id = $1 AND t.seq BETWEEN $2 AND $3
        AND t.kind NOT IN ({Kind.HOLD}, {Kind.RELEASE}, {Kind.EXPIRE})
) moved
GROUP BY month, kind, request_type, merchant_id
ON CONFLICT (month, currency, kind, request_type, merchant_id) DO UPDATE SET
    amount_billions = r.amount_billions + excluded.amount_billions, amount_rest = r.amount_rest + excluded.amount_rest,
    given_billions = r.given_billions + excluded.given_billions, given_rest = r.given_rest + excluded.given_rest,
    uncollected_billions = r.uncollected_billions + excluded.uncollected_billions,
    uncollected_rest = r.uncollected_rest + excluded.uncollected_rest;

-- roll_up_balances: write what each month of a stretch of a book left: posted as the book tells it, and its given part
INSERT INTO balance_month (merchant_id, month, posted, given)
SELECT c.merchant_id, c.month, l.wallet_after + l.held_after, CAST(
    coalesce((SELECT given FROM balance_month WHERE merchant_id = $1 ORDER BY month DESC LIMIT 1), 0)
    + sum(c.given) OVER (ORDER BY c.month) AS BIGINT
)
FROM (
    SELECT merchant_id, month, max(seq) AS seq, sum(given) AS given
    FROM (
        SELECT t.merchant_id, {month} AS month, t.seq, CASE
            WHEN t.kind IN ({Kind.HOLD}, {Kind.RELEASE}, {Kind.EXPIRE}) THEN 0
            WHEN t.kind IN ({Kind.GRANT}, {Kind.REFUND}) THEN 1 ELSE -1
        END * {given part} AS given
        FROM transfer t WHERE t.merchant_id = $1 AND t.seq BETWEEN $2 AND $3
    ) moved
    GROUP BY merchant_id, month
) c
JOIN transfer l ON l.merchant_id = $1 AND l.seq = c.seq
WHERE true
ON CONFLICT (merchant_id, month) DO UPDATE SET posted = excluded.posted, given = excluded.given;

-- revenue: sum up the months from $1 to $2, which begin at $3 and end ahead of $4, and what merchants had before and after
-- In one statement, as a stretch that is rolled up meanwhile must be counted once. Part 0 is what moved: amounts, given
-- parts and what is uncollected. Part 1 is what merchants had when the first month began, part 2 when the last one ended:
-- paid money of those who have some, what others are below zero, and given credit.
WITH late AS MATERIALIZED (
    SELECT s.merchant_id, s.currency, t.committed_at, {month} AS month, t.kind,
        coalesce(t.request_type, '') AS request_type, t.amount, {given part} AS given,
        coalesce(t.uncollected, 0) AS uncollected,
        CASE WHEN t.kind IN ({Kind.TOP_UP}, {Kind.REFUND}, {Kind.ADJUSTMENT_CREDIT}, {Kind.GRANT}) THEN 1 ELSE -1 END
            AS sign
    FROM (
        SELECT a.merchant_id, a.currency, coalesce(m.seq, 0) AS seq
        FROM account a LEFT JOIN revenue_mark m ON m.merchant_id = a.merchant_id
        WHERE a.seq > coalesce(m.seq, 0) AND coalesce(m.last_at, 0) < $4
    ) s {not rolled up}
    WHERE t.committed_at < $4 AND t.kind NOT IN ({Kind.HOLD}, {Kind.RELEASE}, {Kind.EXPIRE})
), balance AS (
    SELECT part, merchant_id, currency, CAST(sum(paid) AS BIGINT) AS paid, CAST(sum(given) AS BIGINT) AS given
    FROM (
        SELECT w.part, a.merchant_id, a.currency, e.posted - e.given AS paid, e.given
        FROM account a CROSS JOIN (
            SELECT 1 AS part, CAST($1 AS BIGINT) AS before UNION ALL SELECT 2, CAST($2 AS BIGINT) + 1
        ) w {latest balance}
        UNION ALL
        SELECT w.part, merchant_id, currency, sign * (amount - given), sign * given
        FROM late CROSS JOIN (
            SELECT 1 AS part, CAST($3 AS BIGINT) AS before UNION ALL SELECT 2, CAST($4 AS BIGINT)
        ) w
        WHERE committed_at < w.before
    ) changed
    GROUP BY part, merchant_id, currency
)
SELECT 0, month, currency, kind, request_type,
    CAST(sum(amount_billions) AS BIGINT), CAST(sum(amount_rest) AS BIGINT),
    CAST(sum(given_billions) AS BIGINT), CAST(sum(given_rest) AS BIGINT),
    CAST(sum(uncollected_billions) AS BIGINT), CAST(sum(uncollected_rest) AS BIGINT)
FROM (
    SELECT month, currency, kind, request_type, amount_billions, amount_rest, given_billions, given_rest,
        uncollected_billions, uncollected_rest
    FROM revenue_month WHERE month BETWEEN $1 AND $2
    UNION ALL
    SELECT month, currency, kind, request_type, amount / 1000000000, amount % 1000000000,
        given / 1000000000, given % 1000000000, uncollected / 1000000000, uncollected % 1000000000
    FROM late WHERE committed_at >= $3
) moved
GROUP BY month, currency, kind, request_type
UNION ALL
SELECT part, CAST(0 AS BIGINT), currency, 0, '',
    CAST(sum(CASE WHEN paid > 0 THEN paid / 1000000000 ELSE 0 END) AS BIGINT),
    CAST(sum(CASE WHEN paid > 0 THEN paid % 1000000000 ELSE 0 END) AS BIGINT),
    CAST(sum(CASE WHEN paid < 0 THEN -paid / 1000000000 ELSE 0 END) AS BIGINT),
    CAST(sum(CASE WHEN paid < 0 THEN -paid % 1000000000 ELSE 0 END) AS BIGINT),
    CAST(sum(given / 1000000000) AS BIGINT), CAST(sum(given % 1000000000) AS BIGINT)
FROM balance GROUP BY part, currency
ORDER BY 1, 2, 3, 4, 5;
