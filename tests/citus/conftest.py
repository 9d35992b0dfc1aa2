"""Tests against the Citus that FAREBOX_TEST_CITUS_URL names; without it, none of them is there to be run."""

from collections.abc import Iterator
from typing import Final

import pytest

from tests.support import citus, originals
from tests.support.citus import CitusDatabases

collect_ignore_glob: Final = [] if citus.URL else ["test_*.py"]


@pytest.fixture(scope="session")
def citus_server() -> CitusDatabases:
    """The Citus that runs."""
    return CitusDatabases(citus.URL)


@pytest.fixture
def citus_url(citus_server: CitusDatabases) -> Iterator[str]:
    """The URL of an empty database on each server, dropped after the test."""
    with citus_server.database() as url:
        yield url


@pytest.fixture
def spread_url(citus_server: CitusDatabases) -> Iterator[str]:
    """The URL of a ledger without rows, spread over the workers."""
    with originals.postgres_original(citus_server) as url:
        yield url
