"""A PostgreSQL database in a move."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg
import msgspec

from farebox.moving.database import BeingServed, ChangedKey, MoveRow
from farebox.moving.tables import BOOLEAN, BYTES, INTEGER, NOT_COPIED, TEXT, CopiedTable, Row, make_table
from farebox.storage.interface import StorageError, StoreUnavailable
from farebox.storage.ledger_move import MOVED_SQLSTATE, MoveState
from farebox.storage.postgres import PostgresConnector
from farebox.storage.postgres.errors import translated
from farebox.storage.postgres.hosts import Hosts
from farebox.storage.postgres.limits import LIMITS
from farebox.storage.postgres.pool import own_connection

_KINDS: Final = {
    **dict.fromkeys(("bigint", "integer", "smallint"), INTEGER),
    "text": TEXT,
    "bytea": BYTES,
    "boolean": BOOLEAN,
}
_COLUMNS: Final = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), array_position(i.indkey::smallint[], a.attnum)
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
WHERE c.relnamespace = to_regnamespace(current_schema()) AND c.relkind IN ('r', 'p')
ORDER BY c.relname, 4
"""
_REFERENCES: Final = """
SELECT c.relname, r.conname, pg_get_constraintdef(r.oid)
FROM pg_constraint r JOIN pg_class c ON c.oid = r.conrelid
WHERE r.contype = 'f' AND c.relnamespace = to_regnamespace(current_schema())
ORDER BY 1, 2
"""
_OTHERS: Final = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
_CITUS: Final = "SELECT extversion FROM pg_extension WHERE extname = 'citus'"
_NOTE: Final = """
CREATE OR REPLACE FUNCTION ledger_change_{name}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO ledger_change (table_name, row_key) VALUES ('{name}', {old});
    END IF;
    IF TG_OP = 'INSERT' OR (TG_OP = 'UPDATE' AND {old} <> {new}) THEN
        INSERT INTO ledger_change (table_name, row_key) VALUES ('{name}', {new});
    END IF;
    RETURN NULL;
END $$
"""
_REFUSE: Final = """
CREATE FUNCTION ledger_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = '{state}', MESSAGE = '{message}';
END $$
"""
_SESSION: Final = {
    "lock_timeout": "30000",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "600000",
    "synchronous_commit": "on",
}


