"""What requests left uncollected, and what is owed of top-ups that were taken back."""

from collections.abc import Sequence

from farebox.core.credit.shortfalls import Shortfall
from farebox.storage import rows
from farebox.storage.records import ShortTransfer
from farebox.storage.subject import SubjectStore


class ShortfallStore(SubjectStore):
    """All merchants' shortfalls. Batches alone write them."""

    async def page(
        self, merchant_id: int | None, *, before: tuple[int, int, int], limit: int
    ) -> Sequence[ShortTransfer]:
        """List shortfalls with their transfers, of one merchant or of all with None, newest first.

        The list goes on behind `before`: the time, merchant and seq of the last one before it.
        """
        if merchant_id is None:
            found = await self._rows("shortfalls", *before, limit)
        else:
            found = await self._rows("merchant_shortfalls", merchant_id, before[2], limit)
        return [rows.short_transfer_from_row(row) for row in found]

    async def owed(self, merchant_id: int) -> Sequence[Shortfall]:
        """List those of which a merchant owes something, the oldest first."""
        return list(rows.shortfalls_from_rows(await self._rows("owed_shortfalls", [merchant_id])).values())
