"""A snapshot: the whole ledger as of one moment, on a connection and thread of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from farebox.core.ids import SEQ_MAX
from farebox.storage import records, rows, sql
from farebox.storage.columns import ACCOUNT
from farebox.storage.records import BookRows
from farebox.storage.snapshot import StatementSnapshot
from farebox.storage.sqlite.connection import READER_BUSY_TIMEOUT_MS, begin_reading, connect, thread, translated

_SQL: Final = sql.statements("sqlite")
_SEQ: Final = ACCOUNT.names.index("seq")
_Result = TypeVar("_Result")


class SqliteSnapshot(StatementSnapshot):
    """A read transaction on a connection and thread of its own, so that a long read holds nobody up."""

    def __init__(self, connection: apsw.Connection, thread: ThreadPoolExecutor, chunk_rows: int) -> None:
        super().__init__(chunk_rows)
        self._connection = connection
        self._thread = thread

    async def books(self, merchant_ids: Sequence[int]) -> Mapping[int, BookRows]:
        """Read short books at once, in one visit to the thread."""
        return await self._run(lambda: _books(self._connection.cursor(), merchant_ids))

    async def _rows(self, name: str, *values: Any) -> list[Any]:
        return await self._run(lambda: self._connection.cursor().execute(_SQL[name], values).fetchall())

    async def _run(self, read: Callable[[], _Result]) -> _Result:
        with translated():
            return await asyncio.get_running_loop().run_in_executor(self._thread, read)


@asynccontextmanager
async def open_snapshot(path: Path, chunk_rows: int) -> AsyncIterator[SqliteSnapshot]:
    """Lend a snapshot of this moment."""
    with translated():
        connection = connect(path, busy_timeout_ms=READER_BUSY_TIMEOUT_MS, is_for_one_thread=True)
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
    # Texts that are none can't even be fetched, and what is no number can't be compared.
    with suppress(UnicodeDecodeError, TypeError):
        return _books_at_once(cursor, merchant_ids)
    found: dict[int, BookRows] = {}
    for number in merchant_ids:
        with suppress(UnicodeDecodeError, TypeError):
            found |= _books_at_once(cursor, [number])
    return found


def _books_at_once(cursor: apsw.Cursor, merchant_ids: Sequence[int]) -> dict[int, BookRows]:
    """Read short books: a stretch of the index for each one's transfers, and one statement for all else of a kind."""
    short: dict[int, Any] = {}
    transfers: dict[int, Any] = {}
    oldest_first, rows_max = _SQL["transfers_oldest_first"], records.BOOK_TRANSFERS_MAX
    accounts: list[Any] = cursor.execute(_SQL["accounts_of"], (merchant_ids,)).fetchall()
    for account in accounts:
        if account[_SEQ] <= rows_max:
            number = account[0]
            stretch = cursor.execute(oldest_first, (number, 1, SEQ_MAX, rows_max + 1)).fetchall()
            if len(stretch) <= rows_max:
                short[number], transfers[number] = account, stretch
    holds, alerts, grants = [
        rows.by_merchant(cursor.execute(_SQL[name], ([*short],)).fetchall())
        for name in ("holds_of", "alerts_of", "grants_of")
    ]
    found = {}
    for number, account in short.items():
        beside = holds.get(number, ()), alerts.get(number, ()), grants.get(number, ())
        book = rows.book_from_rows(account, transfers[number], *beside)
        if book is not None:
            found[number] = book
    return found
