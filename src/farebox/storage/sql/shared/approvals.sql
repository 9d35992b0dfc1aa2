-- Requests for approval.

-- approval: read one request for approval
SELECT {approval} FROM approval WHERE merchant_id = $1 AND number = $2;

-- approval_of_key: read the request for approval that stands under an idempotency key
SELECT {approval} FROM approval WHERE merchant_id = $1 AND idempotency_key = $2;

-- all_approvals: list requests for approval, newest first
SELECT {approval} FROM approval WHERE number < $1 ORDER BY number DESC LIMIT $2;

-- merchant_approvals: list one merchant's requests for approval, newest first
SELECT {approval} FROM approval WHERE merchant_id = $1 AND number < $2 ORDER BY number DESC LIMIT $3;

-- insert_approval: write a request for approval down
INSERT INTO approval ({approval.stored}) VALUES ({approval.values});

-- close_approval: write down what became of a request
UPDATE approval SET state = $3, decided_by = $4, decided_at = $5, transfer_seq = $6
WHERE merchant_id = $1 AND number = $2;
