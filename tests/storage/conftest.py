"""Every test of a store runs on SQLite and on PostgreSQL; an engine that is missing is an error, never a skip."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from farebox.storage.interface import Store
from farebox.storage.postgres import PostgresStore
from tests.storage.engines import Engine, MemoryEngine, PostgresEngine, SqliteEngine
from tests.support.ledger import NOW
from tests.support.postgres import Databases


@pytest.fixture(scope="module")
def postgres_ledger(postgres_server: Databases) -> Iterator[PostgresEngine]:
    """A database with the schema. Making one takes half a second, so the tests of a file share it."""
    with postgres_server.database() as url, ThreadPoolExecutor(1) as executor:
        executor.submit(asyncio.run, PostgresStore(url).migrate(NOW)).result()
        yield PostgresEngine(url)


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    """Each engine in turn, for tests that leave the schema as it is."""
    match request.param:
        case "sqlite":
            return SqliteEngine(tmp_path / "farebox.db")
        case "memory":
            return MemoryEngine()
    ledger: PostgresEngine = request.getfixturevalue("postgres_ledger")
    return ledger


@pytest.fixture(params=["sqlite", "postgres"])
def empty_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    """A database without anything, of each engine in turn."""
    if request.param == "sqlite":
        return SqliteEngine(tmp_path / "empty.db")
    return PostgresEngine(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def store(engine: Engine) -> AsyncIterator[Store]:
    """An open store on a database with the schema and no rows."""
    store = engine.store()
    await store.migrate(NOW)
    await engine.clear()
    await store.open()
    yield store
    await store.close()
