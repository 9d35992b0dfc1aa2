-- What SQLite says in its own way: single look-ups, as it has no round trips to save, and no rows to lock.

-- balance: read the available balance behind one merchant's API key
SELECT k.digest, a.wallet
FROM merchant_key k JOIN account a ON a.merchant_id = k.merchant_id
WHERE k.merchant_id = $1 AND k.digest = $2
    AND (k.expires_at IS NULL OR k.expires_at > $3) AND (k.revoked_at IS NULL OR k.revoked_at > $3)
    AND k.suspended_at IS NULL AND a.closed_at IS NULL;

-- load_merchant_key: read one merchant's API key by its digest
SELECT digest, key_id, {KeyKind.MERCHANT}, merchant_id, expires_at, revoked_at, 0, budget_id, suspended_at
FROM merchant_key WHERE merchant_id = $1 AND digest = $2;

-- load_staff_key: read a service's or support's API key by its digest
SELECT digest, key_id, kind, NULL, expires_at, revoked_at, roles, NULL, NULL, name, people FROM staff_key WHERE digest = $1;

-- load_replay: read the transfer that an idempotency key stands for
SELECT {transfer} FROM transfer WHERE merchant_id = $1 AND idempotency_key = $2;

-- load_hold: read one hold by its seq
SELECT {hold} FROM hold WHERE merchant_id = $1 AND seq = $2;

-- open_holds: list all open holds, the soonest end first, from behind one, with the transfers that made them
SELECT {hold of h}, {transfer of t}
FROM (
    SELECT * FROM hold WHERE state = {HoldState.HELD} AND (expires_at, merchant_id, seq) > ($1, $2, $3)
    ORDER BY expires_at, merchant_id, seq LIMIT $4
) h
CROSS JOIN transfer t ON t.merchant_id = h.merchant_id AND t.seq = h.seq
ORDER BY h.expires_at, h.merchant_id, h.seq;

-- open_holds_of: list a merchant's open holds in the same way
SELECT {hold of h}, {transfer of t}
FROM (
    SELECT * FROM hold
    WHERE state = {HoldState.HELD} AND merchant_id = $4 AND expires_at >= $1 AND (expires_at, merchant_id, seq) > ($1, $2, $3)
    ORDER BY expires_at, seq LIMIT $5
) h
CROSS JOIN transfer t ON t.merchant_id = h.merchant_id AND t.seq = h.seq
ORDER BY h.expires_at, h.seq;

-- funding_after: read what came into a book and went out beside its requests, from a seq on, oldest first
-- Top-ups, reversals and adjustments have an index of their own, whose condition is written in these very words; the
-- transfers of grants are found by their rows, and the ends of grants by what they refer to.
SELECT {transfer} FROM transfer
WHERE merchant_id = $1 AND seq >= $2 AND (
    kind = {Kind.TOP_UP} OR kind = {Kind.TOP_UP_REVERSAL}
    OR kind = {Kind.ADJUSTMENT_CREDIT} OR kind = {Kind.ADJUSTMENT_DEBIT}
)
UNION ALL
SELECT {transfer of t}
FROM credit_grant g CROSS JOIN transfer t ON t.merchant_id = g.merchant_id AND t.seq = g.transfer_seq
WHERE g.merchant_id = $1 AND g.transfer_seq >= $2
UNION ALL
SELECT {transfer of t}
FROM credit_grant g CROSS JOIN transfer t ON t.merchant_id = g.merchant_id AND t.refers_to = g.transfer_seq
WHERE g.merchant_id = $1 AND g.transfer_seq IS NOT NULL AND t.kind = {Kind.GRANT_EXPIRY} AND t.seq + 0 >= $2
ORDER BY seq;

