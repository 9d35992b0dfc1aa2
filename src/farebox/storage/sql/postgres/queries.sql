-- What PostgreSQL says in its own way: a batch's rows as columns in one round trip each, locks, and LATERAL look-ups.

-- balances: read the available balance behind each merchant's API key
SELECT u.digest, found.wallet
FROM unnest($1::bigint[], $2::bytea[]) u (merchant_id, digest)
CROSS JOIN LATERAL (
    SELECT a.wallet FROM merchant_key k JOIN account a ON a.merchant_id = k.merchant_id
    WHERE k.merchant_id = u.merchant_id AND k.digest = u.digest {in shard k} {in shard a}
        AND (k.expires_at IS NULL OR k.expires_at > $3) AND (k.revoked_at IS NULL OR k.revoked_at > $3)
        AND k.suspended_at IS NULL AND a.closed_at IS NULL
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
            {in shard t}
        ORDER BY t.idempotency_key LIMIT 1
    ) found
), found_account AS MATERIALIZED (
    -- The currency's three characters and the thresholds share a column.
    SELECT merchant_id, given, currency || thresholds AS name, last_hash, ARRAY[
        merchant_id, wallet, held, revenue, funding, adjustments, promotions, credit_limit, is_frozen::int, seq, last_at,
        alerts_count, is_exhausted::int, given, grants_count, grants_due_at, owed, closed_at
    ] AS numbers
    FROM account WHERE merchant_id = ANY($14::bigint[])
), spender AS MATERIALIZED (
    SELECT u.digest, found.* FROM unnest($3::bigint[], $4::bytea[]) u (merchant_id, digest)
    CROSS JOIN LATERAL (
        SELECT k.merchant_id, budget_id, ARRAY[
            key_id, {KeyKind.MERCHANT}, k.merchant_id, expires_at, revoked_at, 0, budget_id, suspended_at
        ] AS numbers
        FROM merchant_key k
        WHERE k.merchant_id = u.merchant_id AND k.digest = u.digest {in shard k} LIMIT 1
    ) found
), price AS MATERIALIZED (
    SELECT NULL::bigint AS merchant_id, u.request_type, found.* FROM unnest($5::text[]) u (request_type)
    CROSS JOIN LATERAL (
        SELECT ARRAY[price_id, unit_price, starts_at, NULL, is_end::int] AS numbers, rule FROM default_price p
        WHERE p.request_type = u.request_type AND starts_at <= $1 AND withdrawn_at IS NULL
        ORDER BY starts_at DESC LIMIT 1
    ) found
    UNION ALL
    SELECT u.merchant_id, u.request_type, found.* FROM unnest($6::bigint[], $7::text[]) u (merchant_id, request_type)
    CROSS JOIN LATERAL (
        SELECT ARRAY[price_id, unit_price, starts_at, p.merchant_id, is_end::int] AS numbers, rule FROM merchant_price p
        WHERE p.merchant_id = u.merchant_id AND p.request_type = u.request_type AND starts_at <= $1 AND withdrawn_at IS NULL
            {in shard p}
        ORDER BY starts_at DESC LIMIT 1
    ) found
)
SELECT 'replay', NULL::text, NULL::bytea, NULL::bigint[], {transfer} FROM replay
UNION ALL
SELECT 'account', name, last_hash, numbers, {transfer.nulls} FROM found_account
UNION ALL
-- The first grants of those who have given credit. Of its texts only the last, the reason, may have line breaks.
SELECT 'grant', concat_ws(E'\n', g.idempotency_key, coalesce(g.types, ''), g.reference, g.reason), g.fingerprint, ARRAY[
    g.merchant_id, g.number, g.amount, g.remaining, g.priority, g.starts_at, g.expires_at, g.state, g.transfer_seq, g.ended_at
], {transfer.nulls}
FROM found_account a
CROSS JOIN LATERAL (
    SELECT {grant} FROM credit_grant g WHERE g.merchant_id = a.merchant_id AND is_spendable = 1 {in shard g}
    ORDER BY priority, coalesce(expires_at, 9223372036854775807), number LIMIT $17
) g
WHERE a.given <> 0
UNION ALL
-- A key's name, which has no line breaks, and the people who made it share a column.
SELECT 'key', name || E'\n' || people, digest, ARRAY[key_id, kind, NULL, expires_at, revoked_at, roles, NULL, NULL],
    {transfer.nulls}
