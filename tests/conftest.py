"""Fixtures that all tests share."""

import gc
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from hypothesis import settings

from farebox.bootstrap import Farebox
from farebox.storage.stores import Stores
from tests.storage.engines import (
    CitusEngine,
    Engine,
    MemoryEngine,
    PostgresEngine,
    SqliteEngine,
    open_without_rows,
)
from tests.support import citus, originals
from tests.support.app_client import AppClient, open_client
from tests.support.postgres import Databases, PostgresServer
from tests.support.server import Seeds, open_farebox, seed

# Where this is set, as in many containers, each program that tests start compiles every module anew: half a second of a
# processor's time, thousands of times.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# How long an example takes depends on what else the machine does. A build has to come out the same each time, while a
# developer's run looks for new examples.
settings.register_profile("farebox", deadline=None, derandomize="CI" in os.environ, print_blob=True)
settings.load_profile("farebox")

_LONG: Final = (
    *("tests/torture/", "tests/web/test_schemathesis.py", "tests/simulation/", "tests/gateways/", "tests/e2e/"),
    *("tests/browser/", "tests/docs/", "tests/fuzz/"),
)
"""What takes up to minutes a file, though some of these files have few tests."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage while tests are collected, nor later among what then stays: each process has all of it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that of several processes none is left alone with it in the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(_LONG))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Databases]:
    """The PostgreSQL that tests share; one that is to be stopped or killed is made with `PostgresServer()`."""
    if url := os.environ.get("FAREBOX_TEST_DATABASE_URL"):
        yield Databases(url)
    else:
        with PostgresServer() as server:
            yield server


@pytest.fixture
def postgres_url(postgres_server: Databases) -> Iterator[str]:
    """The URL of an empty database, dropped after the test."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture
def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture(params=["sqlite", "postgres"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without anything, on each engine in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(scope="session")
def postgres_original(postgres_server: Databases) -> Iterator[str]:
    """The URL of the database with the schema that others are copied from."""
    with originals.postgres_original(postgres_server) as url:
        yield url


@pytest.fixture
def ledger_url(postgres_server: Databases, postgres_original: str) -> Iterator[str]:
    """The URL of a database with the schema and no rows, dropped after the test."""
    with postgres_server.copy(postgres_original) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database with the schema and no rows, on each engine in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{originals.copy_ledger(tmp_path / 'farebox.db')}"
    url: str = request.getfixturevalue("ledger_url")
    return url


@pytest.fixture(scope="module")
def postgres_ledger(postgres_server: Databases, postgres_original: str) -> Iterator[PostgresEngine]:
    """A database with the schema, shared by the tests of a file."""
    with postgres_server.copy(postgres_original) as url:
        yield PostgresEngine(url)


@pytest.fixture(scope="session")
def citus_ledger() -> Iterator[PostgresEngine]:
    """A Citus database with the schema, spread over its workers: one for all, as to spread its tables takes longest."""
    with originals.postgres_original(citus.CitusDatabases(citus.URL)) as url:
        yield CitusEngine(url)


@pytest.fixture(params=["sqlite", "postgres", *(["citus"] if citus.URL else [])])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    """Each engine in turn, for tests that leave the schema as it is."""
    match request.param:
        case "sqlite":
            return SqliteEngine(originals.copy_ledger(tmp_path / "farebox.db"))
        case "memory":
            return MemoryEngine()
        case "citus":
            spread: PostgresEngine = request.getfixturevalue("citus_ledger")
            return spread
    ledger: PostgresEngine = request.getfixturevalue("postgres_ledger")
    return ledger


@pytest.fixture
async def stores(engine: Engine) -> AsyncIterator[Stores]:
    """An open store on a database with the schema and no rows."""
    stores = await open_without_rows(engine)
    yield stores
    await stores.connector.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the files of `farebox` are."""
    return tmp_path_factory.mktemp("ledger")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def farebox(folder: Path) -> AsyncIterator[Farebox]:
    """Farebox's parts over an empty SQLite ledger, running, one for all tests of a file."""
    async with open_farebox(f"sqlite:///{folder / 'farebox.db'}") as farebox:
        yield farebox


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(farebox: Farebox) -> AppClient:
    """A client of the application over `farebox`; no other origin may read."""
    return await open_client(farebox)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def seeds(farebox: Farebox) -> Seeds:
    """A merchant in `farebox` and everybody's keys, for tests that have no need of new ones each time."""
    return await seed(farebox)


@pytest.fixture(autouse=True)
def _log_as_found() -> Iterator[None]:
    """A command that ran in this process, maybe for a whole file of tests, has set the log up for itself."""
    _reset_log()
    yield
    _reset_log()


def _reset_log() -> None:
    log = logging.getLogger("farebox")
    log.setLevel(logging.NOTSET)
    log.handlers[:] = []
    log.propagate = True
    # Frameworks that run in this process set the root's up.
    logging.getLogger().setLevel(logging.WARNING)
