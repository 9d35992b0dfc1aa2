-- Books, and the holds in them.

-- transfers_newest_first: read a stretch of a book, newest first
SELECT {transfer} FROM transfer WHERE merchant_id = $1 AND seq BETWEEN $2 AND $3 ORDER BY seq DESC LIMIT $4;

-- transfers_oldest_first: read a stretch of a book, oldest first
SELECT {transfer} FROM transfer WHERE merchant_id = $1 AND seq BETWEEN $2 AND $3 ORDER BY seq LIMIT $4;

-- find_transfers: read the wanted transfers of a stretch of a book, newest first; $4 is a set of kinds as bits
SELECT {transfer} FROM transfer WHERE merchant_id = $1 AND seq BETWEEN $2 AND $3
    AND (1 << kind) & CAST($4 AS INTEGER) <> 0 AND (CAST($5 AS TEXT) IS NULL OR request_type = $5)
    AND (CAST($6 AS TEXT) IS NULL OR reference = $6)
ORDER BY seq DESC;

-- returns_of: read what was given back of a transfer, its refunds or reversals, newest first
SELECT {transfer} FROM transfer
WHERE merchant_id = $1 AND refers_to = $2 AND kind IN ({Kind.TOP_UP_REVERSAL}, {Kind.REFUND})
ORDER BY seq DESC LIMIT $3;

-- returned_of: sum up what was given back of a transfer, and what is owed of it
SELECT CAST(COALESCE(SUM(amount), 0) + COALESCE((
    SELECT SUM(owed) FROM shortfall WHERE merchant_id = $1 AND owed > 0 AND top_up_seq = $2
), 0) AS BIGINT) FROM transfer
WHERE merchant_id = $1 AND refers_to = $2 AND kind IN ({Kind.TOP_UP_REVERSAL}, {Kind.REFUND});

-- due_holds: list open holds whose time is over
SELECT {hold} FROM hold WHERE state = {HoldState.HELD} AND expires_at <= $1 ORDER BY expires_at LIMIT $2;

-- open_hold: read one open hold, with the transfer that made it
-- The sum keeps to the key: an index of open holds may be walked as a whole.
SELECT {hold of h}, {transfer of t}
FROM hold h JOIN transfer t ON t.merchant_id = $1 AND t.seq = $2
WHERE h.merchant_id = $1 AND h.seq = $2 AND h.state + 0 = {HoldState.HELD};

-- holds: list all of a merchant's holds
SELECT {hold} FROM hold WHERE merchant_id = $1 ORDER BY seq;

-- transfers_total: sum up how many transfers the accounts of merchants, from one to another, tell of
-- Rows that were damaged can hold what is no number, or too large a one.
SELECT coalesce(sum(seq * 1.0), 0) FROM account WHERE merchant_id BETWEEN $1 AND $2;

-- merchant_ids: list every merchant
SELECT merchant_id FROM merchant ORDER BY merchant_id;
