"""The service's parts over an empty SQLite ledger and a clock that tests hold."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from farebox.core.commands import KeyKind
from farebox.service.ledger.committer import Committer
from farebox.service.ledger.expiry import Expiry
from farebox.service.ledger.operations import Operations
from farebox.service.ledger.queries import Balances, Queries
from farebox.service.operator.merchants import Merchants
from farebox.storage.sqlite import SqliteStore
from tests.support.server import Seeds

START: int = 1_800_000_000_000_000
"""The time at which every test starts, microseconds since 1970."""


class HeldClock:
    """Stands still unless a test moves it."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> int:
        """Return the time, microseconds since 1970."""
        return self.time

    def move(self, *, seconds: float = 0, micros: int = 0) -> None:
        """Move the clock, forwards or back."""
        self.time += round(seconds * 1_000_000) + micros


@dataclass(frozen=True)
class Ledger:
    """The service's parts."""

    store: SqliteStore
    clock: HeldClock
    committer: Committer
    merchants: Merchants
    operations: Operations
    balances: Balances
    queries: Queries
    expiry: Expiry

    async def seed(self, *, balance: str | None = "100", credit_limit: str = "0") -> Seeds:
        """Add a merchant, keys and prices: an `image` costs 0.01, a `call` is variable."""
        merchant, _, key = await self.merchants.create(
            name="Northwind Imaging", currency="USD", thresholds=[], credit_limit=credit_limit
        )
        service = await self.merchants.create_key(KeyKind.SERVICE, name="recognition")
        support = await self.merchants.create_key(KeyKind.SUPPORT, name="ann")
        await self.merchants.set_price("image", "0.01")
        await self.merchants.set_price("call", None)
        if balance is not None:
            outcome = await self.operations.top_up(
                merchant.merchant_id, amount=balance, reference="INV-1", note=None, principal=None
            )
            assert outcome.is_ok
        return Seeds(merchant.merchant_id, f"mer_{key.text[4:17]}", key.text, service.text, support.text)


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    """An empty ledger, its committer at work."""
    clock = HeldClock()
    store = SqliteStore(tmp_path / "farebox.db")
    await store.migrate(clock.now())
    await store.open()
    committer = Committer(store, clock)
    await committer.start()
    yield Ledger(
        store=store,
        clock=clock,
        committer=committer,
        merchants=Merchants(store, clock),
        operations=Operations(committer, clock),
        balances=Balances(store, clock),
        queries=Queries(store, clock),
        expiry=Expiry(store, committer, clock),
    )
    await committer.close()
    await store.close()
