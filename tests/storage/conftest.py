"""Every test of a store runs on SQLite and on PostgreSQL; an engine that is missing is an error, never a skip."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from farebox.storage.stores import Stores
from tests.storage.engines import Engine, PostgresEngine, SqliteEngine
from tests.storage.postgres_ledger import ledger
from tests.support.postgres import PostgresServer


@pytest.fixture(params=["sqlite", "postgres"])
def empty_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    """A database without anything, of each engine in turn."""
    if request.param == "sqlite":
        return SqliteEngine(tmp_path / "empty.db")
    return PostgresEngine(request.getfixturevalue("postgres_url"))


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL that logs every statement, and that may be stopped."""
    with PostgresServer(settings={"log_statement": "all"}) as server:
        yield server


@pytest.fixture
async def funded(postgres_url: str) -> AsyncIterator[Stores]:
    """Stores on PostgreSQL with two funded merchants."""
    async with ledger(postgres_url) as stores:
        yield stores