class PostgresDatabase:
    """A `Database` on a PostgreSQL server."""

    def __init__(self, url: str) -> None:
        """Name the database; nothing is connected yet."""
        self._url = url
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._stack = AsyncExitStack()
        parts = urlsplit(url)
        self.place = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()

    def connector(self) -> PostgresConnector:
        """Make a connector that is let in although it is a copy under way."""
        return PostgresConnector(self._url, is_copy_allowed=True)

    async def open(self) -> None:
        """Connect.

        Raises:
            StorageError: Citus spreads the ledger, or would: it has no triggers, which note what changes.
        """
        hosts = Hosts(self._url, LIMITS.connect_timeout_ms)
        self._connection = await self._stack.enter_async_context(
            own_connection(hosts, LIMITS, _SESSION, command_timeout_ms=None)
        )
        if await self._fetch(_CITUS):
            await self.close()
            raise StorageError(f"{self.place} has the extension Citus: a ledger can't be copied from there or to there")

    async def close(self) -> None:
        """Disconnect."""
        self._connection = None
        await self._stack.aclose()

    async def keep_others_out(self) -> None:
        """See that nobody is connected: the server tells of each, and a server of ours always is."""
        if (await self._fetch(_OTHERS))[0][0]:
            raise BeingServed(f"{self.place} is in use by a server or another command")

    def reading(self) -> AbstractAsyncContextManager[None]:
        """See one moment within the block."""
        return self._transaction("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1")

    def writing(self) -> AbstractAsyncContextManager[None]:
        """Do all within the block, or nothing."""
        return self._transaction("BEGIN")

    @asynccontextmanager
    async def frozen(self) -> AsyncIterator[None]:
        """Do the same with all tables locked against writers."""
        async with self._transaction("BEGIN"):
            await self._execute(
                f"LOCK TABLE {', '.join(table.name for table in await self.tables())} IN EXCLUSIVE MODE"
            )
            yield

    @asynccontextmanager
    async def _transaction(self, begin: str) -> AsyncIterator[None]:
        await self._execute(begin)
        try:
            yield
        except BaseException:
            connection = self._open()
            if not connection.is_closed():
                await connection.execute("ROLLBACK")
            raise
        await self._execute("COMMIT")

    async def tables(self) -> list[CopiedTable]:
        """List all tables that are copied."""
        columns: dict[str, dict[str, str]] = {}
        keys: dict[str, list[str]] = {}
        for name, column, kind, place in await self._fetch(_COLUMNS):
            if name in NOT_COPIED:
                continue
            if kind not in _KINDS:
                raise StorageError(f"no kind of values is known for {name}.{column} {kind}")
            columns.setdefault(name, {})[column] = _KINDS[kind]
            if place is not None:
                keys.setdefault(name, []).append(column)
        return [make_table(name, kinds, keys.get(name, [])) for name, kinds in columns.items()]

    async def count(self, table: CopiedTable) -> int:
        """Count a table's rows."""
        return int((await self._fetch(f"SELECT count(*) FROM {table.name}"))[0][0])

    async def rows_after(self, table: CopiedTable, key: Row | None, limit: int) -> list[Row]:
        """Read rows in the order of their keys."""
        order = ", ".join(
            f'{name} COLLATE "C"' if kind == TEXT else name for name, kind in zip(table.key, table.kinds, strict=False)
        )
        behind = "" if key is None else f" WHERE ({order}) > ({_places(table.key_width)})"
        statement = f"SELECT {', '.join(table.columns)} FROM {table.name}{behind} ORDER BY {order} LIMIT {limit}"
        return await self._fetch(statement, *(key or ()))

    async def rows_of(self, table: CopiedTable, keys: Sequence[Row]) -> list[Row]:
        """Read the rows with these keys."""
        columns = ", ".join(f"t.{name}" for name in table.columns)
        statement = f"SELECT {columns} FROM {_named_keys(table)} JOIN {table.name} t ON {_matches(table)}"
        return await self._fetch(statement, *_as_columns(table, keys))

    async def delete(self, table: CopiedTable, keys: Sequence[Row]) -> int:
        """Delete the rows with these keys."""
        statement = f"DELETE FROM {table.name} t USING {_named_keys(table)} WHERE {_matches(table)}"
        with translated():
            tag = await self._open().execute(statement, *_as_columns(table, keys))
        return int(tag.removeprefix("DELETE "))

    async def insert(self, table: CopiedTable, rows: Sequence[Row]) -> None:
        """Insert rows by COPY."""
        booleans = [place for place, kind in enumerate(table.kinds) if kind == BOOLEAN]
        with translated():
            await self._open().copy_records_to_table(
                table.name, records=[_with_booleans(row, booleans) for row in rows], columns=list(table.columns)
            )

    async def move_row(self) -> MoveRow | None:
        """Read the database's part in a move."""
        names = ", ".join(MoveRow.__struct_fields__)
        for copy_id, state, *rest in await self._fetch(f"SELECT {names} FROM ledger_move"):
            return MoveRow(copy_id, MoveState(state), *rest)
        return None

    async def put_move_row(self, row: MoveRow | None) -> None:
        """Write the database's part in a move."""
        await self._execute("DELETE FROM ledger_move")
        if row is not None:
            names = MoveRow.__struct_fields__
            await self._fetch(
                f"INSERT INTO ledger_move (move_id, {', '.join(names)}) VALUES (1, {_places(len(names))})",
                *[getattr(row, name) for name in names],
            )

    async def drop_constraints(self, tables: Sequence[CopiedTable]) -> str:
        """Drop all references between tables."""
        references = [tuple(row) for row in await self._fetch(_REFERENCES)]
        for table, name, _ in references:
            await self._execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        return msgspec.json.encode(references).decode()

    async def restore_constraints(self, constraints: str) -> None:
        """Add those that are missing; they are checked at COMMIT for now."""
        there = {(row[0], row[1]) for row in await self._fetch(_REFERENCES)}
        for table, name, text in msgspec.json.decode(constraints):
            if (table, name) not in there:
                await self._execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {text} DEFERRABLE INITIALLY DEFERRED")

    async def finish(self, constraints: str) -> None:
        """Have references checked at once again."""
        await self._execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table, name, _ in msgspec.json.decode(constraints):
            await self._execute(f"ALTER TABLE {table} ALTER CONSTRAINT {name} NOT DEFERRABLE")

    async def track(self, tables: Sequence[CopiedTable]) -> None:
        """Note changed keys by triggers."""
        await self.untrack(tables)
        for table in tables:
            await self._execute(
                _NOTE.format(name=table.name, old=_written_key(table, "OLD"), new=_written_key(table, "NEW"))
            )
            await self._execute(
                f"CREATE TRIGGER ledger_change AFTER INSERT OR UPDATE OR DELETE ON {table.name} FOR EACH ROW "
                f"EXECUTE FUNCTION ledger_change_{table.name}()"
            )

    async def untrack(self, tables: Sequence[CopiedTable]) -> None:
        """Take the triggers away, and what they noted."""
        for table in tables:
            await self._execute(f"DROP TRIGGER IF EXISTS ledger_change ON {table.name}")
            await self._execute(f"DROP FUNCTION IF EXISTS ledger_change_{table.name}()")
        await self._execute("DELETE FROM ledger_change")

    async def changes(self, limit: int) -> list[ChangedKey]:
        """Read what was noted, as far as it is committed."""
        found = await self._fetch(
            "SELECT number, table_name, row_key FROM ledger_change ORDER BY number LIMIT $1", limit
        )
        return [ChangedKey(*row) for row in found]

    async def forget(self, changes: Sequence[ChangedKey]) -> None:
        """Forget what was noted: one with a lower number may have been committed later, and is left."""
        await self._fetch(
            "DELETE FROM ledger_change WHERE number = ANY ($1::bigint[])", [change.number for change in changes]
        )

    async def refuse_writes(self, tables: Sequence[CopiedTable], message: str) -> None:
        """Refuse each write by triggers."""
        await self._execute(_REFUSE.format(state=MOVED_SQLSTATE, message=message.replace("'", "''")))
        for table in tables:
            await self._execute(
                f"CREATE TRIGGER ledger_moved BEFORE INSERT OR UPDATE OR DELETE ON {table.name} "
                "EXECUTE FUNCTION ledger_moved()"
            )

    def _open(self) -> "asyncpg.Connection[asyncpg.Record]":
        if self._connection is None:
            raise StoreUnavailable("the database is not open")
        return self._connection

    async def _execute(self, statement: str) -> None:
        with translated():
            await self._open().execute(statement)

    async def _fetch(self, statement: str, *values: Any) -> list[Row]:
        with translated():
            return [tuple(row) for row in await self._open().fetch(statement, *values)]


