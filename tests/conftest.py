"""Fixtures that all tests share."""

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.postgres import Databases, PostgresServer

# How long an example takes depends on what else the machine does. A build has to come out the same each time, while a
# developer's run looks for new examples.
settings.register_profile("farebox", deadline=None, derandomize="CI" in os.environ, print_blob=True)
settings.load_profile("farebox")


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
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, on each engine in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'farebox.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


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
