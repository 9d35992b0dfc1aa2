"""The queue of messages to destinations: lanes of deliveries in order, what came of each attempt, and pauses.

A *lane* is what one merchant's alerts owe to one destination: it is delivered in the order of the merchant's book, one
at a time. A delivery that fails holds up its lane; after `HELD_ATTEMPTS_MAX` attempts it is *late*: it is tried by
itself, and the others pass.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import astuple

from farebox.core.accounts import Account
from farebox.core.alerts import AlertKind
from farebox.storage import rows
from farebox.storage.columns import ALERT, DELIVERY
from farebox.storage.destination_records import Destination
from farebox.storage.interface import Fetch, NotFound
from farebox.storage.outgoing.deliveries import DeliveryStore
from farebox.storage.outgoing.staff_mails import owe_staff
from farebox.storage.records import Delivery, Purpose
from farebox.storage.subject import SubjectStore

HELD_ATTEMPTS_MAX: Final = 8
"""How many attempts hold up a lane. The indexes of the table know the number, too."""

DISABLED: Final = "the destination was disabled"
"""The error of a message that is given up since its destination is."""

Key = tuple[int, int, int, int]
"""A delivery's merchant, alert, channel and recipient."""


class OwedMessage(Struct, frozen=True):
    """A delivery, and where it goes; None if the destination was deleted meanwhile."""

    delivery: Delivery
    destination: Destination | None


class AttemptResult(Struct, frozen=True):
    """The outcome of one attempt."""

    at: int
    took: int
    status: int | None
    answer: str


class DestinationHealth(Struct, frozen=True):
    """What an attempt showed of its destination."""

    is_good: bool
    is_back: bool = False
    """Whether it was away before: all that waits for it is due now."""
    failures: int = 0
    """How many attempts its server failed in a row, this one included."""
    paused_until: int = 0
    """Nothing is sent before then."""


class MessageQueueStore(SubjectStore):
    """The deliveries to the destinations of one database."""

    async def heads(self, channel: int, now: int, *, after: int, limit: int) -> Sequence[Key]:
        """Find deliveries that are due and the first of their lanes, by destination, beginning after one."""
        return [
            (merchant_id, number, channel, recipient_id)
            for recipient_id, merchant_id, number in await self._rows("lane_heads", channel, now, after, limit)
        ]

    async def late(self, channel: int, now: int, *, limit: int) -> Sequence[Key]:
        """Find late deliveries that are due, the longest first."""
        found = await self._rows("late_deliveries", channel, now, limit)
        return [(merchant_id, number, channel, recipient_id) for merchant_id, number, recipient_id in found]

    async def lease(self, keys: Sequence[Key], now: int, *, until: int) -> Sequence[OwedMessage]:
        """Take deliveries if they are still due: nobody else gets them until then, when they are due again.

        Counts the attempt. Each is given to one claimer only, however many ask at once.
        """

        async def write(fetch: Fetch) -> list[Key]:
            return [key for key in keys if await fetch(self._sql["lease_delivery"], *key, now, until)]

        leased = await self._connector.run_in_transaction(write) if keys else []
        found = [await self._row("owed_message", *key) for key in leased]
        return [_message(row) for row in found if row is not None]

    async def settle(
        self,
        delivery: Delivery,
        attempt: AttemptResult | None,
        health: DestinationHealth | None,
        *,
        now: int,
        hurry: int,
    ) -> None:
        """Write what became of a delivery, the attempt, and what it showed of the destination, in one transaction.

        If the destination is back, what waits for longer than until `hurry` is due now.

        Raises:
            NotFound: no such delivery.
        """
        attempted = (delivery.state, delivery.attempts, delivery.next_attempt_at)
        outcome = (*attempted, delivery.sent_at, delivery.last_error, delivery.email)

        async def write(fetch: Fetch) -> None:
            if not await fetch(self._sql["settle_delivery"], *delivery.key, *outcome):
                raise NotFound("no such delivery")
            if attempt is not None:
                await fetch(self._sql["insert_attempt"], *delivery.key, *astuple(attempt))
            if health is None:
                return
            if not health.is_good:
                pause = (health.failures, health.paused_until)
                await fetch(self._sql["note_destination_failure"], delivery.recipient_id, now, *pause)
                return
            await fetch(self._sql["note_destination_success"], delivery.recipient_id)
            if health.is_back:
                await fetch(self._sql["hurry_deliveries"], delivery.channel, delivery.recipient_id, now, hurry)

        await self._connector.run_in_transaction(write)

    async def disable(self, destination: Destination, reason: str, now: int) -> bool:
        """Disable a destination that is on, give up what waits, and tell of it; return whether it was on.

        Its merchant is told by an alert, and of the operator's own the staff who set them up by mail.
        """

        async def due(fetch: Fetch, _: Account) -> Mapping[str, Any] | None:
            if not await self._disable(fetch, destination, reason, now):
                return None
            return {
                "destination_id": destination.destination_id,
                "name": destination.name,
                "reason": reason,
                "failing_since": destination.failing_since,
            }

        async def write(fetch: Fetch) -> bool:
            if not await self._disable(fetch, destination, reason, now):
                return False
            about = destination.destination_id
            await owe_staff(fetch, self._sql, Purpose.DESTINATION_DISABLED, about=about, merchant_id=None, now=now)
            return True

        if destination.merchant_id is None:
            return await self._connector.run_in_transaction(write)
        deliveries = DeliveryStore(self._connector)
        return await deliveries.tell(destination.merchant_id, AlertKind.DESTINATION_DISABLED, now, due) is not None

    async def forget_attempts(self, before: int, *, limit: int) -> int:
        """Forget attempts that were made before a time, so many or a few more of one moment; return how many."""
        return len(await self._write("forget_attempts", before, limit))

    async def _disable(self, fetch: Fetch, destination: Destination, reason: str, now: int) -> bool:
        if not await fetch(self._sql["disable_destination"], destination.destination_id, now, reason):
            return False
        await fetch(self._sql["give_up_deliveries"], destination.channel, destination.destination_id, DISABLED)
        return True


def _message(row: Sequence[Any]) -> OwedMessage:
    width = len(ALERT.columns) + len(DELIVERY.columns)
    destination = None if row[width] is None else Destination(*row[width:])
    return OwedMessage(rows.delivery_from_row(row[:width]), destination)
