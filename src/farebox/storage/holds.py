"""Holds that are open, and those whose time is over."""

from collections.abc import Sequence

from farebox.core.holds import Hold
from farebox.storage import rows
from farebox.storage.records import OpenHold
from farebox.storage.subject import SubjectStore


class HoldStore(SubjectStore):
    """All merchants' holds. Batches alone write them."""

    async def due(self, now: int, limit: int) -> Sequence[Hold]:
        """List open holds whose time is over at `now`, the longest over first."""
        return [rows.hold_from_row(row) for row in await self._rows("due_holds", now, limit)]

    async def open(self, merchant_id: int | None, *, after: tuple[int, int, int], limit: int) -> Sequence[OpenHold]:
        """List open holds, of one merchant or of all with None, the soonest end first.

        The list goes on behind `after`: the end, merchant and seq of the last hold before it. It walks over those open
        holds alone, however many there were.
        """
        if merchant_id is None:
            found = await self._rows("open_holds", *after, limit)
        else:
            found = await self._rows("open_holds_of", *after, merchant_id, limit)
        return [rows.open_hold_from_row(row) for row in found]

    async def find_open(self, merchant_id: int, seq: int) -> OpenHold | None:
        """Read one open hold; None if there is no such hold, or it has ended."""
        row = await self._row("open_hold", merchant_id, seq)
        return None if row is None else rows.open_hold_from_row(row)
