-- Refusals, counted by quarter of an hour (900 seconds) since 1970. The type is empty for those beyond the named ones.

-- add_refusals: count refusals of one type and for one reason; a line beyond the $6 of a quarter of an hour goes under
-- the empty type
INSERT INTO refusal AS r ({refusal.stored})
SELECT {refusal.values} WHERE $3 = '' OR EXISTS (
    SELECT 1 FROM refusal WHERE merchant_id = $1 AND quarter = $2 AND request_type = $3 AND reason = $4
) OR (SELECT count(*) FROM refusal WHERE merchant_id = $1 AND quarter = $2 AND request_type <> '') < $6
ON CONFLICT (merchant_id, quarter, request_type, reason) DO UPDATE SET requests = r.requests + excluded.requests
RETURNING merchant_id;

-- refusals: sum refusals up into buckets of $5 quarters
SELECT (quarter + CAST($4 AS BIGINT)) / CAST($5 AS BIGINT), request_type, reason, CAST(sum(requests) AS BIGINT)
FROM refusal WHERE merchant_id = $1 AND quarter BETWEEN $2 AND $3
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;

-- refusals_by_reason: sum a merchant's refusals up by reason
SELECT reason, CAST(sum(requests) AS BIGINT) FROM refusal
WHERE merchant_id = $1 AND quarter BETWEEN $2 AND $3 GROUP BY reason;

-- refusals_by_merchant: sum merchants' refusals up by merchant
SELECT merchant_id, CAST(sum(requests) AS BIGINT) FROM refusal
WHERE merchant_id {in $1} AND quarter BETWEEN $2 AND $3 GROUP BY merchant_id;

-- forget_refusals: remove what was counted before a quarter
DELETE FROM refusal WHERE quarter < $1;