FROM staff_key WHERE digest = ANY($2::bytea[])
UNION ALL
SELECT 'key', NULL, digest, numbers, {transfer.nulls} FROM spender
UNION ALL
SELECT 'budget', b.zone, NULL, ARRAY[
    b.merchant_id, b.budget_id, b.unit, b.amount, b.starts_at, b.spent, b.told_starts_at
], {transfer.nulls}
FROM (SELECT DISTINCT merchant_id, budget_id FROM spender WHERE budget_id IS NOT NULL) s
CROSS JOIN LATERAL (
    SELECT {budget} FROM key_budget
    WHERE merchant_id = s.merchant_id AND budget_id = s.budget_id {in shard key_budget} OFFSET 0
) b
UNION ALL
-- A price's type, which has no line breaks, and its rule share a column.
SELECT 'price', request_type || E'\n' || coalesce(rule, ''), NULL, numbers, {transfer.nulls} FROM price
UNION ALL
-- What was counted of the types whose price counts over periods. No name in a count has line breaks.
SELECT 'count', c.request_type || E'\n' || c.period_unit || E'\n' || c.line, NULL,
    ARRAY[c.merchant_id, c.starts_at, c.units], {transfer.nulls}
FROM (
    SELECT * FROM unnest($6::bigint[], $7::text[]) u (merchant_id, request_type)
    WHERE u.request_type IN (SELECT p.request_type FROM price p WHERE p.merchant_id IS NULL AND p.rule LIKE '%"period":%')
        OR (u.merchant_id, u.request_type) IN (
            SELECT p.merchant_id, p.request_type FROM price p WHERE p.merchant_id IS NOT NULL AND p.rule LIKE '%"period":%'
        )
) u
CROSS JOIN LATERAL (
    SELECT {period_count} FROM period_count
    WHERE merchant_id = u.merchant_id AND request_type = u.request_type AND starts_at BETWEEN $15::bigint AND $16::bigint
        {in shard period_count}
    OFFSET 0
) c
UNION ALL
SELECT 'hold', found.request_type, NULL, found.numbers, {transfer.nulls}
FROM (
    SELECT * FROM unnest($10::bigint[], $11::bigint[])
    UNION ALL
    SELECT merchant_id, seq FROM replay WHERE kind = {Kind.HOLD}
) u (merchant_id, seq)
CROSS JOIN LATERAL (
    SELECT ARRAY[{hold.numbers}] AS numbers, request_type FROM hold h
    WHERE h.merchant_id = u.merchant_id AND h.seq = u.seq {in shard h} LIMIT 1
) found
UNION ALL
SELECT 'original', NULL, NULL, ARRAY[returned.amount, (
    SELECT k.budget_id FROM merchant_key k
    WHERE k.key_id = original.key_id AND k.merchant_id = u.merchant_id {in shard k} LIMIT 1
), (
    SELECT t.committed_at FROM transfer t
    WHERE t.merchant_id = u.merchant_id AND t.seq BETWEEN original.refers_to AND original.refers_to
        AND original.kind = {Kind.CAPTURE} AND original.key_id IS NOT NULL {in shard t}
    ORDER BY t.seq LIMIT 1
)], original.*
FROM unnest($12::bigint[], $13::bigint[]) u (merchant_id, seq)
CROSS JOIN LATERAL (
    SELECT {transfer} FROM transfer t
    WHERE t.merchant_id = u.merchant_id AND t.seq BETWEEN u.seq AND u.seq {in shard t} ORDER BY t.seq LIMIT 1
) original
CROSS JOIN LATERAL (
    SELECT coalesce(sum(t.amount), 0)::bigint AS amount FROM transfer t
    WHERE t.merchant_id = u.merchant_id AND t.refers_to = u.seq AND t.kind IN ({Kind.TOP_UP_REVERSAL}, {Kind.REFUND})
        {in shard t}
) returned;

-- load_unlocked: read what most batches need, and of which version each account is; nothing is locked
-- It has of `load` what a batch of charges needs that meets no given credit, budget, hold or count. What a server does for
-- a statement before its first row, for each table that it names, is most of what a small batch costs it.
SELECT 'replay', NULL::text, NULL::bytea, NULL::bigint[], found.*
FROM unnest($8::bigint[], $9::text[]) u (merchant_id, idempotency_key)
CROSS JOIN LATERAL (
    SELECT {transfer} FROM transfer t
    WHERE t.merchant_id = u.merchant_id AND t.idempotency_key BETWEEN u.idempotency_key AND u.idempotency_key
    ORDER BY t.idempotency_key LIMIT 1
) found
UNION ALL
SELECT 'account', currency || thresholds, last_hash, ARRAY[
    merchant_id, wallet, held, revenue, funding, adjustments, promotions, credit_limit, is_frozen::int, seq, last_at,
    alerts_count, is_exhausted::int, given, grants_count, grants_due_at, owed, closed_at, xmin::text::bigint
], {transfer.nulls}
FROM account WHERE merchant_id = ANY($10::bigint[])
UNION ALL
SELECT 'key', name || E'\n' || people, digest, ARRAY[key_id, kind, NULL, expires_at, revoked_at, roles, NULL, NULL],
    {transfer.nulls}
