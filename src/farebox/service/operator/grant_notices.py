"""Notices of credit that ends: a merchant's users are told some days before, once for each grant."""

from typing import Final

from farebox.service.clock import Clock
from farebox.storage.outgoing.deliveries import DeliveryStore

NOTICE_SECONDS: Final = 30.0
"""How often to look for credit that ends."""

GRANTS_MAX: Final = 200
"""How many grants are told of at once; more follow without a pause."""

_DAY: Final = 86_400_000_000


class GrantNotices:
    """Owes the mails that tell of credit that ends. Several processes may do so at once: each grant is told of once."""

    def __init__(self, deliveries: DeliveryStore, clock: Clock, *, days: int, grants_max: int = GRANTS_MAX) -> None:
        """Tell so many days before, and of no grant that lasts less; 0 days for never."""
        self._deliveries = deliveries
        self._clock = clock
        self._lead = days * _DAY
        self._grants_max = grants_max

    async def owe_due(self) -> float | None:
        """Owe what is due; return 0 seconds if more may be, else None for the usual pause."""
        if not self._lead:
            return None
        now = self._clock.now()
        grants = await self._deliveries.ending_grants(
            now, until=now + self._lead, lasting=self._lead, limit=self._grants_max
        )
        for grant in grants:
            await self._deliveries.tell_of_end(grant, now)
        return None if len(grants) < self._grants_max else 0.0