-- shortfalls: list what transfers left uncollected, newest first, from behind one, with the transfers
SELECT {shortfall of s}, {transfer of t}
FROM (
    SELECT * FROM shortfall WHERE (at, merchant_id, seq) < ($1, $2, $3)
    ORDER BY at DESC, merchant_id DESC, seq DESC LIMIT $4
) s
CROSS JOIN transfer t ON t.merchant_id = s.merchant_id AND t.seq = s.seq
ORDER BY s.at DESC, s.merchant_id DESC, s.seq DESC;

-- merchant_shortfalls: list what a merchant's transfers left uncollected, newest first, from behind one, with the transfers
SELECT {shortfall of s}, {transfer of t}
FROM (SELECT * FROM shortfall WHERE merchant_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3) s
CROSS JOIN transfer t ON t.merchant_id = s.merchant_id AND t.seq = s.seq
ORDER BY s.seq DESC;

-- load_original: read one transfer, the sum that refunds and reversals gave back of it, the budget of the key that it
-- names, and when that counted what a capture takes
SELECT {transfer of t}, (
    SELECT coalesce(sum(r.amount), 0) FROM transfer r
    WHERE r.merchant_id = $1 AND r.refers_to = $2 AND r.kind IN ({Kind.TOP_UP_REVERSAL}, {Kind.REFUND})
), (
    SELECT k.budget_id FROM merchant_key k WHERE k.key_id = t.key_id AND k.merchant_id = $1
), (
    SELECT h.committed_at FROM transfer h
    WHERE h.merchant_id = $1 AND h.seq = t.refers_to AND t.kind = {Kind.CAPTURE} AND t.key_id IS NOT NULL
)
FROM transfer t WHERE t.merchant_id = $1 AND t.seq = $2;

-- approval_of_key: read the requests for approval that stand under an idempotency key
SELECT {approval} FROM approval WHERE merchant_id = $1 AND idempotency_key = $2 ORDER BY number;

-- insert_transfer: append one transfer
INSERT INTO transfer ({transfer.stored}) VALUES ({transfer.values});

-- update_account: write an account's new balances and rules
UPDATE account SET {account.assigned} WHERE merchant_id = $1;

-- update_account_spending: write what was spent of an account of which nothing else has changed
UPDATE account SET {account_spending.assigned} WHERE merchant_id = $1;

-- insert_hold: add a hold
INSERT INTO hold ({hold.stored}) VALUES ({hold.values});

-- update_hold: end or extend a hold
UPDATE hold SET {hold.assigned} WHERE merchant_id = $1 AND seq = $2;

-- load_all_grants: list a merchant's grants that wait, and those that are open and have something left or an end
SELECT {grant} FROM credit_grant WHERE merchant_id = $1 AND is_spendable = 1
UNION ALL
SELECT {grant} FROM credit_grant WHERE merchant_id = $1 AND due_at IS NOT NULL AND is_spendable = 0;

-- first_lots: read what a charge must know of the first of a merchant's grants that have something left, with amounts
SELECT merchant_id, amount, {lot} FROM credit_grant WHERE merchant_id = $1 AND is_spendable = 1
ORDER BY merchant_id, priority, coalesce(expires_at, 9223372036854775807), number LIMIT $2;

-- insert_grant: add a grant
INSERT INTO credit_grant ({grant.stored}) VALUES ({grant.values});

-- update_grant: write what became of a grant
UPDATE credit_grant SET {grant.assigned} WHERE merchant_id = $1 AND number = $2;

-- spend_grant: write what is left of a grant of which nothing else has changed; the table refuses more than was given
UPDATE credit_grant SET remaining = $3 WHERE merchant_id = $1 AND number = $2;

-- put_period_count: write what the requests of a period came to
INSERT INTO period_count ({period_count.stored}) VALUES ({period_count.values})
ON CONFLICT (merchant_id, request_type, starts_at, period_unit, line) DO UPDATE SET {period_count.excluded};

-- put_shortfall: write what a transfer left uncollected, or what is left of what is owed
INSERT INTO shortfall ({shortfall.stored}) VALUES ({shortfall.values})
ON CONFLICT (merchant_id, seq) DO UPDATE SET {shortfall.excluded};

