"""Clients of the application that tests of the API share."""

import pytest_asyncio

from farebox.bootstrap import Farebox
from tests.support.app_client import AppClient, open_client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cors_client(farebox: Farebox) -> AppClient:
    """A client; one other origin may read the ledger."""
    return await open_client(farebox, cors_origins=("https://shop.example",))
