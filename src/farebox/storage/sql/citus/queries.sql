-- What Citus takes in another shape than a plain PostgreSQL: a statement changes one table, and one that reads rows of
-- several merchants has to name the shard that they are in.

-- lock_accounts: lock the accounts of a batch in sorted order, and let their shard stay where it is until the batch ends
-- A shard that is moved or split leaves locks of rows behind, but waits for whoever has changed something in it, be it no
-- row at all.
WITH kept AS (
    UPDATE account SET seq = seq WHERE merchant_id = ANY($1::bigint[]) AND seq < 0 RETURNING 1
)
SELECT 1 FROM account WHERE merchant_id = ANY($1::bigint[]) ORDER BY merchant_id FOR UPDATE;

-- insert_into_transfer: append transfers, given as columns
INSERT INTO transfer ({transfer.stored})
SELECT {transfer.unnest};

-- insert_alerts: record alerts, given as columns; what is owed of them is written apart
INSERT INTO alert ({alert.stored})
SELECT {alert.unnest};

-- owe_deliveries: owe an alert to those who want its kind, as PostgreSQL's block does; in two phases
INSERT INTO delivery (merchant_id, alert_number, channel, recipient_id, email, state, attempts, next_attempt_at)
SELECT merchant_id, number, channel, recipient_id, email, state, attempts, fired_at
FROM (
{owed deliveries}
) owed;

-- owed_deliveries: tell what an alert owes to whom, rows of insert_into_delivery
{owed deliveries};

-- insert_into_delivery: owe alerts to those who want them, given as columns
INSERT INTO delivery (merchant_id, alert_number, channel, recipient_id, email, state, attempts, next_attempt_at)
SELECT a.merchant_id, u.alert_number, u.channel, u.recipient_id, u.email, u.state, u.attempts, u.next_attempt_at
FROM account a JOIN unnest(
    $1::bigint[], $2::bigint[], $3::smallint[], $4::bigint[], $5::text[], $6::smallint[], $7::bigint[], $8::bigint[]
) u (merchant_id, alert_number, channel, recipient_id, email, state, attempts, next_attempt_at)
    ON u.merchant_id = a.merchant_id
WHERE a.merchant_id = ANY($9::bigint[]);

-- due_mails: find mails that are due, one of each merchant in turn, beginning after $3, then the next
SELECT merchant_id, alert_number, recipient_id
FROM (
    SELECT merchant_id, alert_number, recipient_id, row_number() OVER (
        PARTITION BY merchant_id ORDER BY next_attempt_at, alert_number, recipient_id
    ) AS number
    FROM delivery
    WHERE channel = {Channel.EMAIL} AND state = {DeliveryState.WAITING} AND next_attempt_at <= $1
) due
ORDER BY number, merchant_id <= $3, merchant_id LIMIT $2;

-- lease_mails: lease mails of one shard that are due still, given as columns
WITH claimed AS (
    UPDATE delivery d SET attempts = d.attempts + 1, next_attempt_at = $5
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) u (merchant_id, alert_number, recipient_id)
    WHERE d.merchant_id = ANY($1::bigint[]) AND d.merchant_id = u.merchant_id AND d.alert_number = u.alert_number
        AND d.channel = {Channel.EMAIL} AND d.recipient_id = u.recipient_id
        AND d.state = {DeliveryState.WAITING} AND d.next_attempt_at <= $4
    RETURNING d.*
)
SELECT {alert of a}, {delivery of o}
FROM claimed o JOIN alert a ON a.merchant_id = ANY($1::bigint[]) AND a.merchant_id = o.merchant_id
    AND a.number = o.alert_number;

-- lane_heads: find due deliveries that are the first of their lanes: of a channel, at a time, after a destination
SELECT h.recipient_id, h.merchant_id, h.alert_number
FROM (
    SELECT recipient_id, merchant_id, alert_number, next_attempt_at, row_number() OVER (
        PARTITION BY merchant_id, recipient_id ORDER BY alert_number
    ) AS number
    FROM delivery
    WHERE state = {DeliveryState.WAITING} AND channel <> {Channel.EMAIL} AND attempts < 8 AND channel = $1
        AND recipient_id > $3
) h LEFT JOIN destination d ON d.destination_id = h.recipient_id
WHERE h.number = 1 AND h.next_attempt_at <= $2 AND coalesce(d.paused_until, 0) <= $2
ORDER BY h.recipient_id, h.merchant_id LIMIT $4;

-- committed_transfers: count which of these transfers are there
SELECT count(*) FROM transfer t JOIN unnest($1::bigint[], $2::bigint[], $3::bytea[]) u (merchant_id, seq, hash)
    ON t.merchant_id = u.merchant_id AND t.seq = u.seq AND t.hash = u.hash
WHERE t.merchant_id = ANY($1::bigint[]);

-- merchant_key_record: read what a batch needs of a merchant's key, as `load` does
SELECT ARRAY[key_id, {KeyKind.MERCHANT}, merchant_id, expires_at, revoked_at, 0, budget_id, suspended_at]
FROM merchant_key WHERE merchant_id = $1 AND digest = $2;

-- shards: list the least hash of each shard of the ledger's tables
SELECT CAST(shardminvalue AS INTEGER) FROM pg_dist_shard WHERE logicalrelid = to_regclass('account');

-- citus_version: tell the version of the extension, if it is in the database
SELECT extversion FROM pg_extension WHERE extname = 'citus';

-- citus_servers: count the servers beside the coordinator, and the entries of the coordinator itself
SELECT count(*) FILTER (WHERE groupid <> 0), count(*) FILTER (WHERE groupid = 0)
FROM pg_dist_node WHERE noderole = 'primary';

-- spread_tables: list the tables that Citus divides or copies
SELECT c.relname FROM pg_dist_partition p JOIN pg_class c ON c.oid = p.logicalrelid
WHERE c.relnamespace = to_regnamespace(current_schema()) AND (p.partmethod = 'h' OR p.repmodel = 't');

-- references_of: list the references from and to tables
SELECT c.relname, r.conname, pg_get_constraintdef(r.oid), t.relname
FROM pg_constraint r JOIN pg_class c ON c.oid = r.conrelid JOIN pg_class t ON t.oid = r.confrelid
WHERE r.contype = 'f' AND c.relnamespace = to_regnamespace(current_schema())
    AND (c.relname = ANY($1::text[]) OR t.relname = ANY($1::text[]))
ORDER BY 1, 2;

-- copy_table: give each server a copy of a table
SELECT create_reference_table($1::text::regclass);

-- spread_table: divide a table by merchant, as another one is divided
SELECT create_distributed_table($1::text::regclass, 'merchant_id', colocate_with => $2::text);