-- budget: read a budget's limits and what was spent of them
SELECT {budget} FROM key_budget WHERE merchant_id = $1 AND budget_id = $2;

-- add_to_budget: add what was spent to every limit of a budget
UPDATE key_budget SET spent = spent + $3 WHERE merchant_id = $1 AND budget_id = $2;

-- update_budget: write what was spent of a limit of a budget
UPDATE key_budget SET {budget.assigned} WHERE merchant_id = $1 AND budget_id = $2 AND unit = $3;

-- claim_mails: take mails that are due and lease them, one of each merchant in turn, beginning after $4, then the next
WITH RECURSIVE turn (place, lap, merchant_id, due_count) AS (
    SELECT 0, 0, $4, 0
    UNION ALL
    SELECT t.place + 1, CASE WHEN t.merchant_id IS NULL THEN 1 ELSE t.lap END, (
            SELECT min(w.merchant_id) FROM delivery w WHERE w.channel = {Channel.EMAIL} AND w.state = {DeliveryState.WAITING} AND w.merchant_id > coalesce(t.merchant_id, -1)
            AND w.merchant_id <= CASE WHEN t.lap = 0 AND t.merchant_id IS NOT NULL THEN 9223372036854775807 ELSE $4 END
        ), t.due_count + (t.place > 0 AND coalesce((
            SELECT min(w.next_attempt_at) FROM delivery w WHERE w.channel = {Channel.EMAIL} AND w.state = {DeliveryState.WAITING} AND w.merchant_id = t.merchant_id
        ) <= $1, 0))
    FROM turn t WHERE t.due_count < $3 AND NOT (t.lap = 1 AND t.merchant_id IS NULL)
)
UPDATE delivery SET attempts = attempts + 1, next_attempt_at = $2
WHERE channel = {Channel.EMAIL} AND (merchant_id, alert_number, recipient_id) IN (
    SELECT merchant_id, alert_number, recipient_id FROM (
        SELECT o.merchant_id, o.alert_number, o.recipient_id, t.place,
            row_number() OVER (PARTITION BY t.place ORDER BY o.next_attempt_at, o.alert_number, o.recipient_id) AS number
        FROM turn t CROSS JOIN delivery o ON o.channel = {Channel.EMAIL} AND o.merchant_id = t.merchant_id AND (o.alert_number, o.recipient_id) IN (
            SELECT w.alert_number, w.recipient_id FROM delivery w
            WHERE w.channel = {Channel.EMAIL} AND w.state = {DeliveryState.WAITING} AND w.merchant_id = t.merchant_id AND w.next_attempt_at <= $1
            ORDER BY w.next_attempt_at LIMIT $3
        )
        WHERE t.place > 0
    ) ORDER BY number, place LIMIT $3
)
RETURNING merchant_id, alert_number,
    (SELECT threshold FROM alert a WHERE a.merchant_id = delivery.merchant_id AND a.number = alert_number),
    (SELECT posted FROM alert a WHERE a.merchant_id = delivery.merchant_id AND a.number = alert_number),
    (SELECT fired_at FROM alert a WHERE a.merchant_id = delivery.merchant_id AND a.number = alert_number),
    (SELECT transfer_seq FROM alert a WHERE a.merchant_id = delivery.merchant_id AND a.number = alert_number),
    (SELECT kind FROM alert a WHERE a.merchant_id = delivery.merchant_id AND a.number = alert_number),
    (SELECT refused FROM alert a WHERE a.merchant_id = delivery.merchant_id AND a.number = alert_number),
    (SELECT user_id FROM alert a WHERE a.merchant_id = delivery.merchant_id AND a.number = alert_number),
    (SELECT facts FROM alert a WHERE a.merchant_id = delivery.merchant_id AND a.number = alert_number),
    (SELECT traceparent FROM alert a WHERE a.merchant_id = delivery.merchant_id AND a.number = alert_number),
    {delivery};

