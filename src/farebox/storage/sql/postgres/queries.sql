-- balances: read the available balance behind each merchant's API key
SELECT u.digest, found.wallet
FROM unnest($1::bigint[], $2::bytea[]) u (merchant_id, digest)
CROSS JOIN LATERAL (
    SELECT a.wallet FROM merchant_key k JOIN account a ON a.merchant_id = k.merchant_id
    WHERE k.merchant_id = u.merchant_id AND k.digest = u.digest
        AND (k.expires_at IS NULL OR k.expires_at > $3) AND (k.revoked_at IS NULL OR k.revoked_at > $3)
    LIMIT 1
) found;

-- lock_accounts: lock the accounts of a batch in sorted order; prepared, so that it can be sent together with BEGIN
SELECT 1 FROM account WHERE merchant_id = ANY($1::bigint[]) ORDER BY merchant_id FOR UPDATE;

-- load: read all that a batch needs, each row tagged with what it is; its accounts are locked
-- A LIMIT in a LATERAL makes one index look-up per key the only possible plan. "BETWEEN x AND x ORDER BY" says that the
-- index is to be the one that sorts by x: with "= x", a planner that knows a table as empty finds all indexes equal, and
-- may then walk a merchant's whole history for as long as that plan is kept.
WITH replay AS MATERIALIZED (
    SELECT found.* FROM unnest($8::bigint[], $9::text[]) u (merchant_id, idempotency_key)
    CROSS JOIN LATERAL (
        SELECT {transfer} FROM transfer t
        WHERE t.merchant_id = u.merchant_id AND t.idempotency_key BETWEEN u.idempotency_key AND u.idempotency_key
        ORDER BY t.idempotency_key LIMIT 1
    ) found
)
SELECT 'replay', NULL::text, NULL::bytea, NULL::bigint[], {transfer} FROM replay
UNION ALL
-- The currency's three letters and the thresholds share a column.
SELECT 'account', currency || thresholds, last_hash, ARRAY[
    merchant_id, wallet, held, revenue, funding, adjustments, credit_limit, is_frozen::int, seq, last_at, alerts_count
], {no_transfer}
FROM account WHERE merchant_id = ANY($14::bigint[])
UNION ALL
SELECT 'key', name, digest, ARRAY[key_id, kind, NULL, expires_at, revoked_at], {no_transfer}
FROM staff_key WHERE digest = ANY($2::bytea[])
UNION ALL
SELECT 'key', NULL, u.digest, found.numbers, {no_transfer}
FROM unnest($3::bigint[], $4::bytea[]) u (merchant_id, digest)
CROSS JOIN LATERAL (
    SELECT ARRAY[key_id, 1, k.merchant_id, expires_at, revoked_at] AS numbers FROM merchant_key k
    WHERE k.merchant_id = u.merchant_id AND k.digest = u.digest LIMIT 1
) found
UNION ALL
SELECT 'price', u.request_type, NULL, found.numbers, {no_transfer}
FROM unnest($5::text[]) u (request_type)
CROSS JOIN LATERAL (
    SELECT ARRAY[price_id, unit_price, starts_at, NULL] AS numbers FROM default_price p
    WHERE p.request_type = u.request_type AND starts_at <= $1
    ORDER BY starts_at DESC, price_id DESC LIMIT 1
) found
UNION ALL
SELECT 'price', u.request_type, NULL, found.numbers, {no_transfer}
FROM unnest($6::bigint[], $7::text[]) u (merchant_id, request_type)
CROSS JOIN LATERAL (
    SELECT ARRAY[price_id, unit_price, starts_at, p.merchant_id] AS numbers FROM merchant_price p
    WHERE p.merchant_id = u.merchant_id AND p.request_type = u.request_type AND starts_at <= $1
    ORDER BY starts_at DESC, price_id DESC LIMIT 1
) found
UNION ALL
SELECT 'hold', found.request_type, NULL, found.numbers, {no_transfer}
FROM (
    SELECT * FROM unnest($10::bigint[], $11::bigint[])
    UNION ALL
    SELECT merchant_id, seq FROM replay WHERE kind = 5
) u (merchant_id, seq)
CROSS JOIN LATERAL (
    SELECT ARRAY[{hold_numbers}] AS numbers, request_type FROM hold h
    WHERE h.merchant_id = u.merchant_id AND h.seq = u.seq LIMIT 1
) found
UNION ALL
SELECT 'original', NULL, NULL, ARRAY[returned.amount], original.*
FROM unnest($12::bigint[], $13::bigint[]) u (merchant_id, seq)
CROSS JOIN LATERAL (
    SELECT {transfer} FROM transfer t
    WHERE t.merchant_id = u.merchant_id AND t.seq BETWEEN u.seq AND u.seq ORDER BY t.seq LIMIT 1
) original
CROSS JOIN LATERAL (
    SELECT coalesce(sum(t.amount), 0)::bigint AS amount FROM transfer t
    WHERE t.merchant_id = u.merchant_id AND t.refers_to = u.seq AND t.kind IN (2, 4)
) returned;

