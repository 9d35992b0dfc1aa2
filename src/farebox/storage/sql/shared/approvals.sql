-- Requests for approval.

-- approval: read one request for approval
SELECT {approval} FROM approval WHERE merchant_id = $1 AND number = $2;

-- all_approvals: list requests for approval, newest first
SELECT {approval} FROM approval WHERE number < $1 ORDER BY number DESC LIMIT $2;

-- merchant_approvals: list one merchant's requests for approval, newest first
SELECT {approval} FROM approval WHERE merchant_id = $1 AND number < $2 ORDER BY number DESC LIMIT $3;

-- insert_approval: write a request for approval down
INSERT INTO approval ({approval.stored}) VALUES ({approval.values});

-- close_approval: write down what became of a request
UPDATE approval SET state = $3, decided_by = $4, decided_at = $5, transfer_seq = $6, decided_people = $7
WHERE merchant_id = $1 AND number = $2;

-- pending_approvals: list the requests that wait, oldest first
SELECT {approval} FROM approval WHERE state = {ApprovalState.PENDING} ORDER BY number LIMIT $1;

-- lone_moves: read what people moved alone for merchants since a time
SELECT {lone_move} FROM lone_move WHERE merchant_id {in $1} AND at > $2
ORDER BY merchant_id, at, number;

-- insert_lone_move: write down what somebody moved alone
INSERT INTO lone_move ({lone_move.stored}) VALUES ({lone_move.values});
