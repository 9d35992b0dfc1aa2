"""A console over a ledger where more than 1,000.00 needs a second person, and two people who sit at it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from farebox.bootstrap import Farebox
from farebox.config import Settings
from farebox.storage.records import Realm
from tests.support.app_client import AppClient
from tests.web.console.visitor import Visitor


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def farebox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Farebox]:
    """The parts behind the client, running."""
    path = tmp_path_factory.mktemp("ledger") / "farebox.db"
    farebox = Farebox.build(Settings.of(database_url=f"sqlite:///{path}", approval_above="1000"))
    await farebox.stores.connector.migrate(farebox.clock.now())
    async with farebox.running():
        yield farebox


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sam(farebox: Farebox, client: AppClient) -> Visitor:
    """One of support."""
    return await Visitor.sign_in(farebox, client, Realm.SUPPORT, "sam@farebox.example", "Sam")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tess(farebox: Farebox, client: AppClient) -> Visitor:
    """Another of support."""
    return await Visitor.sign_in(farebox, client, Realm.SUPPORT, "tess@farebox.example", "Tess")
