"""Facts of a PostgreSQL server and database: each question is asked by itself, as rights to ask some may lack."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import asyncpg

from farebox.storage import sql
from farebox.storage.examination import (
    CitusFacts,
    DatabaseClock,
    DeadRows,
    PostgresFacts,
    Replica,
    ReplicationSlot,
    Worker,
)
from farebox.storage.postgres.distribution import COPIED, SPREAD
from farebox.storage.postgres.hosts import Hosts
from farebox.storage.postgres.limits import LIMITS
from farebox.storage.postgres.pool import own_connection
from farebox.storage.postgres.schema import applied_migrations, checked_version

_SQL: Final = sql.statements("postgres")
_CITUS: Final = sql.statements("citus")
_ASKED_OF_WORKERS: Final = ("max_prepared_transactions", "fsync", "full_page_writes")
"""The settings that a worker tells behind its version."""


async def examine(url: str, now: Callable[[], int]) -> PostgresFacts:
    """Tell of a server and database; `now` tells our own time.

    Raises:
        StorageError: it can't be reached, or will not do.
    """
    hosts = Hosts(url, LIMITS.connect_timeout_ms)
    # What the session itself asks for would stand in place of what the server is set to.
    async with own_connection(hosts, LIMITS, {}, command_timeout_ms=LIMITS.command_timeout_ms) as connection:
        version = checked_version(connection)
        applied = await applied_migrations(connection)
        asked_at = now()
        told = await connection.fetchval(_SQL["examined_clock"])
        clock = DatabaseClock(asked_at, told, now())
        is_standby, connections, failures = (await connection.fetch(_SQL["examined_server"]))[0]
        return PostgresFacts(
            version=version,
            applied=applied,
            other_tables=[] if applied else await _column(connection, "examined_other_tables"),
            is_standby=is_standby,
            settings=dict(map(tuple, await connection.fetch(_SQL["examined_settings"]))),
            connections=connections,
            log_bytes=await _log_bytes(connection),
            replicas=[Replica(*row) for row in await connection.fetch(_SQL["examined_replicas"])],
            slots=[ReplicationSlot(*row) for row in await connection.fetch(_SQL["examined_slots"])],
            dead_rows=[DeadRows(*row) for row in await connection.fetch(_SQL["examined_dead_rows"])],
            invalid_indexes=await _column(connection, "examined_invalid_indexes"),
            checksum_failures=failures,
            clock=clock,
            citus=await _citus(connection),
        )


async def _citus(connection: "asyncpg.Connection[asyncpg.Record]") -> CitusFacts | None:
    if not (found := await connection.fetch(_CITUS["examined_citus"])):
        return None
    version, installed_version = found[0]
    _, coordinators = (await connection.fetch(_CITUS["citus_servers"]))[0]
    workers = [_worker(*row) for row in await connection.fetch(_CITUS["examined_workers"])]
    unspread = await connection.fetch(_CITUS["examined_unspread"], [*SPREAD, *COPIED])
    return CitusFacts(version, installed_version, bool(coordinators), workers, [row[0] for row in unspread])


def _worker(name: str, has_answered: bool, answer: str, shards: int) -> Worker:
    if not has_answered:
        return Worker(name, answer.partition("\n")[0], "", {}, shards)
    version, *settings = answer.split()
    return Worker(name, "", version.strip("-"), dict(zip(_ASKED_OF_WORKERS, settings, strict=True)), shards)


async def _column(connection: "asyncpg.Connection[asyncpg.Record]", name: str) -> Sequence[str]:
    return [row[0] for row in await connection.fetch(_SQL[name])]


async def _log_bytes(connection: "asyncpg.Connection[asyncpg.Record]") -> int | None:
    try:
        size: Any = await connection.fetchval(_SQL["examined_log"])
    except asyncpg.InsufficientPrivilegeError:
        return None
    return int(size)
