"""A snapshot: the whole ledger as of one moment, on a connection of its own."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from farebox.storage import records, rows, sql
from farebox.storage.postgres.errors import translated
from farebox.storage.postgres.hosts import Hosts
from farebox.storage.postgres.limits import PostgresLimits
from farebox.storage.postgres.pool import Connection, own_connection
from farebox.storage.postgres.shards import ShardMap, shaped, within_shard
from farebox.storage.records import BookRows
from farebox.storage.snapshot import StatementSnapshot

_SQL: Final = sql.statements("postgres")


class PostgresSnapshot(StatementSnapshot):
    """A REPEATABLE READ transaction on a connection of its own: it sees one moment and holds up nobody."""

    def __init__(
        self, connection: "asyncpg.Connection[asyncpg.Record]", chunk_rows: int, shards: ShardMap | None = None
    ) -> None:
        super().__init__(chunk_rows)
        self._connection = connection
        self._shards = shards

    async def books(self, merchant_ids: Sequence[int]) -> Mapping[int, BookRows]:
        """Read short books at once, in five statements for each shard."""
        if self._shards is None:
            return await self._books(merchant_ids, self._connection)
        found: dict[int, BookRows] = {}
        for group in self._shards.grouped((merchant_id,) for merchant_id in merchant_ids):
            numbers = [merchant_id for (merchant_id,) in group]
            found.update(await self._books(numbers, within_shard(self._connection, numbers)))
        return found

    async def _books(self, merchant_ids: Sequence[int], connection: Connection) -> dict[int, BookRows]:
        accounts = {row[0]: row for row in await _read(connection, "accounts_of", merchant_ids)}
        transfers, holds, alerts, grants = [
            rows.by_merchant(await _read(connection, name, merchant_ids, records.BOOK_TRANSFERS_MAX + 1))
            for name in ("transfers_of", "holds_of", "alerts_of", "grants_of")
        ]
        found = {}
        for number in merchant_ids:
            parts = [part.get(number, ()) for part in (transfers, holds, alerts, grants)]
            if max(map(len, parts)) <= records.BOOK_TRANSFERS_MAX:
                book = rows.book_from_rows(accounts.get(number), *parts)
                if book is not None:
                    found[number] = book
        return found

    async def _rows(self, name: str, *values: Any) -> list[Any]:
        statement = _SQL[name] if self._shards is None else shaped(_SQL[name])
        with translated():
            return await self._connection.fetch(statement, *values)


async def _read(connection: Connection, name: str, *values: Any) -> list[Any]:
    with translated():
        return await connection.fetch(_SQL[name], *values)


@asynccontextmanager
async def open_snapshot(
    hosts: Hosts, limits: PostgresLimits, shards: ShardMap | None = None
) -> AsyncIterator[PostgresSnapshot]:
    """Lend a snapshot of this moment."""
    settings = {
        "idle_in_transaction_session_timeout": str(limits.snapshot_idle_timeout_ms),
        "statement_timeout": str(limits.snapshot_statement_timeout_ms),
    }
    timeout_ms = limits.snapshot_command_timeout_ms
    async with own_connection(hosts, limits, settings, command_timeout_ms=timeout_ms) as connection:
        # The moment is that of the first read, so there must be one: where tables are spread, of each shard.
        first = "SELECT 1" if shards is None else "SELECT 1 FROM account LIMIT 1"
        await connection.execute(f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {first}")
        yield PostgresSnapshot(connection, limits.snapshot_chunk_rows, shards)
