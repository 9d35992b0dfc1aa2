"""Destinations: where webhooks and chat messages go, what was sent there, and what was answered.

Who delivers them, and turns one off that fails, has a store of its own.
"""

from collections.abc import Sequence
from typing import Final

from farebox.core.audit_log import AuditEntry
from farebox.storage import rows
from farebox.storage.columns import ALERT, DELIVERY, DESTINATION
from farebox.storage.destination_records import DeliveryAttempt, Destination, Sent
from farebox.storage.interface import Fetch, NotFound, StorageError
from farebox.storage.records import Delivery, Repeat
from farebox.storage.subject import SubjectStore

_DELIVERY_WIDTH: Final = len(ALERT.columns) + len(DELIVERY.columns)


class TooMany(StorageError):
    """There are as many destinations as there may be; nothing was changed."""


class DestinationStore(SubjectStore):
    """The destinations of one database."""

    async def add(
        self,
        destination: Destination,
        *,
        count_max: int,
        own_count_max: int,
        audit_entry: AuditEntry | None = None,
        repeat: Repeat | None = None,
    ) -> None:
        """Add a destination: `count_max` of the merchant or the operator at most, `own_count_max` of the same user.

        Raises:
            TooMany: there are so many.
            NotFound: no such merchant.
        """

        async def add(fetch: Fetch) -> None:
            await self._claim(fetch, repeat)
            if destination.merchant_id is None:
                there = await fetch(self._sql["operator_destinations"])
            else:
                # Nobody else adds one meanwhile.
                if not await fetch(self._sql["lock_account"], destination.merchant_id):
                    raise NotFound("no such merchant")
                there = await fetch(self._sql["merchant_destinations"], destination.merchant_id)
            of_user = [row for row in there if Destination(*row).user_id == destination.user_id]
            if len(there) >= count_max or (destination.user_id is not None and len(of_user) >= own_count_max):
                raise TooMany(f"there are {len(there)} destinations")
            await fetch(self._sql["insert_destination"], *DESTINATION.row_of(destination))

        await self._connector.run_in_transaction(add, audit_entry)

    async def secrets(self, after: int, count: int) -> Sequence[tuple[int, bytes, bytes | None]]:
        """List what destinations keep secret, each with its number, that come after a destination."""
        return [(row[0], row[1], row[2]) for row in await self._rows("destination_secrets_page", after, count)]

    async def rewrite_secrets(
        self, destination_id: int, secret: bytes, secret_before: bytes | None, *, known: bytes
    ) -> bool:
        """Write secrets in place of ones that mean the same; False if the secret is another than the known by now."""
        return bool(await self._write("rewrite_destination_secret", destination_id, secret, secret_before, known))

    async def find(self, destination_id: int) -> Destination | None:
        """Find a destination by its number."""
        row = await self._row("destination", destination_id)
        return None if row is None else Destination(*row)

    async def list(self, merchant_id: int | None) -> Sequence[Destination]:
        """List the destinations of a merchant and its users, or the operator's own with None, oldest first."""
        if merchant_id is None:
            found = await self._rows("operator_destinations")
        else:
            found = await self._rows("merchant_destinations", merchant_id)
        return [Destination(*row) for row in found]

    async def page(self, *, after: int, limit: int) -> Sequence[Destination]:
        """List everybody's destinations by their numbers, beginning behind one."""
        return [Destination(*row) for row in await self._rows("all_destinations", after, limit)]

    async def change(self, destination: Destination, audit_entry: AuditEntry | None = None) -> None:
        """Write a destination's name, URL, kinds, secret and version.

        Raises:
            NotFound: it was deleted.
        """
        values = (destination.name, destination.url, destination.kinds, destination.secret, destination.version)
        await self._change(
            "set_destination",
            destination.destination_id,
            *values,
            missing=_missing(destination),
            audit_entry=audit_entry,
        )

    async def rotate(
        self,
        destination: Destination,
        secret: bytes,
        *,
        overlap_until: int | None,
        audit_entry: AuditEntry | None = None,
        repeat: Repeat | None = None,
    ) -> None:
        """Give a destination another secret; the present one stays good beside it until `overlap_until`, if at all.

        Raises:
            NotFound: it was deleted.
        """

        async def rotate(fetch: Fetch) -> None:
            await self._claim(fetch, repeat)
            locked = await fetch(self._sql["lock_destination"], destination.destination_id)
            if not locked:
                raise NotFound(_missing(destination))
            before = None if overlap_until is None else Destination(*locked[0]).secret
            values = (destination.destination_id, secret, before, overlap_until)
            await fetch(self._sql["set_destination_secret"], *values)

        await self._connector.run_in_transaction(rotate, audit_entry)

    async def set_state(self, destination: Destination, state: int, audit_entry: AuditEntry | None = None) -> None:
        """Turn a destination on or off; from then on it has never failed.

        Raises:
            NotFound: it was deleted.
        """
        await self._change(
            "set_destination_state",
            *(destination.destination_id, state),
            missing=_missing(destination),
            audit_entry=audit_entry,
        )

    async def delete(
        self, destination: Destination, audit_entry: AuditEntry | None = None, repeat: Repeat | None = None
    ) -> None:
        """Remove a destination; what waits for it is withdrawn when its turn comes.

        Raises:
            NotFound: it was deleted.
        """
        await self._change(
            "delete_destination",
            destination.destination_id,
            missing=_missing(destination),
            audit_entry=audit_entry,
            repeat=repeat,
        )

    async def sent(self, destination: Destination, *, before: int, limit: int) -> Sequence[Sent]:
        """List what was sent to a destination, newest first.

        Of a merchant's it is all that it is owed or was, before the alert of the number `before`, each with the last
        attempt. Of the operator's, about all merchants, it is the attempts before the time `before`, each with what it
        delivered.
        """
        channel, number = destination.channel, destination.destination_id
        if destination.merchant_id is None:
            found = await self._rows("attempts_of_destination", channel, number, before, limit)
        else:
            found = await self._rows("sent_to_destination", channel, number, destination.merchant_id, before, limit)
        return [
            Sent(
                rows.delivery_from_row(row[:_DELIVERY_WIDTH]),
                None if row[_DELIVERY_WIDTH] is None else DeliveryAttempt(*row[_DELIVERY_WIDTH:]),
            )
            for row in found
        ]

    async def delivery(self, destination: Destination, merchant_id: int, alert_number: int) -> Delivery | None:
        """Find what is owed to a destination of one alert."""
        row = await self._row("delivery_to", merchant_id, alert_number, destination.channel, destination.destination_id)
        return None if row is None else rows.delivery_from_row(row)

    async def attempts(self, delivery: Delivery, limit: int) -> Sequence[DeliveryAttempt]:
        """List the attempts of a delivery that are remembered, the last first."""
        return [DeliveryAttempt(*row) for row in await self._rows("attempts_of_delivery", *delivery.key, limit)]

    async def replay(
        self, delivery: Delivery, now: int, audit_entry: AuditEntry | None = None, repeat: Repeat | None = None
    ) -> None:
        """Make a delivery due again, as if it had never been tried.

        Raises:
            NotFound: no such delivery.
        """
        await self._change(
            "replay_delivery", *delivery.key, now, missing="no such delivery", audit_entry=audit_entry, repeat=repeat
        )

    async def replay_range(
        self,
        destination: Destination,
        *,
        since: int,
        until: int,
        now: int,
        is_all: bool,
        limit: int,
        audit_entry: AuditEntry | None = None,
        repeat: Repeat | None = None,
    ) -> int:
        """Make what happened from `since` on and before `until` due at a destination, owed before or not; say how much.

        It is what the destination wants now, oldest first and `limit` at most; without what it took, unless `is_all`.
        Alerts that keep no facts are left out.
        """
        whose = () if destination.merchant_id is None else (destination.merchant_id,)
        name = "replay_deliveries_of_all" if destination.merchant_id is None else "replay_deliveries"
        values = (
            *(destination.channel, destination.destination_id, *whose, since, until),
            *(destination.kinds, now, int(is_all), limit),
        )
        return len(await self._write(name, *values, audit_entry=audit_entry, repeat=repeat))


def _missing(destination: Destination) -> str:
    return f"no destination {destination.destination_id}"
