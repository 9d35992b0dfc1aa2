"""The engines that every test of a store runs on: each lends stores on one database, and a way round them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import apsw
import asyncpg
import pytest

from farebox.storage.postgres import PostgresConnector
from farebox.storage.postgres.limits import LIMITS, PostgresLimits
from farebox.storage.sqlite import SqliteConnector
from farebox.storage.sqlite.connection import SqliteLimits
from farebox.storage.stores import Stores
from tests.support import citus
from tests.support.memory import MemoryConnector

TABLES: Final = (
    *(
        "session",
        "report_choice",
        "report",
        "letter",
        "login",
        "outlook",
        "verification",
        "mail_server",
        "repeat",
        "lone_move",
    ),
    *("refusal", "merchant_note", "runway_episode", "spending_peak", "unusual_spending"),
    *(
        "delivery_attempt",
        "delivery",
        "destination",
        "alert",
        "merchant_user",
        "merchant_key",
        "imported_key",
        "staff_key",
        "merchant_price",
        "default_price",
    ),
    *(
        "approval",
        "audit_log",
        "credit_grant",
        "usage_quarter",
        "usage_component",
        "usage_mark",
        "usage_key",
        "usage_key_mark",
        "usage_hour",
        "usage_hour_mark",
        "key_budget",
        "revenue_month",
        "balance_month",
        "revenue_mark",
        "period_count",
        "shortfall",
        "hold",
        "transfer",
        "account",
        "merchant",
    ),
)

every_store: Final = pytest.mark.parametrize(
    "engine", ["sqlite", "postgres", "memory", *(["citus"] if citus.URL else [])], indirect=True
)
"""What the store in memory, which stands in for an engine in other tests, has to keep as well."""


class Refused(Exception):
    """The database itself refused a row."""


class Engine(Protocol):
    """One database of an engine."""

    name: str

    def stores(self, *, snapshot_chunk_rows: int = 5_000) -> Stores:
        """Return the stores over the database, not yet open."""
        ...

    async def execute(self, statement: str) -> Sequence[tuple[Any, ...]]:
        """Run a statement that no store knows of.

        Raises:
            Refused: a constraint of the database is against it.
        """
        ...

    def blob(self, content: bytes) -> str:
        """Write bytes as a literal."""
        ...

    async def clear(self) -> None:
        """Remove every row but those that tell which migrations there were."""
        ...


class SqliteEngine:
    """A file."""

    name = "SQLite"

    def __init__(self, path: Path) -> None:
        self.path = path

    def stores(self, *, snapshot_chunk_rows: int = 5_000) -> Stores:
        return Stores.over(SqliteConnector(self.path, SqliteLimits(snapshot_chunk_rows=snapshot_chunk_rows)))

    async def execute(self, statement: str) -> Sequence[tuple[Any, ...]]:
        connection = apsw.Connection(str(self.path))
        try:
            connection.pragma("foreign_keys", True)
            return connection.execute(statement).fetchall()
        except apsw.ConstraintError as error:
            raise Refused(str(error)) from error
        finally:
            connection.close()

    def blob(self, content: bytes) -> str:
        return f"x'{content.hex()}'"

    async def clear(self) -> None:
        await self.execute("; ".join(f"DELETE FROM {table}" for table in TABLES))


class PostgresEngine:
    """A database of a server that runs."""

    name = "PostgreSQL"

    def __init__(self, url: str) -> None:
        self.url = url

    def stores(self, *, snapshot_chunk_rows: int = 5_000) -> Stores:
        return Stores.over(PostgresConnector(self.url, PostgresLimits(snapshot_chunk_rows=snapshot_chunk_rows)))

    async def execute(self, statement: str) -> Sequence[tuple[Any, ...]]:
        connection = await asyncpg.connect(self.url)
        try:
            return [tuple(row) for row in await connection.fetch(statement)]
        except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError) as error:
            raise Refused(str(error)) from error
        finally:
            await connection.close()

    def blob(self, content: bytes) -> str:
        return f"'\\x{content.hex()}'::bytea"

    async def clear(self) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute("; ".join(f"DELETE FROM {table}" for table in TABLES))
        finally:
            await connection.close()


class CitusEngine(PostgresEngine):
    """A database that is spread over the workers of a Citus."""

    async def execute(self, statement: str) -> Sequence[tuple[Any, ...]]:
        try:
            return await super().execute(statement)
        except asyncpg.FeatureNotSupportedError as error:
            # A row's merchant can't be changed: it would have to go to another shard.
            raise Refused(str(error)) from error


class MemoryEngine:
    """The store that other tests use in place of an engine: it has to keep the same promises."""

    name = "memory"

    def __init__(self) -> None:
        self._connector = MemoryConnector()

    def stores(self, *, snapshot_chunk_rows: int = 5_000) -> Stores:
        return self._connector.stores

    async def execute(self, statement: str) -> Sequence[tuple[Any, ...]]:
        raise NotImplementedError

    def blob(self, content: bytes) -> str:
        raise NotImplementedError

    async def clear(self) -> None:
        vars(self._connector).update(vars(MemoryConnector()))


async def open_without_rows(engine: Engine) -> Stores:
    """Open the stores over a database that has the schema, and rows only if tests share it: they go."""
    if not isinstance(engine, SqliteEngine):
        await engine.clear()
    stores = engine.stores()
    await stores.connector.open()
    return stores


async def accepted(engine: Engine, statements: Mapping[str, str]) -> list[str]:
    """Run statements that the database itself must refuse, and name those that it accepted."""
    names = []
    for name, statement in statements.items():
        try:
            await engine.execute(statement)
        except Refused:
            continue
        names.append(name)
    return names


@asynccontextmanager
async def opened_by_several(engine: Engine, stores: Stores, processes: int) -> AsyncIterator[Sequence[Stores]]:
    """Lend a database as each of several processes has it open, the one that has it open already among them."""
    async with AsyncExitStack() as stack:
        opened = [stores]
        for _ in range(processes - 1):
            other = engine.stores()
            await other.connector.open()
            stack.push_async_callback(other.connector.close)
            opened.append(other)
        yield opened


@asynccontextmanager
async def opened_postgres(url: str, limits: PostgresLimits = LIMITS) -> AsyncIterator[Stores]:
    """Lend the stores over a PostgreSQL database, open."""
    stores = Stores.over(PostgresConnector(url, limits))
    await stores.connector.open()
    try:
        yield stores
    finally:
        await stores.connector.close()


async def forget_events(engine: Engine) -> None:
    """Make of all books what a program left that told of balances alone, and of no facts."""
    for statement in (
        "UPDATE account SET alerts_count = alerts_count"
        " - (SELECT count(*) FROM alert a WHERE a.merchant_id = account.merchant_id AND a.kind > 3)",
        "DELETE FROM alert WHERE kind > 3",
        "UPDATE alert SET facts = NULL",
    ):
        await engine.execute(statement)