-- update_accounts: write accounts' new balances and rules, given as columns
-- The accounts exist and are locked. As an upsert this can only be one index look-up per account, whatever the planner
-- knows; as an UPDATE joined with the new values it may walk all accounts.
INSERT INTO account ({account})
SELECT unnest($1::bigint[]), unnest($2::text[]), unnest($3::bigint[]), unnest($4::bigint[]), unnest($5::bigint[]),
    unnest($6::bigint[]), unnest($7::bigint[]), unnest($8::bigint[]), unnest($9::boolean[]), unnest($10::bigint[]),
    unnest($11::bytea[]), unnest($12::bigint[]), unnest($13::bigint[]), unnest($14::text[])
ON CONFLICT (merchant_id) DO UPDATE SET {account_excluded};

-- write_small_batch: append transfers and write the accounts they left, both given as columns, in one round trip
WITH appended AS (
    INSERT INTO transfer ({transfer})
    SELECT unnest($15::bigint[]), unnest($16::bigint[]), unnest($17::smallint[]), unnest($18::bigint[]),
        unnest($19::text[]), unnest($20::bytea[]), unnest($21::bigint[]), unnest($22::bigint[]), unnest($23::bigint[]),
        unnest($24::bytea[]), unnest($25::text[]), unnest($26::bigint[]), unnest($27::bigint[]), unnest($28::bigint[]),
        unnest($29::bigint[]), unnest($30::text[]), unnest($31::text[])
)
INSERT INTO account ({account})
SELECT unnest($1::bigint[]), unnest($2::text[]), unnest($3::bigint[]), unnest($4::bigint[]), unnest($5::bigint[]),
    unnest($6::bigint[]), unnest($7::bigint[]), unnest($8::bigint[]), unnest($9::boolean[]), unnest($10::bigint[]),
    unnest($11::bytea[]), unnest($12::bigint[]), unnest($13::bigint[]), unnest($14::text[])
ON CONFLICT (merchant_id) DO UPDATE SET {account_excluded};

-- insert_holds: add holds, given as columns
INSERT INTO hold ({hold})
SELECT unnest($1::bigint[]), unnest($2::bigint[]), unnest($3::bigint[]), unnest($4::bigint[]), unnest($5::smallint[]),
    unnest($6::bigint[]), unnest($7::bigint[]), unnest($8::text[]);

-- update_holds: end holds, given as columns; an upsert for the same reason as update_accounts
INSERT INTO hold ({hold})
SELECT unnest($1::bigint[]), unnest($2::bigint[]), unnest($3::bigint[]), unnest($4::bigint[]), unnest($5::smallint[]),
    unnest($6::bigint[]), unnest($7::bigint[]), unnest($8::text[])
ON CONFLICT (merchant_id, seq) DO UPDATE SET
    amount = excluded.amount, expires_at = excluded.expires_at, state = excluded.state, captured = excluded.captured,
    quantity = excluded.quantity, request_type = excluded.request_type;

-- insert_alerts: record alerts, given as columns, and owe a mail about each to every registered user
WITH fired AS (
    INSERT INTO alert (merchant_id, number, threshold, posted, fired_at, transfer_seq)
    SELECT unnest($1::bigint[]), unnest($2::bigint[]), unnest($3::bigint[]), unnest($4::bigint[]), unnest($5::bigint[]),
        unnest($6::bigint[])
    RETURNING merchant_id, number, fired_at
)
INSERT INTO outbox (merchant_id, alert_number, user_id, email, state, attempts, next_attempt_at)
SELECT f.merchant_id, f.number, u.user_id, u.email, 1, 0, f.fired_at
FROM fired f
CROSS JOIN LATERAL (SELECT user_id, email FROM merchant_user u WHERE u.merchant_id = f.merchant_id OFFSET 0) u;

