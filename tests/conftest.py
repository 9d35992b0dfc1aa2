"""Fixtures that all tests share."""

import os
from collections.abc import Iterator

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
