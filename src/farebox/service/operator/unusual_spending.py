"""Unusual spending as pages show it: who spends far more than is usual, since when, and by which API key."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from farebox.service.clock import Clock
from farebox.service.errors import translated
from farebox.storage.records import ApiKey, Merchant, UnusualSpending
from farebox.storage.stores import Stores

SHOWN_SECONDS: Final = 24 * 3600
"""How long after it was last seen it is shown."""

_MICROS_PER_SECOND: Final = 1_000_000


class UnusualNow(Struct, frozen=True):
    """A merchant that spends far more than is usual for it, or did so lately; and the key that spent most of it."""

    merchant: Merchant
    spending: UnusualSpending
    key: ApiKey | None


class UnusualSpendings:
    """Reads unusual spending. Every method may raise Unavailable."""

    def __init__(self, stores: Stores, clock: Clock) -> None:
        """Read from these stores."""
        self._stores = stores
        self._clock = clock

    async def of(self, merchant_id: int) -> UnusualNow | None:
        """Tell of a merchant's; None if nothing was seen lately."""
        with translated():
            spending = await self._stores.spending.find(merchant_id)
            if spending is None or spending.seen_at < self._shown_since():
                return None
            return await self._shown(spending)

    async def latest(self, limit: int) -> Sequence[UnusualNow]:
        """List the merchants of which it was seen last, the latest first."""
        with translated():
            found = await self._stores.spending.seen_since(self._shown_since(), limit=limit)
            shown = [await self._shown(spending) for spending in found]
        return [item for item in shown if item is not None]

    async def _shown(self, spending: UnusualSpending) -> UnusualNow | None:
        merchant = await self._stores.merchants.find(spending.merchant_id)
        key = None if spending.key_id is None else await self._stores.api_keys.find(spending.key_id)
        return None if merchant is None else UnusualNow(merchant, spending, key)

    def _shown_since(self) -> int:
        return self._clock.now() - SHOWN_SECONDS * _MICROS_PER_SECOND
