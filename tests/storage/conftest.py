"""Every test of a store runs on SQLite and on PostgreSQL; an engine that is missing is an error, never a skip."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from farebox.storage.stores import Stores
from tests.storage.engines import Engine, PostgresEngine, SqliteEngine
from tests.support.ledger import NOW


@pytest.fixture(params=["sqlite", "postgres"])
def empty_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    """A database without anything, of each engine in turn."""
    if request.param == "sqlite":
        return SqliteEngine(tmp_path / "empty.db")
    return PostgresEngine(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def stores(engine: Engine) -> AsyncIterator[Stores]:
    """An open store on a database with the schema and no rows."""
    stores = engine.stores()
    await stores.connector.migrate(NOW)
    await engine.clear()
    await stores.connector.open()
    yield stores
    await stores.connector.close()