FROM staff_key WHERE digest = ANY($2::bytea[])
UNION ALL
SELECT 'key', NULL, u.digest, found.numbers, {transfer.nulls}
FROM unnest($3::bigint[], $4::bytea[]) u (merchant_id, digest)
CROSS JOIN LATERAL (
    SELECT ARRAY[
        key_id, {KeyKind.MERCHANT}, k.merchant_id, expires_at, revoked_at, 0, budget_id, suspended_at
    ] AS numbers
    FROM merchant_key k
    WHERE k.merchant_id = u.merchant_id AND k.digest = u.digest LIMIT 1
) found
UNION ALL
SELECT 'price', u.request_type || E'\n' || coalesce(found.rule, ''), NULL, found.numbers, {transfer.nulls}
FROM unnest($5::text[]) u (request_type)
CROSS JOIN LATERAL (
    SELECT ARRAY[price_id, unit_price, starts_at, NULL, is_end::int] AS numbers, rule FROM default_price p
    WHERE p.request_type = u.request_type AND starts_at <= $1 AND withdrawn_at IS NULL
    ORDER BY starts_at DESC LIMIT 1
) found
UNION ALL
SELECT 'price', u.request_type || E'\n' || coalesce(found.rule, ''), NULL, found.numbers, {transfer.nulls}
FROM unnest($6::bigint[], $7::text[]) u (merchant_id, request_type)
CROSS JOIN LATERAL (
    SELECT ARRAY[price_id, unit_price, starts_at, p.merchant_id, is_end::int] AS numbers, rule FROM merchant_price p
    WHERE p.merchant_id = u.merchant_id AND p.request_type = u.request_type AND starts_at <= $1 AND withdrawn_at IS NULL
    ORDER BY starts_at DESC LIMIT 1
) found;

-- open_holds: list all open holds, the soonest end first, from behind one, with the transfers that made them
SELECT {hold of h}, t.*
FROM (
    SELECT * FROM hold
    WHERE state = {HoldState.HELD} AND (expires_at, merchant_id, seq) > ($1::bigint, $2::bigint, $3::bigint)
    ORDER BY expires_at, merchant_id, seq LIMIT $4
) h
CROSS JOIN LATERAL (
    SELECT {transfer} FROM transfer
    WHERE merchant_id = h.merchant_id AND seq BETWEEN h.seq AND h.seq ORDER BY seq LIMIT 1
) t
ORDER BY h.expires_at, h.merchant_id, h.seq;

-- open_holds_of: list a merchant's open holds in the same way
SELECT {hold of h}, t.*
FROM (
    SELECT * FROM hold
    WHERE state = {HoldState.HELD} AND merchant_id BETWEEN $4 AND $4 AND expires_at >= $1
        AND (expires_at, merchant_id, seq) > ($1::bigint, $2::bigint, $3::bigint)
    ORDER BY merchant_id, expires_at, seq LIMIT $5
) h
CROSS JOIN LATERAL (
    SELECT {transfer} FROM transfer
    WHERE merchant_id = h.merchant_id AND seq BETWEEN h.seq AND h.seq ORDER BY seq LIMIT 1
) t
ORDER BY h.expires_at, h.seq;

-- funding_after: read what came into a book and went out beside its requests, from a seq on, oldest first
-- Top-ups, reversals and adjustments have an index of their own; the transfers of grants are found by their rows, and the
-- ends of grants by what they refer to.
SELECT {transfer} FROM transfer
WHERE merchant_id = $1 AND seq >= $2
    AND kind IN ({Kind.TOP_UP}, {Kind.TOP_UP_REVERSAL}, {Kind.ADJUSTMENT_CREDIT}, {Kind.ADJUSTMENT_DEBIT})
