"""A snapshot: the whole ledger as of one moment, on a connection and thread of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from farebox.core.accounts import Account
from farebox.core.holds import Hold
from farebox.core.ids import SEQ_MAX
from farebox.core.state import Alert
from farebox.core.transfers import Transfer
from farebox.storage import records, rows, sql
from farebox.storage.records import BookRows
from farebox.storage.sqlite.connection import READER_BUSY_TIMEOUT_MS, begin_reading, connect, thread, translated

_SQL: Final = sql.statements("sqlite")
_Result = TypeVar("_Result")


class SqliteSnapshot:
    """A read transaction on a connection and thread of its own, so that a long read holds nobody up."""

    def __init__(self, connection: apsw.Connection, thread: ThreadPoolExecutor, chunk_rows: int) -> None:
        self._connection = connection
        self._chunk_rows = chunk_rows
        self._thread = thread

    async def merchant_ids(self) -> list[int]:
        """List every merchant, in order."""
        return [row[0] for row in await self._rows("merchant_ids")]

    async def books(self, merchant_ids: Sequence[int]) -> Mapping[int, BookRows]:
        """Read short books at once, in one visit to the thread."""
        return await self._run(lambda: _books(self._connection.cursor(), merchant_ids))

    async def account(self, merchant_id: int) -> Account | None:
        """Read a merchant's account, unchecked."""
        found = await self._rows("account", merchant_id)
        return rows.account_from_row(found[0]) if found else None

    async def transfers(self, merchant_id: int) -> AsyncIterator[Sequence[Transfer]]:
        """Read a merchant's whole book in order of seq, in chunks."""
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
        return rows.transfers_by_seq(await self._rows("transfers_at", merchant_id, list(seqs)))

    async def holds(self, merchant_id: int) -> Sequence[Hold]:
        """Read all of a merchant's holds, unchecked."""
        return [rows.hold_from_row(row) for row in await self._rows("holds", merchant_id)]

    async def alerts(self, merchant_id: int) -> Sequence[Alert]:
        """Read all of a merchant's alerts."""
        return [rows.alert_from_row(row) for row in await self._rows("all_alerts", merchant_id)]

    async def _rows(self, name: str, *values: Any) -> list[Any]:
        return await self._run(lambda: self._connection.cursor().execute(_SQL[name], values).fetchall())

    async def _run(self, read: Callable[[], _Result]) -> _Result:
        with translated():
            return await asyncio.get_running_loop().run_in_executor(self._thread, read)


@asynccontextmanager
async def open_snapshot(path: Path, chunk_rows: int) -> AsyncIterator[SqliteSnapshot]:
    """Lend a snapshot of this moment."""
    with translated():
        connection = connect(path, busy_timeout_ms=READER_BUSY_TIMEOUT_MS)
    reading = thread("farebox-snapshot")
    try:
        with translated():
            begin_reading(connection)
        yield SqliteSnapshot(connection, reading, chunk_rows)
    finally:
        # A read whose caller went away still runs, and the connection can't be closed under it.
        connection.interrupt()
        reading.shutdown(cancel_futures=True)
        connection.close()


def _books(cursor: apsw.Cursor, merchant_ids: Sequence[int]) -> dict[int, BookRows]:
    found = {}
    for number in merchant_ids:
        stretch = (number, 1, SEQ_MAX, records.BOOK_TRANSFERS_MAX + 1)
        # Texts that are none can't even be fetched.
        with suppress(UnicodeDecodeError):
            transfers = cursor.execute(_SQL["transfers_oldest_first"], stretch).fetchall()
            if len(transfers) <= records.BOOK_TRANSFERS_MAX:
                account = cursor.execute(_SQL["account"], (number,)).fetchone()
                holds = cursor.execute(_SQL["holds"], (number,)).fetchall()
                alerts = cursor.execute(_SQL["all_alerts"], (number,)).fetchall()
                book = rows.book_from_rows(account, transfers, holds, alerts)
                if book is not None:
                    found[number] = book
    return found
