"""A merchant's webhook, the operator's, and an event that both are owed."""

from collections.abc import Mapping
from typing import Any, Final

from farebox.bootstrap import Farebox
from farebox.core.accounts import Account
from farebox.core.alerts import AlertKind
from farebox.service.event_types import offered_types
from farebox.service.people.destinations import Channel
from farebox.storage.interface import Fetch

NOWHERE: Final = "https://hooks.invalid/farebox"
"""A name that no name server knows, ever (RFC 6761)."""


async def add_destinations(
    farebox: Farebox, merchant_id: int, *, name: str = "orders", url: str = NOWHERE
) -> Mapping[str, str]:
    """Add both, and return the ids of all three; what the operator had before is deleted, as there may be so many."""
    for before in await farebox.services.destinations.list(None):
        await farebox.services.destinations.delete(before, principal=None)
    made = {}
    for part, whose in (("destination", merchant_id), ("operators", None)):
        new = await farebox.services.destinations.add(
            whose, Channel.WEBHOOK, url, types=offered_types(is_operator=False), name=name, principal=None
        )
        made[part] = new.destination.id
    return {**made, "event": await tell(farebox, merchant_id)}


async def tell(farebox: Farebox, merchant_id: int) -> str:
    """Let something happen that everybody is told of, and return its id."""

    async def due(_: Fetch, __: Account) -> dict[str, Any]:
        return {"days": 7, "until": None, "until_low": None, "until_high": None, "burn_per_day": 1_000_000}

    alert = await farebox.stores.deliveries.tell(merchant_id, AlertKind.RUNWAY_SHORT, farebox.clock.now(), due)
    assert alert is not None
    return alert.id
