"""A SQLite file in a move."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import apsw

from farebox.moving.database import BeingServed, ChangedKey, MoveRow
from farebox.moving.tables import BOOLEAN, BYTES, INTEGER, NOT_COPIED, TEXT, CopiedTable, Row, make_table
from farebox.storage.interface import StorageError, StoreUnavailable
from farebox.storage.ledger_move import MOVED_PREFIX, MoveState
from farebox.storage.sqlite import SqliteConnector
from farebox.storage.sqlite.connection import LIMITS, connect, translated

_KINDS: Final = {"INTEGER": INTEGER, "TEXT": TEXT, "BLOB": BYTES, "BOOLEAN": BOOLEAN}
_TABLES: Final = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'"
_COLUMNS: Final = "SELECT name, type, pk FROM pragma_table_xinfo(?) WHERE hidden = 0 ORDER BY pk"
_UNIQUE: Final = """
SELECT i.name, c.name FROM pragma_index_list(?) i, pragma_index_info(i.name) c
WHERE i."unique" AND NOT i.partial ORDER BY i.name, c.seqno
"""
_BUSY_TIMEOUT_MS: Final = 30_000
_BUSY_PAUSE_SECONDS: Final = 0.000_5
_OPERATIONS: Final = ("insert", "update", "delete")


class SqliteDatabase:
    """A `Database` in one SQLite file."""

    def __init__(self, path: Path) -> None:
        """Name the file; nothing is opened yet."""
        self._path = path
        self._connection: apsw.Connection | None = None
        self.place = f"sqlite:///{path.resolve()}"

    def connector(self) -> SqliteConnector:
        """Make a connector that is let in although it is a copy under way."""
        return SqliteConnector(self._path, is_copy_allowed=True)

    async def open(self) -> None:
        """Connect."""
        with translated():
            self._connection = connect(self._path, busy_timeout_ms=_BUSY_TIMEOUT_MS)
            # References are checked all at once, when all rows are there.
            self._connection.pragma("foreign_keys", False)

    async def close(self) -> None:
        """Disconnect."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def keep_others_out(self) -> None:
        """Take the file for this connection alone: SQLite refuses that while another one has it open."""
        try:
            self._cursor().connection.set_busy_timeout(LIMITS.busy_timeout_ms // 10)
            with translated():
                self._cursor().connection.pragma("locking_mode", "exclusive")
                self._cursor().execute("BEGIN IMMEDIATE; COMMIT")
        except StoreUnavailable as error:
            raise BeingServed(f"{self.place} is in use by a server or another command") from error
        self._cursor().connection.set_busy_timeout(_BUSY_TIMEOUT_MS)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """See one moment within the block."""
        async with self._transaction("BEGIN"):
            yield

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Do all within the block, or nothing."""
        async with self._transaction("BEGIN IMMEDIATE"):
            yield

    @asynccontextmanager
    async def frozen(self) -> AsyncIterator[None]:
        """Do the same: a file has one writer at a time."""
        async with self._transaction("BEGIN IMMEDIATE"):
            yield

    @asynccontextmanager
    async def _transaction(self, begin: str) -> AsyncIterator[None]:
        cursor = self._cursor()
        with translated():
            await _begin(cursor, begin)
        try:
            yield
            with translated():
                cursor.execute("COMMIT")
        finally:
            if cursor.connection.in_transaction:
                cursor.execute("ROLLBACK")

    async def tables(self) -> list[CopiedTable]:
        """List all tables that are copied."""
        names = [name for (name,) in self._run(_TABLES) if name not in NOT_COPIED and not name.startswith("sqlite_")]
        return [self._table(name) for name in names]

    def _table(self, name: str) -> CopiedTable:
        columns = self._run(_COLUMNS, name)
        unknown = [f"{name}.{column} {kind}" for column, kind, _ in columns if kind not in _KINDS]
        if unknown:
            raise StorageError(f"no kind of values is known for {unknown[0]}")
        key = [column for column, _, place in columns if place]
        if not key:
            # A table that is read by the numbers of its rows has its key beside them.
            unique = self._run(_UNIQUE, name)
            key = [column for index, column in unique if index == unique[0][0]]
        return make_table(name, {column: _KINDS[kind] for column, kind, _ in columns}, key)

    async def count(self, table: CopiedTable) -> int:
        """Count a table's rows."""
        return int(self._run(f"SELECT count(*) FROM {table.name}")[0][0])

    async def rows_after(self, table: CopiedTable, key: Row | None, limit: int) -> list[Row]:
        """Read rows in the order of their keys."""
        names = ", ".join(table.key)
        behind = "" if key is None else f" WHERE ({names}) > ({_places(table.key_width)})"
        statement = f"SELECT {', '.join(table.columns)} FROM {table.name}{behind} ORDER BY {names} LIMIT {limit}"
        return self._run(statement, *(key or ()))

    async def rows_of(self, table: CopiedTable, keys: Sequence[Row]) -> list[Row]:
        """Read the rows with these keys."""
        with translated():
            statement = f"SELECT {', '.join(table.columns)} FROM {table.name} WHERE {_equals(table)}"
            return list(self._cursor().executemany(statement, keys))

    async def delete(self, table: CopiedTable, keys: Sequence[Row]) -> int:
        """Delete the rows with these keys."""
        cursor = self._cursor()
        before = cursor.connection.total_changes()
        with translated():
            cursor.executemany(f"DELETE FROM {table.name} WHERE {_equals(table)}", keys)
        return cursor.connection.total_changes() - before

    async def insert(self, table: CopiedTable, rows: Sequence[Row]) -> None:
        """Insert rows."""
        with translated():
            self._cursor().executemany(
                f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({_places(len(table.columns))})", rows
            )

    async def move_row(self) -> MoveRow | None:
        """Read the database's part in a move."""
        for copy_id, state, *rest in self._run(f"SELECT {', '.join(MoveRow.__struct_fields__)} FROM ledger_move"):
            return MoveRow(copy_id, MoveState(state), *rest)
        return None

    async def put_move_row(self, row: MoveRow | None) -> None:
        """Write the database's part in a move."""
        self._run("DELETE FROM ledger_move")
        if row is not None:
            names = MoveRow.__struct_fields__
            values = [getattr(row, name) for name in names]
            self._run(
                f"INSERT INTO ledger_move (move_id, {', '.join(names)}) VALUES (1, {_places(len(names))})",
                *[int(value) if isinstance(value, MoveState) else value for value in values],
            )

    async def drop_constraints(self, tables: Sequence[CopiedTable]) -> str:
        """Do nothing: this connection checks none."""
        return ""

    async def restore_constraints(self, constraints: str) -> None:
        """Check all references."""
        for table, *_ in self._run("SELECT * FROM pragma_foreign_key_check LIMIT 1"):
            raise StorageError(f"a row of {table} refers to one that is not there")

    async def finish(self, constraints: str) -> None:
        """Check all references once more."""
        await self.restore_constraints(constraints)

    async def track(self, tables: Sequence[CopiedTable]) -> None:
        """Note changed keys by triggers."""
        await self.untrack(tables)
        for table in tables:
            for operation in _OPERATIONS:
                sides = {"insert": ("NEW",), "update": ("OLD", "NEW"), "delete": ("OLD",)}[operation]
                keys = " UNION ".join(f"SELECT '{table.name}', {_written_key(table, side)}" for side in sides)
                self._run(
                    f"CREATE TRIGGER {_tracker(table, operation)} AFTER {operation} ON {table.name} BEGIN "
                    f"INSERT INTO ledger_change (table_name, row_key) {keys}; END"
                )

    async def untrack(self, tables: Sequence[CopiedTable]) -> None:
        """Take the triggers away, and what they noted."""
        for table in tables:
            for operation in _OPERATIONS:
                self._run(f"DROP TRIGGER IF EXISTS {_tracker(table, operation)}")
        self._run("DELETE FROM ledger_change")

    async def changes(self, limit: int) -> list[ChangedKey]:
        """Read what was noted."""
        found = self._run("SELECT number, table_name, row_key FROM ledger_change ORDER BY number LIMIT ?", limit)
        return [ChangedKey(*row) for row in found]

    async def forget(self, changes: Sequence[ChangedKey]) -> None:
        """Forget what was noted: with one writer at a time, all up to the last that was read was read."""
        if changes:
            self._run("DELETE FROM ledger_change WHERE number <= ?", changes[-1].number)

    async def refuse_writes(self, tables: Sequence[CopiedTable], message: str) -> None:
        """Refuse each write by triggers."""
        text = (MOVED_PREFIX + message).replace("'", "''")
        for table in tables:
            for operation in _OPERATIONS:
                self._run(
                    f"CREATE TRIGGER ledger_moved_{table.name}_{operation} BEFORE {operation} ON {table.name} BEGIN "
                    f"SELECT RAISE(ABORT, '{text}'); END"
                )

    def _cursor(self) -> apsw.Cursor:
        if self._connection is None:
            raise StoreUnavailable("the database is not open")
        return self._connection.cursor()

    def _run(self, statement: str, *values: Any) -> list[Row]:
        with translated():
            return self._cursor().execute(statement, values).fetchall()


async def _begin(cursor: apsw.Cursor, begin: str) -> None:
    """Begin a transaction, as eager for the file's lock as servers are: SQLite's own way to wait would come last."""
    deadline = time.monotonic() + _BUSY_TIMEOUT_MS / 1000
    cursor.connection.set_busy_timeout(0)
    try:
        while True:
            try:
                cursor.execute(begin)
            except apsw.BusyError:
                if time.monotonic() >= deadline:
                    raise
                await asyncio.sleep(_BUSY_PAUSE_SECONDS)
            else:
                return
    finally:
        cursor.connection.set_busy_timeout(_BUSY_TIMEOUT_MS)


def _places(count: int) -> str:
    return ", ".join("?" * count)


def _equals(table: CopiedTable) -> str:
    return " AND ".join(f"{name} = ?" for name in table.key)


def _tracker(table: CopiedTable, operation: str) -> str:
    return f"ledger_change_{table.name}_{operation}"


def _written_key(table: CopiedTable, side: str) -> str:
    values = [
        f"lower(hex({side}.{name}))" if kind == BYTES else f"{side}.{name}"
        for name, kind in zip(table.key, table.kinds, strict=False)
    ]
    return f"json_array({', '.join(values)})"