-- find_merchant_key: look a merchant's API key up by its digest
SELECT key_id, 1, merchant_id, expires_at, revoked_at FROM merchant_key WHERE merchant_id = $1 AND digest = $2;

-- find_staff_key: look a service's or support's API key up by its digest
SELECT key_id, kind, NULL, expires_at, revoked_at, name FROM staff_key WHERE digest = $1;

-- account: read one account
SELECT {account} FROM account WHERE merchant_id = $1;

-- accounts_of: read merchants' accounts
SELECT {account} FROM account WHERE merchant_id = ANY($1::bigint[]);

-- transfers_of: read the beginnings of merchants' books, each in order of seq
SELECT found.* FROM unnest($1::bigint[]) u (merchant_id)
CROSS JOIN LATERAL (
    SELECT {transfer} FROM transfer t WHERE t.merchant_id = u.merchant_id ORDER BY t.merchant_id, t.seq LIMIT $2
) found;

-- holds_of: read merchants' holds, each merchant's in order of seq
SELECT found.* FROM unnest($1::bigint[]) u (merchant_id)
CROSS JOIN LATERAL (
    SELECT {hold} FROM hold h WHERE h.merchant_id = u.merchant_id ORDER BY h.merchant_id, h.seq LIMIT $2
) found;

-- transfers_newest_first: read a stretch of a book, newest first
SELECT {transfer} FROM transfer WHERE merchant_id = $1 AND seq BETWEEN $2 AND $3 ORDER BY seq DESC LIMIT $4;

-- find_transfers: read the wanted transfers of a stretch of a book, newest first; $4 is a set of kinds as bits
SELECT {transfer} FROM transfer WHERE merchant_id = $1 AND seq BETWEEN $2 AND $3
    AND (1 << kind) & $4::integer <> 0 AND ($5::text IS NULL OR request_type = $5)
    AND ($6::text IS NULL OR reference = $6)
ORDER BY seq DESC;

-- transfers_oldest_first: read a stretch of a book, oldest first
SELECT {transfer} FROM transfer WHERE merchant_id = $1 AND seq BETWEEN $2 AND $3 ORDER BY seq LIMIT $4;

-- transfers_at: read single transfers of a book by their seq
SELECT found.* FROM unnest($2::bigint[]) u (seq)
CROSS JOIN LATERAL (
    SELECT {transfer} FROM transfer t
    WHERE t.merchant_id = $1 AND t.seq BETWEEN u.seq AND u.seq ORDER BY t.seq LIMIT 1
) found;

-- funding_after: read a book's top-ups, reversals and adjustments from a seq on
SELECT {transfer} FROM transfer WHERE merchant_id = $1 AND seq >= $2 AND kind IN (1, 2, 9, 10) ORDER BY seq;

-- due_holds: list open holds whose time is over
SELECT {hold} FROM hold WHERE state = 1 AND expires_at <= $1 ORDER BY expires_at LIMIT $2;

-- holds: list all of a merchant's holds
SELECT {hold} FROM hold WHERE merchant_id = $1 ORDER BY seq;

-- merchant: read a merchant's name
SELECT merchant_id, name, created_at FROM merchant WHERE merchant_id = $1;

-- merchants: list merchants with their accounts
SELECT m.merchant_id, m.name, m.created_at, {account_a}
FROM merchant m JOIN account a ON a.merchant_id = m.merchant_id
WHERE m.merchant_id > $1 AND a.merchant_id > $1 ORDER BY m.merchant_id LIMIT $2;

-- merchant_ids: list every merchant
SELECT merchant_id FROM merchant ORDER BY merchant_id;

-- insert_merchant: add a merchant
INSERT INTO merchant (merchant_id, name, created_at) VALUES ($1, $2, $3);

-- insert_account: add a merchant's account
INSERT INTO account ({account}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14);

-- rename_merchant: change a merchant's name
UPDATE merchant SET name = $2 WHERE merchant_id = $1;

-- insert_user: register a person on a merchant's account
INSERT INTO merchant_user (merchant_id, user_id, email, created_at, role) VALUES ($1, $2, $3, $4, $5);

-- users: list the people registered on a merchant's account
SELECT merchant_id, user_id, email, created_at, role FROM merchant_user WHERE merchant_id = $1 ORDER BY user_id;

-- insert_merchant_key: add a merchant's API key
INSERT INTO merchant_key (merchant_id, digest, key_id, hint, created_at, expires_at, revoked_at)
VALUES ($1, $2, $3, $4, $5, $6, $7);

