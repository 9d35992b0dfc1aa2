"""Holds whose time is over."""

from collections.abc import Sequence

from farebox.core.holds import Hold
from farebox.storage import rows
from farebox.storage.subject import SubjectStore


class HoldStore(SubjectStore):
    """All merchants' holds. Batches alone write them."""

    async def due(self, now: int, limit: int) -> Sequence[Hold]:
        """List open holds whose time is over at `now`, the longest over first."""
        return [rows.hold_from_row(row) for row in await self._rows("due_holds", now, limit)]