UNION ALL
SELECT started.*
FROM (SELECT transfer_seq FROM credit_grant WHERE merchant_id = $1 AND transfer_seq >= $2 OFFSET 0) g
CROSS JOIN LATERAL (
    SELECT {transfer} FROM transfer t
    WHERE t.merchant_id = $1 AND t.seq BETWEEN g.transfer_seq AND g.transfer_seq ORDER BY t.seq LIMIT 1
) started
UNION ALL
SELECT ended.*
FROM (SELECT transfer_seq FROM credit_grant WHERE merchant_id = $1 AND transfer_seq IS NOT NULL OFFSET 0) g
CROSS JOIN LATERAL (
    SELECT {transfer} FROM transfer t
    WHERE t.merchant_id = $1 AND t.refers_to = g.transfer_seq AND t.kind = {Kind.GRANT_EXPIRY} OFFSET 0
) ended
WHERE ended.seq >= $2
ORDER BY seq;

-- shortfalls: list what transfers left uncollected, newest first, from behind one, with the transfers
SELECT {shortfall of s}, t.*
FROM (
    SELECT * FROM shortfall WHERE (at, merchant_id, seq) < ($1::bigint, $2::bigint, $3::bigint)
    ORDER BY at DESC, merchant_id DESC, seq DESC LIMIT $4
) s
CROSS JOIN LATERAL (
    SELECT {transfer} FROM transfer
    WHERE merchant_id = s.merchant_id AND seq BETWEEN s.seq AND s.seq ORDER BY seq LIMIT 1
) t
ORDER BY s.at DESC, s.merchant_id DESC, s.seq DESC;

-- merchant_shortfalls: list what a merchant's transfers left uncollected, newest first, from behind one, with the transfers
SELECT {shortfall of s}, t.*
FROM (SELECT * FROM shortfall WHERE merchant_id = $1 AND seq < $2 ORDER BY merchant_id DESC, seq DESC LIMIT $3) s
CROSS JOIN LATERAL (
    SELECT {transfer} FROM transfer
    WHERE merchant_id = s.merchant_id AND seq BETWEEN s.seq AND s.seq ORDER BY seq LIMIT 1
) t
ORDER BY s.seq DESC;

-- prices_of_numbers: read the versions that merchants' transfers of types name
SELECT found.* FROM unnest($1::bigint[], $2::text[], $3::bigint[]) u (merchant_id, request_type, price_id)
CROSS JOIN LATERAL (
    SELECT {merchant_price} FROM merchant_price
    WHERE merchant_id = u.merchant_id AND request_type = u.request_type AND price_id = u.price_id
        {in shard merchant_price}
    UNION ALL
    SELECT {default_price} FROM default_price WHERE price_id = u.price_id
    OFFSET 0
) found;

-- period_counts_within: read what merchants' requests of types came to in periods that began within stretches of time
SELECT found.* FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[]) u (merchant_id, request_type, first, last)
CROSS JOIN LATERAL (
    SELECT {period_count} FROM period_count
    WHERE merchant_id = u.merchant_id AND request_type = u.request_type AND starts_at BETWEEN u.first AND u.last
        {in shard period_count}
    OFFSET 0
) found;

-- approvals_of_keys: read the requests for approval that stand under idempotency keys
-- OFFSET keeps the look-up apart: joined, it may be planned as a walk through all requests.
SELECT found.* FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY u (merchant_id, idempotency_key, place)
CROSS JOIN LATERAL (
    SELECT {approval} FROM approval a WHERE a.merchant_id = u.merchant_id AND a.idempotency_key = u.idempotency_key {in shard a} OFFSET 0
) found
ORDER BY u.place, found.number;

-- update_accounts: write accounts' new balances and rules, given as columns
-- The accounts exist and are locked. As an upsert this can only be one index look-up per account, whatever the planner
-- knows; as an UPDATE joined with the new values it may walk all accounts.
INSERT INTO account ({account.stored})
SELECT {account.unnest}
ON CONFLICT (merchant_id) DO UPDATE SET {account.excluded};

-- write_small_batch: append transfers and write the accounts they left, both given as columns, in one round trip
WITH appended AS (
    INSERT INTO transfer ({transfer.stored})
    SELECT {transfer.unnest after account}
)
INSERT INTO account ({account.stored})
SELECT {account.unnest}
ON CONFLICT (merchant_id) DO UPDATE SET {account.excluded};

-- write_unlocked: lock accounts and, if they are of these versions still, append transfers and write them; or do nothing
-- The versions are given in the order of the accounts.
WITH locked AS MATERIALIZED (
    SELECT xmin::text::bigint AS version FROM account
    WHERE merchant_id = ANY($1::bigint[]) ORDER BY merchant_id FOR NO KEY UPDATE
), met AS MATERIALIZED (
    SELECT 1 WHERE (SELECT array_agg(version) FROM locked) = {transfer.next after account}::bigint[]
), appended AS (
    INSERT INTO transfer ({transfer.stored})
    SELECT {transfer.unnest after account} FROM met
)
INSERT INTO account ({account.stored})
SELECT {account.unnest} FROM met
ON CONFLICT (merchant_id) DO UPDATE SET {account.excluded};

