"""What requests left uncollected and what is owed of top-ups that were taken back, in pages."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from farebox.core import ids
from farebox.service.cursors import read_cursor, write_cursor
from farebox.service.errors import translated
from farebox.storage.records import ShortTransfer
from farebox.storage.stores import Stores

__all__ = ["Owed", "ShortTransfer", "ShortfallPage", "Shortfalls"]

ROWS_MAX: Final = 10_000
"""How many a file has at most: the newest."""

_FIRST: Final = (ids.NUMBER_MAX, ids.NUMBER_MAX, ids.SEQ_MAX)


class ShortfallPage(Struct, frozen=True):
    """Some shortfalls, newest first, and where the next page goes on; None once there is no more."""

    rows: Sequence[ShortTransfer]
    next_cursor: str | None


class Owed(Struct, frozen=True):
    """What a merchant owes in all, in micros, and the top-ups that it owes it for, the oldest first."""

    amount: int = 0
    top_ups: tuple[str, ...] = ()


class Shortfalls:
    """Reads of shortfalls. Every method may raise Unavailable."""

    def __init__(self, stores: Stores) -> None:
        """Read from these stores."""
        self._stores = stores

    async def page(self, merchant_id: int | None, *, cursor: str | None, limit: int) -> ShortfallPage:
        """List shortfalls with their transfers, of one merchant or of all with None, newest first.

        Raises:
            InvalidInput: this method gave out no such cursor.
        """
        before = read_cursor(cursor, _FIRST)
        with translated():
            rows = await self._stores.shortfalls.page(merchant_id, before=before, limit=limit + 1)
        shown = rows[:limit]
        if len(rows) <= limit:
            return ShortfallPage(shown, None)
        last = shown[-1].shortfall
        return ShortfallPage(shown, write_cursor(last.at, last.merchant_id, last.seq))

    async def owed(self, merchant_id: int, owed: int) -> Owed:
        """Tell what a merchant owes; `owed` is what its account says, and nothing is read if that is nothing."""
        if not owed:
            return Owed()
        with translated():
            rows = await self._stores.shortfalls.owed(merchant_id)
        seqs = dict.fromkeys(row.top_up_seq or 0 for row in rows)
        top_ups = (ids.book_id(ids.TRANSFER, merchant_id=merchant_id, seq=seq) for seq in seqs)
        return Owed(sum(row.owed for row in rows), tuple(top_ups))