-- insert_staff_key: add a service's or support's API key
INSERT INTO staff_key (digest, key_id, kind, name, hint, created_at, expires_at, revoked_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- merchant_keys: list a merchant's API keys
-- The OFFSET keeps the order apart, which an index on all merchants' keys would serve.
SELECT key_id, 1, digest, hint, created_at, merchant_id, NULL, expires_at, revoked_at, used_at
FROM (SELECT * FROM merchant_key WHERE merchant_id = $1 OFFSET 0) k ORDER BY key_id;

-- staff_keys: list the services' and support's API keys
SELECT key_id, kind, digest, hint, created_at, NULL, name, expires_at, revoked_at, used_at FROM staff_key ORDER BY key_id;

-- key: find an API key of any kind by its id
SELECT key_id, 1, digest, hint, created_at, merchant_id, NULL, expires_at, revoked_at, used_at
FROM merchant_key WHERE key_id = $1
UNION ALL
SELECT key_id, kind, digest, hint, created_at, NULL, name, expires_at, revoked_at, used_at
FROM staff_key WHERE key_id = $1;

-- revoke_merchant_key: close a merchant's API key; least() passes over what is null
UPDATE merchant_key SET revoked_at = least(revoked_at, $2) WHERE key_id = $1;

-- revoke_staff_key: close a service's or support's API key
UPDATE staff_key SET revoked_at = least(revoked_at, $2) WHERE key_id = $1;

-- expire_merchant_key: let a merchant's API key end at a time, or earlier if it already was to
UPDATE merchant_key SET expires_at = least(expires_at, $2) WHERE key_id = $1;

-- expire_staff_key: let a service's or support's API key end at a time, or earlier if it already was to
UPDATE staff_key SET expires_at = least(expires_at, $2) WHERE key_id = $1;

-- insert_default_price: add a version of a default price
INSERT INTO default_price (price_id, request_type, unit_price, starts_at, created_at) VALUES ($1, $2, $3, $4, $5);

-- insert_merchant_price: add a version of a merchant's own price
INSERT INTO merchant_price (price_id, request_type, unit_price, starts_at, created_at, merchant_id)
VALUES ($1, $2, $3, $4, $5, $6);

-- default_prices: list every version of the default prices
SELECT price_id, request_type, unit_price, starts_at FROM default_price ORDER BY request_type, starts_at, price_id;

-- merchant_prices: list every version of a merchant's own prices
SELECT price_id, request_type, unit_price, starts_at, merchant_id FROM merchant_price
WHERE merchant_id = $1 ORDER BY request_type, starts_at, price_id;

-- alerts: list a merchant's alerts, newest first
SELECT merchant_id, number, threshold, posted, fired_at, transfer_seq FROM alert
WHERE merchant_id = $1 ORDER BY number DESC LIMIT $2;

-- claim_mails: take mails that are due and lease them; what another claimer takes at this moment is passed over
WITH due AS MATERIALIZED (
    SELECT merchant_id, alert_number, user_id FROM outbox
    WHERE state = 1 AND next_attempt_at <= $1 ORDER BY next_attempt_at LIMIT $3 FOR UPDATE SKIP LOCKED
)
UPDATE outbox o SET attempts = o.attempts + 1, next_attempt_at = $2
FROM due d JOIN alert a ON a.merchant_id = d.merchant_id AND a.number = d.alert_number
WHERE o.merchant_id = d.merchant_id AND o.alert_number = d.alert_number AND o.user_id = d.user_id
RETURNING {mail};

-- settle_mail: write what became of a mail
UPDATE outbox SET state = $4, next_attempt_at = $5, sent_at = $6, last_error = $7
WHERE merchant_id = $1 AND alert_number = $2 AND user_id = $3;

-- all_mails: list the outbox, newest first
SELECT {mail} FROM outbox o JOIN alert a ON a.merchant_id = o.merchant_id AND a.number = o.alert_number
ORDER BY a.fired_at DESC, o.merchant_id, o.alert_number DESC, o.user_id LIMIT $1;

-- merchant_mails: list the outbox of one merchant, newest first
SELECT {mail} FROM outbox o JOIN alert a ON a.merchant_id = o.merchant_id AND a.number = o.alert_number
WHERE o.merchant_id = $2 ORDER BY o.alert_number DESC, o.user_id LIMIT $1;

-- retry_mails: make every mail that is not sent due
UPDATE outbox SET state = 1, next_attempt_at = $1 WHERE state IN (1, 3);

-- next_mail_at: tell when the next mail falls due
SELECT min(next_attempt_at) FROM outbox WHERE state = 1;

-- insert_audit_entry: write an entry of the audit log, once
INSERT INTO audit_log ({audit_entry}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING;

-- all_audit: list the audit log, newest first
SELECT {audit_entry} FROM audit_log WHERE (at, entry_id) < ($1, $2) ORDER BY at DESC, entry_id DESC LIMIT $3;

-- merchant_audit: list one merchant's part of the audit log, newest first
SELECT {audit_entry} FROM audit_log WHERE merchant_id = $1 AND (at, entry_id) < ($2, $3)
ORDER BY at DESC, entry_id DESC LIMIT $4;

-- approval: read one request for approval
SELECT {approval} FROM approval WHERE merchant_id = $1 AND number = $2;

-- approval_of_key: read the request for approval that stands under an idempotency key
SELECT {approval} FROM approval WHERE merchant_id = $1 AND idempotency_key = $2;

-- all_approvals: list requests for approval, newest first
SELECT {approval} FROM approval WHERE number < $1 ORDER BY number DESC LIMIT $2;

-- merchant_approvals: list one merchant's requests for approval, newest first
SELECT {approval} FROM approval WHERE merchant_id = $1 AND number < $2 ORDER BY number DESC LIMIT $3;

-- insert_approval: write a request for approval down
INSERT INTO approval ({approval}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14);

-- close_approval: write down what became of a request
UPDATE approval SET state = $1, decided_by = $2, decided_at = $3, transfer_seq = $4
WHERE merchant_id = $5 AND number = $6;

-- books_to_roll_up: list merchants whose books have many transfers not summed up yet
SELECT a.merchant_id FROM account a LEFT JOIN usage_mark m ON m.merchant_id = a.merchant_id
WHERE a.merchant_id > $1 AND a.seq - coalesce(m.seq, 0) >= $2 ORDER BY a.merchant_id LIMIT $3;

-- ensure_rolled_up_seq: make sure that there is a mark to lock
INSERT INTO usage_mark (merchant_id, seq) VALUES ($1, 0) ON CONFLICT DO NOTHING;

-- rolled_up_seq: tell up to which transfer a book was summed up, and lock that
SELECT seq FROM usage_mark WHERE merchant_id = $1 FOR UPDATE;

-- set_rolled_up_seq: write up to which transfer a book was summed up
UPDATE usage_mark SET seq = $2 WHERE merchant_id = $1;

-- roll_up_usage: sum a stretch of a book up into its usage; what a charge and a capture take, and a refund gives back
INSERT INTO usage_quarter AS u (merchant_id, quarter, request_type, requests, cost, refunded)
SELECT merchant_id, committed_at / 900000000, request_type, sum(CASE WHEN kind = 4 THEN 0 ELSE quantity END),
    sum(CASE WHEN kind = 4 THEN 0 ELSE amount END), sum(CASE WHEN kind = 4 THEN amount ELSE 0 END)
FROM transfer WHERE merchant_id = $1 AND seq BETWEEN $2 AND $3 AND kind IN (3, 4, 6)
GROUP BY 1, 2, 3
ON CONFLICT (merchant_id, quarter, request_type) DO UPDATE SET
    requests = u.requests + excluded.requests, cost = u.cost + excluded.cost,
    refunded = u.refunded + excluded.refunded;

-- usage: sum up what is summed up and what is not yet, into buckets of $5 quarters
SELECT (quarter + $4::bigint) / $5::bigint, request_type, sum(requests)::bigint, sum(cost)::bigint,
    sum(refunded)::bigint
FROM (
    SELECT quarter, request_type, requests, cost, refunded FROM usage_quarter
    WHERE merchant_id = $1 AND quarter BETWEEN $2 AND $3
    UNION ALL
    SELECT committed_at / 900000000 AS quarter, request_type, CASE WHEN kind = 4 THEN 0 ELSE quantity END,
        CASE WHEN kind = 4 THEN 0 ELSE amount END, CASE WHEN kind = 4 THEN amount ELSE 0 END
    FROM transfer
    WHERE merchant_id = $1 AND seq > coalesce((SELECT seq FROM usage_mark WHERE merchant_id = $1), 0)
        AND kind IN (3, 4, 6) AND committed_at / 900000000 BETWEEN $2 AND $3
) found
GROUP BY 1, 2 ORDER BY 1, 2;
