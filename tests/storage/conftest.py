"""Every test of a store runs on SQLite and on PostgreSQL; an engine that is missing is an error, never a skip."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from farebox.storage.interface import Store
from tests.storage.engines import Engine, MemoryEngine, PostgresEngine, SqliteEngine

NOW = 1_800_000_000_000_000


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    """An empty database of each engine."""
    match request.param:
        case "sqlite":
            return SqliteEngine(tmp_path / "farebox.db")
        case "memory":
            return MemoryEngine()
    return PostgresEngine(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def store(engine: Engine) -> AsyncIterator[Store]:
    """An open store on a database with the schema and nothing else."""
    store = engine.store()
    await store.migrate(NOW)
    await store.open()
    yield store
    await store.close()
