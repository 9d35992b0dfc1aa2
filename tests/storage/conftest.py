"""Every test of a store runs on SQLite and on PostgreSQL; an engine that is missing is an error, never a skip."""

from pathlib import Path

import pytest

from tests.storage.engines import Engine, PostgresEngine, SqliteEngine


@pytest.fixture(params=["sqlite", "postgres"])
def empty_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    """A database without anything, of each engine in turn."""
    if request.param == "sqlite":
        return SqliteEngine(tmp_path / "empty.db")
    return PostgresEngine(request.getfixturevalue("postgres_url"))
