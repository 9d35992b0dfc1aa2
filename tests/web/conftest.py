"""The application over an empty SQLite ledger, one for all tests of a file: each makes merchants of its own."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from farebox.bootstrap import Farebox
from tests.support.app_client import AppClient, open_client
from tests.support.server import Seeds, open_farebox, seed


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def farebox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Farebox]:
    """The parts behind the client, running."""
    async with open_farebox(f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'farebox.db'}") as farebox:
        yield farebox


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(farebox: Farebox) -> AppClient:
    """A client; no other origin may read the ledger."""
    return await open_client(farebox)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cors_client(farebox: Farebox) -> AppClient:
    """A client; one other origin may read the ledger."""
    return await open_client(farebox, cors_origins=("https://shop.example",))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def everyone(farebox: Farebox) -> Seeds:
    """One merchant and its keys, for tests that have no need of a new one each time."""
    return await seed(farebox)
