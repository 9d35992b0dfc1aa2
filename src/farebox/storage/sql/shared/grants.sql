-- Grants of credit.

-- find_grant: read one grant
SELECT {grant} FROM credit_grant WHERE merchant_id = $1 AND number = $2;

-- grant_of_key: read the grant that was made under an idempotency key
SELECT {grant} FROM credit_grant WHERE merchant_id = $1 AND idempotency_key = $2;

-- grants_of_numbers: read several of a merchant's grants
SELECT {grant} FROM credit_grant WHERE merchant_id = $1 AND number {in $2} ORDER BY number;

-- grants: list a merchant's grants, newest first
SELECT {grant} FROM credit_grant WHERE merchant_id = $1 AND number < $2 ORDER BY number DESC LIMIT $3;

-- open_grants: list a merchant's open grants of which something is left, in the order of spending
SELECT {grant} FROM credit_grant WHERE merchant_id = $1 AND is_spendable = 1
ORDER BY merchant_id, priority, coalesce(expires_at, 9223372036854775807), number LIMIT $2;

-- waiting_grants: list a merchant's grants that have not started, the next one first
-- A range that is one merchant, so that only the index that goes by merchant first is in order.
SELECT {grant} FROM credit_grant
WHERE merchant_id BETWEEN $1 AND $1 AND due_at IS NOT NULL AND state = {GrantState.WAITING}
ORDER BY merchant_id, due_at, number LIMIT $2;

-- due_grants: tell the merchants of grants that are due to start or to end, the longest due first
SELECT merchant_id FROM credit_grant WHERE due_at IS NOT NULL AND due_at <= $1 ORDER BY due_at LIMIT $2;

-- all_grants: list all of a merchant's grants
SELECT {grant} FROM credit_grant WHERE merchant_id = $1 ORDER BY number;