-- touch_accounts: make accounts of another version, without changing them
UPDATE account SET seq = seq WHERE merchant_id = ANY($1::bigint[]);

-- write_small_batch_and_more: the same, and write what became of grants, of counts of periods and of budgets, if any
WITH appended AS (
    INSERT INTO transfer ({transfer.stored})
    SELECT {transfer.unnest after account}
), spent AS (
    INSERT INTO credit_grant ({grant.stored})
    SELECT {grant.unnest after account and transfer}
    ON CONFLICT (merchant_id, number) DO UPDATE SET {grant.excluded}
), counted AS (
    INSERT INTO period_count ({period_count.stored})
    SELECT {period_count.unnest after account and transfer and grant}
    ON CONFLICT (merchant_id, request_type, starts_at, period_unit, line) DO UPDATE SET {period_count.excluded}
), used AS (
    INSERT INTO key_budget ({budget.stored})
    SELECT {budget.unnest after account and transfer and grant and period_count}
    ON CONFLICT (merchant_id, budget_id, unit) DO UPDATE SET {budget.excluded}
)
INSERT INTO account ({account.stored})
SELECT {account.unnest}
ON CONFLICT (merchant_id) DO UPDATE SET {account.excluded};

-- insert_holds: add holds, given as columns
INSERT INTO hold ({hold.stored})
SELECT {hold.unnest};

-- update_holds: end or extend holds, given as columns; an upsert for the same reason as update_accounts
INSERT INTO hold ({hold.stored})
SELECT {hold.unnest}
ON CONFLICT (merchant_id, seq) DO UPDATE SET {hold.excluded};

-- load_grants: read all grants of merchants that wait, or are open and have something left or an end; the first ones of
-- others in the order of spending; and single ones by their numbers and by idempotency keys
SELECT '', found.* FROM unnest($1::bigint[]) u (merchant_id)
CROSS JOIN LATERAL (
    SELECT {grant} FROM credit_grant g WHERE g.merchant_id BETWEEN u.merchant_id AND u.merchant_id AND is_spendable = 1
        {in shard g}
    ORDER BY g.merchant_id, priority, coalesce(expires_at, 9223372036854775807), number OFFSET 0
) found
UNION ALL
SELECT '', found.* FROM unnest($1::bigint[]) u (merchant_id)
CROSS JOIN LATERAL (
    SELECT {grant} FROM credit_grant g
    WHERE g.merchant_id BETWEEN u.merchant_id AND u.merchant_id AND due_at IS NOT NULL AND is_spendable = 0
        {in shard g}
    ORDER BY g.merchant_id, due_at OFFSET 0
) found
UNION ALL
SELECT 'first', found.* FROM unnest($2::bigint[]) u (merchant_id)
CROSS JOIN LATERAL (
    SELECT {grant} FROM credit_grant g WHERE g.merchant_id = u.merchant_id AND is_spendable = 1 {in shard g}
    ORDER BY priority, coalesce(expires_at, 9223372036854775807), number LIMIT $3
) found
UNION ALL
SELECT '', found.* FROM unnest($4::bigint[], $5::bigint[]) u (merchant_id, number)
CROSS JOIN LATERAL (
    SELECT {grant} FROM credit_grant g
    WHERE g.merchant_id = u.merchant_id AND g.number BETWEEN u.number AND u.number {in shard g} ORDER BY g.number LIMIT 1
) found
UNION ALL
SELECT '', found.* FROM unnest($6::bigint[], $7::text[]) u (merchant_id, idempotency_key)
CROSS JOIN LATERAL (
    SELECT {grant} FROM credit_grant g
    WHERE g.merchant_id = u.merchant_id AND g.idempotency_key BETWEEN u.idempotency_key AND u.idempotency_key
        {in shard g}
    ORDER BY g.idempotency_key LIMIT 1
) found;

-- insert_grants: add grants, given as columns
INSERT INTO credit_grant ({grant.stored})
SELECT {grant.unnest};

-- update_grants: write what became of grants, given as columns; an upsert for the same reason as update_accounts
INSERT INTO credit_grant ({grant.stored})
SELECT {grant.unnest}
ON CONFLICT (merchant_id, number) DO UPDATE SET {grant.excluded};

