-- Revenue: what moved by month, kind and request type, and each book's balance at the end of each month. Applied before
-- the new program is started.

-- The month goes first, as a report reads one; then what it is summed up by, so that nothing is sorted. A sum is whole
-- billions and a rest, as one of many large amounts could be beyond 64 bits. A month is written as 202611, in UTC.
CREATE TABLE revenue_month (
    month BIGINT NOT NULL,
    currency TEXT COLLATE "C" NOT NULL,
    kind BIGINT NOT NULL,
    request_type TEXT COLLATE "C" NOT NULL,
    merchant_id BIGINT NOT NULL,
    amount_billions BIGINT NOT NULL,
    amount_rest BIGINT NOT NULL,
    given_billions BIGINT NOT NULL,
    given_rest BIGINT NOT NULL,
    uncollected_billions BIGINT NOT NULL,
    uncollected_rest BIGINT NOT NULL,
    PRIMARY KEY (month, currency, kind, request_type, merchant_id)
);

-- What a month's last transfer left: wallet and held, how much of both was given credit, and what is owed of top-ups that
-- were taken back.
CREATE TABLE balance_month (
    merchant_id BIGINT NOT NULL,
    month BIGINT NOT NULL,
    posted BIGINT NOT NULL,
    given BIGINT NOT NULL,
    owed BIGINT NOT NULL,
    PRIMARY KEY (merchant_id, month)
);

-- Up to which transfer each book is rolled up, and when that was committed. A mark of its own, as servers that run while
-- a database is brought up to date roll usage up, and know nothing of months.
CREATE TABLE revenue_mark (
    merchant_id BIGINT PRIMARY KEY,
    seq BIGINT NOT NULL,
    last_at BIGINT NOT NULL
);

-- What is rolled up already. Kinds 5, 7 and 8 are holds and their ends without a request, which leave a merchant what it
-- has; 4 and 11 are refunds and grants, and the given parts of all others are taken.
INSERT INTO revenue_month (
    month, currency, kind, request_type, merchant_id,
    amount_billions, amount_rest, given_billions, given_rest, uncollected_billions, uncollected_rest
)
SELECT month, currency, kind, request_type, merchant_id, sum(amount / 1000000000), sum(amount % 1000000000),
    sum(given / 1000000000), sum(given % 1000000000), sum(uncollected / 1000000000), sum(uncollected % 1000000000)
FROM (
    SELECT t.merchant_id, a.currency, t.kind, coalesce(t.request_type, '') AS request_type, t.amount,
        coalesce(t.uncollected, 0) AS uncollected,
        CAST(to_char(to_timestamp(t.committed_at / 1000000) AT TIME ZONE 'UTC', 'YYYYMM') AS BIGINT) AS month,
        CASE WHEN t.given IS NULL THEN 0 ELSE (
            SELECT CAST(sum(CAST(split_part(entry, ':', 2) AS BIGINT)) AS BIGINT)
            FROM unnest(string_to_array(split_part(t.given, ';', 1), ',')) entry
        ) END AS given
    FROM transfer t
    JOIN account a ON a.merchant_id = t.merchant_id
    JOIN usage_mark m ON m.merchant_id = t.merchant_id AND t.seq <= m.seq
    WHERE t.kind NOT IN (5, 7, 8)
) moved
GROUP BY month, currency, kind, request_type, merchant_id;

-- What was given and what is owed is what all months up to one came to. Kind 2 takes top-ups back; what pays what is owed
-- has a key that says so.
INSERT INTO balance_month (merchant_id, month, posted, given, owed)
SELECT ended.merchant_id, ended.month, t.wallet_after + t.held_after,
    CAST(sum(coalesce(changed.given, 0)) OVER (PARTITION BY ended.merchant_id ORDER BY ended.month) AS BIGINT),
    CAST(sum(ended.owed) OVER (PARTITION BY ended.merchant_id ORDER BY ended.month) AS BIGINT)
FROM (
    SELECT t.merchant_id, CAST(to_char(to_timestamp(t.committed_at / 1000000) AT TIME ZONE 'UTC', 'YYYYMM') AS BIGINT) AS month,
        max(t.seq) AS seq, sum(
            CASE
                WHEN t.kind <> 2 THEN 0
                WHEN substr(t.idempotency_key, 1, 5) = 'owed ' THEN -t.amount
                ELSE coalesce(t.uncollected, 0)
            END
        ) AS owed
    FROM transfer t JOIN usage_mark m ON m.merchant_id = t.merchant_id AND t.seq <= m.seq
    GROUP BY 1, 2
) ended
JOIN transfer t ON t.merchant_id = ended.merchant_id AND t.seq = ended.seq
LEFT JOIN (
    SELECT merchant_id, month,
        sum(CASE WHEN kind IN (4, 11) THEN 1 ELSE -1 END * (given_billions * 1000000000 + given_rest)) AS given
    FROM revenue_month GROUP BY merchant_id, month
) changed ON changed.merchant_id = ended.merchant_id AND changed.month = ended.month;

INSERT INTO revenue_mark (merchant_id, seq, last_at)
SELECT m.merchant_id, m.seq, t.committed_at
FROM usage_mark m JOIN transfer t ON t.merchant_id = m.merchant_id AND t.seq = m.seq;
