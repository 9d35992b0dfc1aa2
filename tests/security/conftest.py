"""A ledger with one merchant, one for all tests of a file, and a client of the application over it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from farebox.bootstrap import Farebox
from tests.support.app_client import AppClient, open_client
from tests.support.server import Seeds, open_farebox, seed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the ledger's files are."""
    return tmp_path_factory.mktemp("ledger")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def farebox(folder: Path) -> AsyncIterator[Farebox]:
    """The parts behind the client, running."""
    async with open_farebox(f"sqlite:///{folder / 'farebox.db'}") as farebox:
        yield farebox


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(farebox: Farebox) -> AppClient:
    """A client; no other origin may read."""
    return await open_client(farebox)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def seeds(farebox: Farebox) -> Seeds:
    """The merchant, and everybody's keys."""
    return await seed(farebox)