-- put_period_counts: write what the requests of periods came to, given as columns
INSERT INTO period_count ({period_count.stored})
SELECT {period_count.unnest}
ON CONFLICT (merchant_id, request_type, starts_at, period_unit, line) DO UPDATE SET {period_count.excluded};

-- put_shortfalls: write what transfers left uncollected, or what is left of what is owed, given as columns
INSERT INTO shortfall ({shortfall.stored})
SELECT {shortfall.unnest}
ON CONFLICT (merchant_id, seq) DO UPDATE SET {shortfall.excluded};

-- budgets_of: read budgets' limits and what was spent of them
SELECT found.* FROM unnest($1::bigint[], $2::bigint[]) u (merchant_id, budget_id)
CROSS JOIN LATERAL (
    SELECT {budget} FROM key_budget
    WHERE merchant_id = u.merchant_id AND budget_id = u.budget_id {in shard key_budget} OFFSET 0
) found;

-- update_budgets: write what was spent of budgets, given as columns; an upsert for the same reason as update_accounts
INSERT INTO key_budget ({budget.stored})
SELECT {budget.unnest}
ON CONFLICT (merchant_id, budget_id, unit) DO UPDATE SET {budget.excluded};

-- insert_alerts: record alerts, given as columns, and owe each to those who want its kind, as owe_deliveries does
WITH told AS (
    INSERT INTO alert ({alert.stored})
    SELECT {alert.unnest}
    RETURNING merchant_id, number, fired_at, kind, user_id
)
INSERT INTO delivery (merchant_id, alert_number, channel, recipient_id, email, state, attempts, next_attempt_at)
SELECT a.merchant_id, a.number, r.channel, r.recipient_id, r.email, {DeliveryState.WAITING}, 0, a.fired_at
FROM told a
CROSS JOIN LATERAL (
    SELECT {Channel.EMAIL} AS channel, u.user_id AS recipient_id, u.email FROM merchant_user u
    WHERE u.merchant_id = a.merchant_id AND a.kind <> {AlertKind.APPROVAL_WAITING}
        AND (a.user_id IS NULL OR u.user_id = a.user_id)
        AND (
            (u.mail_kinds / (1 << a.kind)) % 2 = 1
            OR (u.role = {Role.OWNER} AND a.kind IN ({AlertKind.USED_UP}, {AlertKind.DESTINATION_DISABLED}))
        )
    UNION ALL
    SELECT d.channel, d.destination_id, '' FROM destination d
    WHERE d.merchant_id = a.merchant_id AND a.kind <> {AlertKind.APPROVAL_WAITING}
        AND a.user_id IS NULL AND d.state = {DestinationState.ON} AND (d.kinds / (1 << a.kind)) % 2 = 1
    UNION ALL
    SELECT d.channel, d.destination_id, '' FROM destination d
    WHERE d.merchant_id IS NULL
        AND a.user_id IS NULL AND d.state = {DestinationState.ON} AND (d.kinds / (1 << a.kind)) % 2 = 1
    OFFSET 0
) r;

-- transfers_of: read the beginnings of merchants' books, each in order of seq
SELECT found.* FROM unnest($1::bigint[]) u (merchant_id)
CROSS JOIN LATERAL (
    SELECT {transfer} FROM transfer t WHERE t.merchant_id = u.merchant_id {in shard t}
    ORDER BY t.merchant_id, t.seq LIMIT $2
) found;

-- holds_of: read merchants' holds, each merchant's in order of seq
SELECT found.* FROM unnest($1::bigint[]) u (merchant_id)
CROSS JOIN LATERAL (
    SELECT {hold} FROM hold h WHERE h.merchant_id = u.merchant_id {in shard h}
    ORDER BY h.merchant_id, h.seq LIMIT $2
) found;

-- alerts_of: read merchants' alerts, each merchant's in order of their numbers
SELECT found.* FROM unnest($1::bigint[]) u (merchant_id)
CROSS JOIN LATERAL (
    SELECT {alert} FROM alert a WHERE a.merchant_id = u.merchant_id {in shard a}
    ORDER BY a.merchant_id, a.number LIMIT $2
) found;

-- grants_of: read merchants' grants, each merchant's in order of their numbers
SELECT found.* FROM unnest($1::bigint[]) u (merchant_id)
CROSS JOIN LATERAL (
    SELECT {grant} FROM credit_grant g WHERE g.merchant_id = u.merchant_id {in shard g}
    ORDER BY g.merchant_id, g.number LIMIT $2
) found;