def _places(count: int) -> str:
    return ", ".join(f"${number}" for number in range(1, count + 1))


_ARRAYS: Final = {INTEGER: "bigint[]", TEXT: "text[]", BYTES: "bytea[]"}


def _named_keys(table: CopiedTable) -> str:
    arrays = ", ".join(f"${place}::{_ARRAYS[kind]}" for place, kind in enumerate(table.kinds[: table.key_width], 1))
    return f"unnest({arrays}) named ({', '.join(table.key)})"


def _matches(table: CopiedTable) -> str:
    return " AND ".join(f"t.{name} = named.{name}" for name in table.key)


def _as_columns(table: CopiedTable, keys: Sequence[Row]) -> list[list[Any]]:
    return [[key[place] for key in keys] for place in range(table.key_width)]


def _with_booleans(row: Row, places: Sequence[int]) -> Row:
    if not places:
        return row
    values = list(row)
    for place in places:
        values[place] = None if values[place] is None else bool(values[place])
    return tuple(values)


def _written_key(table: CopiedTable, side: str) -> str:
    values = [
        f"encode({side}.{name}, 'hex')" if kind == BYTES else f"{side}.{name}"
        for name, kind in zip(table.key, table.kinds, strict=False)
    ]
    return f"json_build_array({', '.join(values)})::text"
