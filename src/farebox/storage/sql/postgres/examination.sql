-- What an operator is told of a PostgreSQL server. None of it is read by one that serves.

-- examined_clock: tell the server's time, in microseconds since 1970
SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT);

-- examined_server: tell whether it is a standby, how many connections there are, and of pages that were found damaged
SELECT pg_is_in_recovery(),
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
    (SELECT CAST(coalesce(sum(checksum_failures), 0) AS BIGINT) FROM pg_stat_database);

-- examined_settings: list the settings of the server, the database and the user for new sessions
SELECT name, reset_val FROM pg_settings
WHERE name IN (
    'autovacuum', 'data_checksums', 'default_transaction_read_only', 'fsync', 'full_page_writes', 'max_connections',
    'max_slot_wal_keep_size', 'max_wal_size', 'superuser_reserved_connections', 'synchronous_commit',
    'synchronous_standby_names'
);

-- examined_log: tell how long the server's log is
SELECT CAST(coalesce(sum(size), 0) AS BIGINT) FROM pg_ls_waldir();

-- examined_replicas: list the standbys that follow
SELECT coalesce(application_name, ''), sync_state FROM pg_stat_replication ORDER BY 1;

-- examined_slots: list what keeps the log for somebody, and how much of it
SELECT slot_name, active, CAST(coalesce(pg_wal_lsn_diff(
    CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, restart_lsn
), 0) AS BIGINT)
FROM pg_replication_slots ORDER BY 1;

-- examined_dead_rows: list the tables with the most dead rows
SELECT relname, n_live_tup, n_dead_tup FROM pg_stat_user_tables WHERE n_dead_tup > 0 ORDER BY n_dead_tup DESC LIMIT 5;

-- examined_invalid_indexes: list indexes that are not kept or not whole
SELECT CAST(indexrelid AS regclass)::text FROM pg_index WHERE NOT indisvalid OR NOT indisready ORDER BY 1;

-- examined_other_tables: list some tables of a database that has no schema of Farebox's
SELECT CAST(c.oid AS regclass)::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg_toast%'
ORDER BY 1 LIMIT 5;