-- transfers_at: read single transfers of a book by their seq
SELECT found.* FROM unnest($2::bigint[]) u (seq)
CROSS JOIN LATERAL (
    SELECT {transfer} FROM transfer t
    WHERE t.merchant_id = $1 AND t.seq BETWEEN u.seq AND u.seq ORDER BY t.seq LIMIT 1
) found;

-- claim_mails: take mails that are due and lease them, one of each merchant in turn, beginning after $4, then the next
-- What another claimer takes at this moment is passed over.
WITH RECURSIVE turn (place, lap, merchant_id, due_count) AS (
    SELECT 0, 0, $4::bigint, 0
    UNION ALL
    SELECT t.place + 1, CASE WHEN t.merchant_id IS NULL THEN 1 ELSE t.lap END, (
            SELECT min(w.merchant_id) FROM delivery w WHERE w.channel = {Channel.EMAIL} AND w.state = {DeliveryState.WAITING} AND w.merchant_id > coalesce(t.merchant_id, -1)
            AND w.merchant_id <= CASE WHEN t.lap = 0 AND t.merchant_id IS NOT NULL THEN 9223372036854775807 ELSE $4::bigint END
        ), t.due_count + (t.place > 0 AND coalesce((
            SELECT min(w.next_attempt_at) FROM delivery w WHERE w.channel = {Channel.EMAIL} AND w.state = {DeliveryState.WAITING} AND w.merchant_id = t.merchant_id
        ) <= $1, false))::int
    FROM turn t WHERE t.due_count < $3::bigint AND NOT (t.lap = 1 AND t.merchant_id IS NULL)
), chosen AS MATERIALIZED (
    SELECT m.*, row_number() OVER (PARTITION BY t.place ORDER BY m.next_attempt_at, m.alert_number, m.recipient_id) AS number,
        t.place
    FROM turn t CROSS JOIN LATERAL (
        SELECT merchant_id, alert_number, recipient_id, next_attempt_at FROM delivery w
        WHERE w.channel = {Channel.EMAIL} AND w.state = {DeliveryState.WAITING} AND w.merchant_id = t.merchant_id AND w.next_attempt_at <= $1
        ORDER BY w.next_attempt_at LIMIT $3::bigint
    ) m
    WHERE t.place > 0 ORDER BY number, t.place LIMIT $3::bigint
), due AS MATERIALIZED (
    SELECT w.ctid FROM chosen c CROSS JOIN LATERAL (
        SELECT ctid FROM delivery w
        WHERE w.merchant_id = c.merchant_id AND w.alert_number = c.alert_number AND w.channel = {Channel.EMAIL} AND w.recipient_id = c.recipient_id
            AND w.state = {DeliveryState.WAITING} AND w.next_attempt_at <= $1
        LIMIT 1 FOR UPDATE SKIP LOCKED
    ) w
), claimed AS (
    UPDATE delivery SET attempts = attempts + 1, next_attempt_at = $2 WHERE ctid = ANY (ARRAY(SELECT ctid FROM due))
    RETURNING *
)
SELECT {alert of a}, {delivery of o}
FROM claimed o CROSS JOIN LATERAL (
    SELECT {alert} FROM alert WHERE merchant_id = o.merchant_id AND number = o.alert_number LIMIT 1
) a;

-- claim_account_mails: take account mails that are due and lease them, one of each merchant in turn, as claim_mails does
WITH RECURSIVE turn (place, lap, merchant_id, due_count) AS (
    SELECT 0, 0, $4::bigint, 0
    UNION ALL
    SELECT t.place + 1, CASE WHEN t.merchant_id IS NULL THEN 1 ELSE t.lap END, (
            SELECT min(coalesce(w.merchant_id, 0)) FROM letter w WHERE w.state = {DeliveryState.WAITING} AND coalesce(w.merchant_id, 0) > coalesce(t.merchant_id, -1)
            AND coalesce(w.merchant_id, 0) <= CASE WHEN t.lap = 0 AND t.merchant_id IS NOT NULL THEN 9223372036854775807 ELSE $4::bigint END
        ), t.due_count + (t.place > 0 AND coalesce((
            SELECT min(w.next_attempt_at) FROM letter w WHERE w.state = {DeliveryState.WAITING} AND coalesce(w.merchant_id, 0) = t.merchant_id
        ) <= $1, false))::int
    FROM turn t WHERE t.due_count < $3::bigint AND NOT (t.lap = 1 AND t.merchant_id IS NULL)
), chosen AS MATERIALIZED (
    SELECT m.*, row_number() OVER (PARTITION BY t.place ORDER BY m.next_attempt_at, m.letter_id) AS number, t.place
    FROM turn t CROSS JOIN LATERAL (
        SELECT letter_id, next_attempt_at FROM letter w
        WHERE w.state = {DeliveryState.WAITING} AND coalesce(w.merchant_id, 0) = t.merchant_id AND w.next_attempt_at <= $1
        ORDER BY w.next_attempt_at LIMIT $3::bigint
    ) m
    WHERE t.place > 0 ORDER BY number, t.place LIMIT $3::bigint
), due AS MATERIALIZED (
    SELECT w.letter_id FROM chosen c CROSS JOIN LATERAL (
        SELECT letter_id FROM letter w
        WHERE w.letter_id = c.letter_id AND w.state = {DeliveryState.WAITING} AND w.next_attempt_at <= $1
        LIMIT 1 FOR UPDATE SKIP LOCKED
    ) w
)
UPDATE letter SET attempts = attempts + 1, next_attempt_at = $2 WHERE letter_id = ANY (ARRAY(SELECT letter_id FROM due))
RETURNING {account_mail};

