-- What an operator is told of a database that has the extension Citus. None of it is read by a server that serves.

-- examined_citus: tell the extension's version in this database, and the one that the server's programs have
SELECT e.extversion, a.default_version
FROM pg_extension e JOIN pg_available_extensions a ON a.name = e.extname WHERE e.extname = 'citus';

-- examined_workers: ask each worker for its version of the extension and for settings, and tell how many shards it has
SELECT w.nodename || ':' || w.nodeport, w.success, w.result, (
    SELECT count(*) FROM pg_dist_placement p JOIN pg_dist_node n ON n.groupid = p.groupid
    JOIN pg_dist_shard s ON s.shardid = p.shardid
    WHERE n.nodename = w.nodename AND n.nodeport = w.nodeport AND s.logicalrelid = to_regclass('account')
)
FROM run_command_on_workers($command$
    SELECT concat_ws(' ', coalesce((SELECT extversion FROM pg_extension WHERE extname = 'citus'), '-'),
        current_setting('max_prepared_transactions'), current_setting('fsync'), current_setting('full_page_writes'))
$command$) w ORDER BY 1;

-- examined_unspread: list those of these tables that are there, and neither divided nor copied
SELECT c.relname FROM pg_class c LEFT JOIN pg_dist_partition p ON p.logicalrelid = c.oid
WHERE c.relnamespace = to_regnamespace(current_schema()) AND c.relkind IN ('r', 'p') AND c.relname = ANY($1::text[])
    AND (p.logicalrelid IS NULL OR NOT (p.partmethod = 'h' OR p.repmodel = 't'))
ORDER BY 1;