-- claim_account_mails: take account mails that are due and lease them, one of each merchant in turn, as claim_mails does
WITH RECURSIVE turn (place, lap, merchant_id, due_count) AS (
    SELECT 0, 0, $4, 0
    UNION ALL
    SELECT t.place + 1, CASE WHEN t.merchant_id IS NULL THEN 1 ELSE t.lap END, (
            SELECT min(coalesce(w.merchant_id, 0)) FROM letter w WHERE w.state = {DeliveryState.WAITING} AND coalesce(w.merchant_id, 0) > coalesce(t.merchant_id, -1)
            AND coalesce(w.merchant_id, 0) <= CASE WHEN t.lap = 0 AND t.merchant_id IS NOT NULL THEN 9223372036854775807 ELSE $4 END
        ), t.due_count + (t.place > 0 AND coalesce((
            SELECT min(w.next_attempt_at) FROM letter w WHERE w.state = {DeliveryState.WAITING} AND coalesce(w.merchant_id, 0) = t.merchant_id
        ) <= $1, 0))
    FROM turn t WHERE t.due_count < $3 AND NOT (t.lap = 1 AND t.merchant_id IS NULL)
)
UPDATE letter SET attempts = attempts + 1, next_attempt_at = $2
WHERE letter_id IN (
    SELECT letter_id FROM (
        SELECT m.letter_id, t.place,
            row_number() OVER (PARTITION BY t.place ORDER BY m.next_attempt_at, m.letter_id) AS number
        FROM turn t CROSS JOIN letter m ON m.letter_id IN (
            SELECT w.letter_id FROM letter w
            WHERE w.state = {DeliveryState.WAITING} AND coalesce(w.merchant_id, 0) = t.merchant_id AND w.next_attempt_at <= $1
            ORDER BY w.next_attempt_at LIMIT $3
        )
        WHERE t.place > 0
    ) ORDER BY number, place LIMIT $3
)
RETURNING {account_mail};

-- transfers_at: read single transfers of a book by their seq
SELECT {transfer} FROM transfer WHERE merchant_id = $1 AND seq {in $2};

-- merchant_rows: read merchants with their accounts and runway snapshots, in the order in which they are named
SELECT {merchant of m}, {account of a}, {runway_snapshot of r}
FROM json_each($1) named
CROSS JOIN merchant m ON m.merchant_id = named.value
CROSS JOIN account a ON a.merchant_id = m.merchant_id
LEFT JOIN outlook r ON r.merchant_id = m.merchant_id
ORDER BY named.key;

-- users_with_logins: list the users of a merchant's account with what each signs in by, oldest first
SELECT {user of u}, {login of l}
FROM merchant_user u LEFT JOIN login l ON l.realm = {Realm.MERCHANT} AND l.mailbox = u.mailbox
WHERE u.merchant_id = $1 ORDER BY u.user_id;

-- hold_batches_up: nothing, as a transaction that writes has the file to itself
SELECT 1;

-- lock_prices: nothing, for the same reason
SELECT 1;

-- lock_refusals: nothing, for the same reason
SELECT 1;

-- lock_verifications: nothing, as a transaction that writes has the file to itself
SELECT 1;

-- write_nothing: write a page of the database as it is; an UPDATE that changes nothing would not
PRAGMA user_version = 0;

-- replication: nothing, as a file has no standbys
SELECT '', 0, 0 WHERE 1 = 0;

-- holds_of: read merchants' holds, each merchant's in order of seq
SELECT {hold} FROM hold WHERE merchant_id {in $1} ORDER BY merchant_id, seq;

-- alerts_of: read merchants' alerts, each merchant's in order of their numbers
SELECT {alert} FROM alert WHERE merchant_id {in $1} ORDER BY merchant_id, number;

-- grants_of: read merchants' grants, each merchant's in order of their numbers
SELECT {grant} FROM credit_grant WHERE merchant_id {in $1} ORDER BY merchant_id, number;