-- merchant_rows: read merchants with their accounts and runway snapshots, in the order in which they are named
SELECT m.*, a.*, r.*
FROM unnest($1::bigint[]) WITH ORDINALITY named (merchant_id, place)
CROSS JOIN LATERAL (SELECT {merchant} FROM merchant m WHERE m.merchant_id = named.merchant_id LIMIT 1) m
CROSS JOIN LATERAL (SELECT {account} FROM account a WHERE a.merchant_id = named.merchant_id LIMIT 1) a
LEFT JOIN LATERAL (SELECT {runway_snapshot} FROM outlook r WHERE r.merchant_id = named.merchant_id LIMIT 1) r ON true
ORDER BY named.place;

-- users_with_logins: list the users of a merchant's account with what each signs in by, oldest first
SELECT {user of u}, l.*
FROM (SELECT {user}, mailbox FROM merchant_user WHERE merchant_id = $1 OFFSET 0) u
LEFT JOIN LATERAL (
    SELECT {login} FROM login l WHERE l.realm = {Realm.MERCHANT} AND l.mailbox = u.mailbox LIMIT 1
) l ON true
ORDER BY u.user_id;

-- hold_batches_up: let no batch begin before this transaction ends, once those under way have ended
-- Each batch locks rows of accounts FOR UPDATE, which this lock of the table excludes; to read them goes on.
LOCK TABLE account IN EXCLUSIVE MODE;

-- lock_prices: let nobody else change a price before this transaction ends; to read them goes on
LOCK TABLE default_price, merchant_price IN SHARE ROW EXCLUSIVE MODE;

-- lock_refusals: let nobody else count refusals before this transaction ends; to read them goes on
LOCK TABLE refusal IN SHARE ROW EXCLUSIVE MODE;

-- lock_verifications: let nobody else begin a verification before this transaction ends
LOCK TABLE verification IN SHARE ROW EXCLUSIVE MODE;

-- write_nothing: write a row as it is
UPDATE farebox_migration SET applied_at = applied_at WHERE name = (SELECT min(name) FROM farebox_migration);

-- database: which database of which server this is, on which timeline, and how much of its log is safe on the disk
-- A standby has no timeline of its own.
SELECT oid::bigint,
    CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END,
    CASE WHEN NOT pg_is_in_recovery() THEN pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::bigint END
FROM pg_database WHERE datname = current_database();

-- system_identifier: tell which cluster of databases this is
SELECT system_identifier FROM pg_control_system();

-- committed_transfers: count which of these transfers are there
SELECT count(*) FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) u (merchant_id, seq, hash)
CROSS JOIN LATERAL (
    SELECT 1 FROM transfer t
    WHERE t.merchant_id = u.merchant_id AND t.seq BETWEEN u.seq AND u.seq AND t.hash = u.hash
    ORDER BY t.seq LIMIT 1
) found;

-- replication: list the standbys that may be seen, and how far each is behind: in microseconds, and in bytes of the log
-- A server names its standbys to all, but tells how far they are only to roles that may read its statistics.
SELECT coalesce(nullif(application_name, ''), host(client_addr), ''),
    CAST(1000000 * coalesce(extract(epoch FROM replay_lag), 0) AS BIGINT),
    CAST(pg_wal_lsn_diff(
        CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, replay_lsn
    ) AS BIGINT)
FROM pg_stat_replication WHERE replay_lsn IS NOT NULL;
