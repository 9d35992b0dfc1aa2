"""The service's parts over an empty SQLite ledger and a clock that tests hold."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from farebox.service.ledger.committer import Committer
from farebox.service.ledger.expiry import Expiry
from farebox.service.ledger.operations import Operations
from farebox.service.ledger.queries import Balances, Queries
from farebox.service.operator.merchants import Merchants
from farebox.service.operator.prices import Prices
from farebox.storage.sqlite import SqliteConnector
from farebox.storage.stores import Stores
from tests.support.ledger import HeldClock
from tests.support.originals import copy_ledger
from tests.support.server import Seeds, seed_through


@dataclass(frozen=True)
class ServiceParts:
    """The service's parts."""

    stores: Stores
    clock: HeldClock
    committer: Committer
    merchants: Merchants
    prices: Prices
    operations: Operations
    balances: Balances
    queries: Queries
    expiry: Expiry

    async def seed(self, *, balance: str | None = "100", credit_limit: str = "0") -> Seeds:
        """Add a merchant, keys and prices: an `image` costs 0.01, a `call` is variable."""
        return await seed_through(
            self.merchants, self.prices, self.operations, balance=balance, credit_limit=credit_limit
        )


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[ServiceParts]:
    """An empty ledger, its committer at work."""
    clock = HeldClock()
    stores = Stores.over(SqliteConnector(copy_ledger(tmp_path / "farebox.db")))
    await stores.connector.open()
    committer = Committer(stores.connector, clock)
    await committer.start()
    yield ServiceParts(
        stores=stores,
        clock=clock,
        committer=committer,
        merchants=Merchants(stores, clock),
        prices=Prices(stores, clock),
        operations=Operations(committer, clock, stores.prices),
        balances=Balances(stores.connector, clock),
        queries=Queries(stores, clock),
        expiry=Expiry(stores.holds, committer, clock),
    )
    await committer.close()
    await stores.connector.close()
