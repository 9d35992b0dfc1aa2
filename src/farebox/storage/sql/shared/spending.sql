-- What merchants spend at most in five minutes, day by day, and those that spent far more than is usual for them.

-- spending_peaks: list the most that merchants spent in five minutes of each day from one on
SELECT merchant_id, day, amount FROM spending_peak
WHERE merchant_id {in $1} AND day >= $2 ORDER BY merchant_id, day;

-- put_spending_peak: write what a merchant spent at most in five minutes of a day, if that is more than is written
INSERT INTO spending_peak AS p (merchant_id, day, amount) VALUES ($1, $2, $3)
ON CONFLICT (merchant_id, day) DO UPDATE SET amount = excluded.amount WHERE p.amount < excluded.amount;

-- forget_spending_peaks: forget what merchants spent at most before a day
DELETE FROM spending_peak WHERE merchant_id {in $1} AND day < $2;

-- unusual_spending: read the last time that a merchant spent far more than is usual for it
SELECT {unusual_spending} FROM unusual_spending WHERE merchant_id = $1;

-- unusual_spending_since: list merchants that were seen to spend far more than is usual for them, latest first
SELECT {unusual_spending} FROM unusual_spending WHERE seen_at >= $1 ORDER BY seen_at DESC, merchant_id LIMIT $2;

-- put_unusual_spending: write that a merchant spends far more than is usual for it
INSERT INTO unusual_spending ({unusual_spending.stored}) VALUES ({unusual_spending.values})
ON CONFLICT (merchant_id) DO UPDATE SET {unusual_spending.excluded};

-- see_unusual_spending: write that a merchant still spends far more than is usual for it
UPDATE unusual_spending SET seen_at = $2 WHERE merchant_id = $1 AND seen_at < $2;

-- spent_by_key: sum up what a stretch of a book took for each API key, the largest first; NULL is no key
SELECT key_id, CAST(sum(amount) AS BIGINT) AS spent
FROM transfer
WHERE merchant_id = $1 AND seq BETWEEN $2 AND $3 AND kind IN ({Kind.CHARGE}, {Kind.HOLD})
GROUP BY key_id ORDER BY spent DESC;
