"""A snapshot: the whole ledger as of one moment, on a connection of its own."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from farebox.core.accounts import Account
from farebox.core.holds import Hold
from farebox.core.ids import SEQ_MAX
from farebox.core.state import Alert
from farebox.core.transfers import Transfer
from farebox.storage import records, rows, sql
from farebox.storage.postgres.errors import translated
from farebox.storage.postgres.hosts import Hosts
from farebox.storage.postgres.limits import PostgresLimits
from farebox.storage.postgres.pool import own_connection
from farebox.storage.records import BookRows

_SQL: Final = sql.statements("postgres")


class PostgresSnapshot:
    """A REPEATABLE READ transaction on a connection of its own: it sees one moment and holds up nobody."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", chunk_rows: int) -> None:
        self._connection = connection
        self._chunk_rows = chunk_rows

    async def merchant_ids(self) -> list[int]:
        """List every merchant, in order."""
        return [row[0] for row in await self._rows("merchant_ids")]

    async def books(self, merchant_ids: Sequence[int]) -> Mapping[int, BookRows]:
        """Read short books at once, in four statements."""
        accounts = {row[0]: row for row in await self._rows("accounts_of", merchant_ids)}
        transfers = _by_merchant(await self._rows("transfers_of", merchant_ids, records.BOOK_TRANSFERS_MAX + 1))
        holds = _by_merchant(await self._rows("holds_of", merchant_ids, records.BOOK_TRANSFERS_MAX + 1))
        alerts = _by_merchant(await self._rows("alerts_of", merchant_ids, records.BOOK_TRANSFERS_MAX + 1))
        found = {}
        for number in merchant_ids:
            parts = transfers[number], holds[number], alerts[number]
            if max(map(len, parts)) <= records.BOOK_TRANSFERS_MAX:
                book = rows.book_from_rows(accounts.get(number), *parts)
                if book is not None:
                    found[number] = book
        return found

    async def account(self, merchant_id: int) -> Account | None:
        """Read a merchant's account, unchecked."""
        found = await self._rows("account", merchant_id)
        return rows.account_from_row(found[0]) if found else None

    async def transfers(self, merchant_id: int) -> AsyncIterator[Sequence[Transfer]]:
        """Read a merchant's whole book in order of seq, in chunks.

        Each chunk is a stretch of the index. A cursor for each of many books would stay with the server to the end.
        """
        after = 0
        while True:
            found = await self._rows("transfers_oldest_first", merchant_id, after + 1, SEQ_MAX, self._chunk_rows)
            if found:
                yield [rows.transfer_from_row(row) for row in found]
            if len(found) < self._chunk_rows:
                return
            after = found[-1][1]

    async def transfers_at(self, merchant_id: int, seqs: Sequence[int]) -> Mapping[int, Transfer]:
        """Read single transfers of a book by their seq."""
        if not seqs:
            return {}
        return rows.transfers_by_seq(await self._rows("transfers_at", merchant_id, seqs))

    async def holds(self, merchant_id: int) -> Sequence[Hold]:
        """Read all of a merchant's holds, unchecked."""
        return [rows.hold_from_row(row) for row in await self._rows("holds", merchant_id)]

    async def alerts(self, merchant_id: int) -> Sequence[Alert]:
        """Read all of a merchant's alerts."""
        return [rows.alert_from_row(row) for row in await self._rows("all_alerts", merchant_id)]

    async def _rows(self, name: str, *values: Any) -> list[Any]:
        with translated():
            return await self._connection.fetch(_SQL[name], *values)


def _by_merchant(found: Iterable[Any]) -> defaultdict[int, list[Any]]:
    """Sort rows that begin with a merchant's number by merchant."""
    sorted_rows: defaultdict[int, list[Any]] = defaultdict(list)
    for row in found:
        sorted_rows[row[0]].append(row)
    return sorted_rows


@asynccontextmanager
async def open_snapshot(hosts: Hosts, limits: PostgresLimits) -> AsyncIterator[PostgresSnapshot]:
    """Lend a snapshot of this moment."""
    settings = {
        "idle_in_transaction_session_timeout": str(limits.snapshot_idle_timeout_ms),
        "statement_timeout": str(limits.snapshot_statement_timeout_ms),
    }
    timeout_ms = limits.snapshot_command_timeout_ms
    async with own_connection(hosts, limits, settings, command_timeout_ms=timeout_ms) as connection:
        # The moment is that of the first read, so there must be one.
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1")
        yield PostgresSnapshot(connection, limits.snapshot_chunk_rows)
