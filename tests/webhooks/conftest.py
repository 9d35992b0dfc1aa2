"""A ledger on each engine with destinations, and a transport that does as a test says."""

from collections.abc import AsyncIterator

import pytest

from farebox.storage.stores import Stores
from tests.storage.engines import Engine
from tests.support.ledger import NOW


@pytest.fixture
async def stores(engine: Engine) -> AsyncIterator[Stores]:
    """An open store on a database with the schema and no rows."""
    stores = engine.stores()
    await stores.connector.migrate(NOW)
    await engine.clear()
    await stores.connector.open()
    yield stores
    await stores.connector.close()
