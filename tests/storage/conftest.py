"""Every test of a store runs on SQLite and on PostgreSQL; an engine that is missing is an error, never a skip."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from farebox.storage.interface import Store
from tests.storage.engines import Engine, PostgresEngine, SqliteEngine
from tests.support.ledger import NOW


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
