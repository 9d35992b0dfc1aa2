-- What the console shows of the service at work: runway snapshots and verifications.

-- runway_snapshot: read a merchant's runway snapshot, in the table that was released as `outlook`
SELECT {runway_snapshot} FROM outlook WHERE merchant_id = $1;

-- put_runway_snapshot: write a merchant's runway snapshot
INSERT INTO outlook ({runway_snapshot.stored}) VALUES ({runway_snapshot.values})
ON CONFLICT (merchant_id) DO UPDATE SET {runway_snapshot.excluded};

-- runway_snapshot_ages: list merchants above one: how far each book is, how far and how old its runway snapshot, when it
-- says that the money is used up, the thresholds in days left, and whether the money was once seen to be below one
SELECT a.merchant_id, a.seq, o.seq, o.computed_at, o.runs_out_at, m.runway_thresholds,
    CASE WHEN m.runway_thresholds <> '' AND EXISTS (
        SELECT 1 FROM runway_episode e WHERE e.merchant_id = a.merchant_id AND e.alert_number IS NULL
    ) THEN 1 ELSE 0 END
FROM account a
JOIN merchant m ON m.merchant_id = a.merchant_id AND m.merchant_id > $1
LEFT JOIN outlook o ON o.merchant_id = a.merchant_id AND o.merchant_id > $1
WHERE a.merchant_id > $1 ORDER BY a.merchant_id LIMIT $2;

-- insert_verification: begin a verification
INSERT INTO verification ({verification.stored}) VALUES ({verification.values});

-- verification_under_way: tell whether a verification has not ended, and was heard of since a time
SELECT 1 FROM verification WHERE finished_at IS NULL AND seen_at >= $1 LIMIT 1;

-- update_verification: write how far a verification is
UPDATE verification SET seen_at = $2, finished_at = $3, merchants = $4, merchants_done = $5, transfers_done = $6,
    problems = $7, first_problem = $8
WHERE verification_id = $1;

-- verifications: list the verifications, newest first
SELECT {verification} FROM verification ORDER BY verification_id DESC LIMIT $1;
