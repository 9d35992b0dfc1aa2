-- What a merchant spent by hour since 1970, rolled up from the book up to the transfer that usage_hour_mark names.

-- lock_hour_mark: tell up to which transfer a book was rolled up by hours, and lock that until the transaction ends
INSERT INTO usage_hour_mark AS m (merchant_id, seq) VALUES ($1, 0)
ON CONFLICT (merchant_id) DO UPDATE SET seq = m.seq RETURNING seq;

-- set_hour_mark: write up to which transfer a book was rolled up by hours
UPDATE usage_hour_mark SET seq = $2 WHERE merchant_id = $1;

-- roll_up_hours: add a stretch of a book to its hours; what charges and captures take, less what refunds give back
INSERT INTO usage_hour AS u (merchant_id, hour, spent)
SELECT CAST($1 AS BIGINT), quarter / 4, sum(CASE WHEN kind = {Kind.REFUND} THEN -amount ELSE amount END)
FROM {summed in $2}
WHERE kind IN ({Kind.CHARGE}, {Kind.REFUND}, {Kind.CAPTURE})
GROUP BY quarter / 4
ON CONFLICT (merchant_id, hour) DO UPDATE SET spent = u.spent + excluded.spent;

-- spent_by_hour: list what was spent by hour, less what was refunded: what is rolled up, and then what is not yet
-- An hour may be in both. Sums that the reader adds up spare two thousand rows a sort.
SELECT hour, spent FROM usage_hour WHERE merchant_id = $1 AND hour BETWEEN $2 AND $3
UNION ALL
SELECT committed_at / 3600000000, CAST(sum(CASE WHEN kind = {Kind.REFUND} THEN -amount ELSE amount END) AS BIGINT)
FROM transfer
WHERE merchant_id = $1 AND seq > coalesce((SELECT seq FROM usage_hour_mark WHERE merchant_id = $1), 0)
    AND kind IN ({Kind.CHARGE}, {Kind.REFUND}, {Kind.CAPTURE}) AND committed_at / 3600000000 BETWEEN $2 AND $3
GROUP BY 1;

-- hours_of_merchants: list what merchants spent by hour, as it is rolled up
SELECT merchant_id, hour, spent FROM usage_hour WHERE merchant_id {in $1} ORDER BY merchant_id, hour;

-- hour_marks: tell up to which transfer books of merchants are rolled up by hours
SELECT merchant_id, seq FROM usage_hour_mark WHERE merchant_id {in $1} ORDER BY merchant_id;
