"""The database: whether it can be reached, is the right one, and keeps what is committed to it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from farebox.bootstrap import examine
from farebox.cli.context import counted
from farebox.cli.doctor.citus_checks import check_citus
from farebox.cli.doctor.findings import MIB, CheckContext, Finding, error, ok, warn
from farebox.core.prices import CLOCK_LAG_MICROS_MAX
from farebox.storage import migrate, sql
from farebox.storage.examination import PostgresFacts, SqliteFacts
from farebox.storage.interface import SchemaMismatch, StorageError

CONNECTIONS_PER_WORKER: Final = 10
"""How many connections a process keeps at most; a look at the whole ledger has one of its own."""

_ADVICE_DATABASE: Final = "see that FAREBOX_DATABASE_URL names the right one, and that it runs and lets this account in"
_DEAD_SHARE_MAX: Final = 0.2


async def check_database(context: CheckContext) -> list[Finding]:
    """Tell how the database is."""
    where = database_name(context)
    if "database_url" in context.unread:
        return []
    path = context.settings.database_url.sqlite_path
    if path is not None and not path.exists():
        return [error("database.reachable", where, "there is no such file", "run: farebox init")]
    try:
        facts = await examine(context.settings, context.clock, check_seconds_max=context.limits.check_seconds_max)
    except (StorageError, TimeoutError) as problem:
        return [error("database.reachable", where, str(problem) or "it does not answer", _ADVICE_DATABASE)]
    if isinstance(facts, SqliteFacts):
        return [
            ok("database.reachable", where, f"SQLite {facts.version}"),
            _schema("sqlite", facts.applied, facts.other_tables, where),
            *_sqlite(facts, where, context),
        ]
    return [
        ok("database.reachable", where, f"PostgreSQL {facts.version}"),
        _schema("postgres", facts.applied, facts.other_tables, where),
        *_durability(facts, where),
        _writable(facts, where),
        _connections(facts, where, context),
        *_standbys(facts, where),
        _log(facts, where, context),
        *_slots(facts, where, context),
        _integrity(facts, where),
        _dead_rows(facts, where, context),
        _clock(facts, where, context),
        *(check_citus(facts.citus, where, has_schema=bool(facts.applied)) if facts.citus else ()),
    ]


def database_name(context: CheckContext) -> str:
    """Name the database without who logs in there."""
    url = context.settings.database_url
    if url.sqlite_path is not None:
        return str(context.folder / url.sqlite_path)
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}"


def _schema(dialect: str, applied: Sequence[str], other_tables: Sequence[str], where: str) -> Finding:
    known = [name for name, _ in sql.migrations(dialect)]
    if other_tables:
        found = f"it is another program's: it has {', '.join(other_tables)}, and no schema of Farebox's"
        return error("database.schema", where, found, "name another database; Farebox wants one of its own")
    try:
        migrate.check_current(known, applied)
    except SchemaMismatch as problem:
        found, _, advice = str(problem).rpartition("; ")
        return error("database.schema", where, found, advice)
    return ok("database.schema", where, f"up to date: {applied[-1]}")


def _sqlite(facts: SqliteFacts, where: str, context: CheckContext) -> list[Finding]:
    findings = []
    if facts.applied and facts.journal_mode != "wal":
        found = f"its journal mode is {facts.journal_mode}: what its file system lacks keeps SQLite from its log"
        findings.append(error("database.journal", where, found, "keep the file on a local disk of this machine"))
    else:
        findings.append(ok("database.journal", where, "changes go through a log (WAL) that is synced at each commit"))
    if facts.log_bytes > context.limits.sqlite_log_bytes_max:
        found = f"its log has {facts.log_bytes // MIB:,} MiB: something has read the file without an end"
        advice = "find what holds it open (`fuser FILE`), and end that; the log then shrinks as charges go on"
        findings.append(warn("database.log", f"{where}-wal", found, advice))
    else:
        findings.append(ok("database.log", f"{where}-wal", f"{facts.log_bytes // MIB:,} MiB"))
    if facts.quick_check is None:
        found = "the file is so large that SQLite's own check was not through in time"
        findings.append(ok("database.integrity", where, found))
    elif facts.quick_check != "ok":
        advice = "stop the server, keep a copy of the file, restore the last good backup: docs/how-to/back-up.md"
        findings.append(error("database.integrity", where, facts.quick_check, advice))
    else:
        findings.append(ok("database.integrity", where, "SQLite's own quick check finds nothing"))
    return findings


def _durability(facts: PostgresFacts, where: str) -> list[Finding]:
    """Tell whether what is committed survives a crash."""
    check, findings = "database.durability", []
    for name in ("fsync", "full_page_writes"):
        if facts.settings.get(name) == "off":
            found = f"{name} is off: a crash of the machine loses charges, or tears the database apart"
            findings.append(error(check, where, found, f"ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf()"))
    level = facts.settings.get("synchronous_commit", "on")
    if level in ("off", "local"):
        found = f"synchronous_commit is {level}: Farebox turns it on for its own sessions, other programs lose commits"
        advice = "ALTER SYSTEM SET synchronous_commit = on; SELECT pg_reload_conf()"
        findings.append(warn(check, where, found, advice))
    elif level == "remote_write":
        found = "synchronous_commit is remote_write: a standby may lose what it had not written to its disk"
        findings.append(warn(check, where, found, "set it to on"))
    return findings or [ok(check, where, f"commits are durable (synchronous_commit = {level})")]


def _writable(facts: PostgresFacts, where: str) -> Finding:
    check = "database.writable"
    if facts.is_standby:
        return error(check, where, "it is a standby and takes no writes", "name the primary, or all hosts, in the URL")
    if facts.settings.get("default_transaction_read_only") == "on":
        found = "default_transaction_read_only is on: every charge is refused"
        return error(check, where, found, "turn it off for this user, database or server")
    return ok(check, where, "it takes writes")


def _connections(facts: PostgresFacts, where: str, context: CheckContext) -> Finding:
    check = "database.connections"
    most = int(facts.settings["max_connections"]) - int(facts.settings["superuser_reserved_connections"])
    wanted = context.workers * CONNECTIONS_PER_WORKER + 1
    processes = "1 process" if context.workers == 1 else f"{context.workers} processes"
    have = f"{processes} may take {wanted} connections; the server has {most}, of which {facts.connections} are taken"
    advice = "ALTER SYSTEM SET max_connections = ... and restart PostgreSQL, or serve with fewer --workers"
    if wanted > most:
        return error(check, where, have, advice)
    # A server that runs already has its own among those that are taken.
    if facts.connections - 1 + CONNECTIONS_PER_WORKER > most:
        return warn(check, where, f"hardly any is left: {have}", advice)
    return ok(check, where, have)


def _standbys(facts: PostgresFacts, where: str) -> list[Finding]:
    check = "database.standby"
    wanted = facts.settings.get("synchronous_standby_names", "")
    states = [replica.sync_state for replica in facts.replicas]
    if wanted and not {"sync", "quorum"} & set(states):
        if None in states:
            found = f"this user may not see whether a standby of {wanted} follows"
            return [warn(check, where, found, "GRANT pg_monitor to the user of FAREBOX_DATABASE_URL")]
        found = f"no synchronous standby follows, and synchronous_standby_names = {wanted}: every commit hangs"
        advice = "start the standby, or take its name out of synchronous_standby_names"
        return [error(check, where, found, advice)]
    if wanted:
        return [ok(check, where, f"commits wait for a standby: {wanted}")]
    if facts.replicas:
        names = ", ".join(replica.name for replica in facts.replicas)
        found = f"no commit waits for the standby that follows ({names}): the last moments are lost with this server"
        advice = "set synchronous_standby_names, if a charge must survive the loss of a machine"
        return [warn(check, where, found, advice)]
    return [ok(check, where, "no standby follows")]


def _log(facts: PostgresFacts, where: str, context: CheckContext) -> Finding:
    check = "database.log"
    if facts.log_bytes is None:
        return ok(check, where, "this user may not see how long the log is: pg_monitor may")
    size = f"the log (WAL) has {facts.log_bytes // MIB:,} MiB"
    if facts.log_bytes > context.limits.log_bytes_max:
        advice = "see that archive_command succeeds, that no slot is left over, and what max_wal_size is"
        return warn(check, where, f"{size}: something keeps it", advice)
    return ok(check, where, size)


def _slots(facts: PostgresFacts, where: str, context: CheckContext) -> list[Finding]:
    return [
        warn(
            "database.slots",
            where,
            f"replication slot {slot.name} has nobody at it and keeps {slot.kept_bytes // MIB:,} MiB of the log",
            f"start what uses it, or SELECT pg_drop_replication_slot('{slot.name}'): the disk fills up else",
        )
        for slot in facts.slots
        if not slot.is_active or slot.kept_bytes > context.limits.slot_bytes_max
    ]


def _integrity(facts: PostgresFacts, where: str) -> Finding:
    check = "database.integrity"
    if facts.checksum_failures:
        found = f"PostgreSQL has met {counted(facts.checksum_failures, 'damaged page')}"
        return error(check, where, found, "look at the disk, restore a good backup, and run: farebox verify")
    if facts.invalid_indexes:
        found = f"indexes are not whole: {', '.join(facts.invalid_indexes)}"
        return error(check, where, found, "; ".join(f"REINDEX INDEX {name}" for name in facts.invalid_indexes))
    sums = "" if facts.settings.get("data_checksums") == "on" else "; data checksums are off"
    return ok(check, where, f"no damaged page was met, and all indexes are whole{sums}")


def _dead_rows(facts: PostgresFacts, where: str, context: CheckContext) -> Finding:
    check = "database.dead-rows"
    if facts.settings.get("autovacuum") == "off":
        found = "autovacuum is off: dead rows are never cleared away, and every charge leaves one"
        return error(check, where, found, "ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf()")
    for rows in facts.dead_rows:
        if rows.dead > context.limits.dead_rows_min and rows.dead > _DEAD_SHARE_MAX * (rows.live + rows.dead):
            found = f"{rows.table} has {rows.dead:,} dead rows beside {rows.live:,}: vacuum does not keep up"
            advice = f"VACUUM {rows.table}; then look for transactions that stay open (pg_stat_activity)"
            return warn(check, where, found, advice)
    return ok(check, where, "autovacuum keeps up")


def _clock(facts: PostgresFacts, where: str, context: CheckContext) -> Finding:
    check, ahead = "clock.database", facts.clock.ahead_micros
    how = f"its clock is {abs(ahead) / 1_000_000:.1f} s {'ahead of' if ahead > 0 else 'behind'} this machine's"
    doubt = (facts.clock.answered_at - facts.clock.asked_at) // 2
    if abs(ahead) - doubt <= context.limits.clock_skew_micros:
        return ok(check, where, "its clock and this machine's agree")
    advice = "let both machines follow the same time servers (chrony, systemd-timesyncd)"
    if abs(ahead) - doubt > CLOCK_LAG_MICROS_MAX:
        return error(check, where, how, advice)
    return warn(check, where, how, advice)


def sqlite_file(context: CheckContext) -> Path | None:
    """Name the database's file, if it is one and is known."""
    path = context.settings.database_url.sqlite_path
    return None if path is None or "database_url" in context.unread else context.folder / path
