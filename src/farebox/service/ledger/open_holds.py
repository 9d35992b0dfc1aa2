"""Open holds: what is set aside, for what and until when, in pages."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from farebox.core import ids
from farebox.service import parsing
from farebox.service.clock import Clock
from farebox.service.cursors import read_cursor, write_cursor
from farebox.service.errors import Missing, translated
from farebox.storage.records import OpenHold
from farebox.storage.stores import Stores

__all__ = ["HoldPage", "OpenHold", "OpenHolds"]

_FIRST: Final = (-1, 0, 0)


class HoldPage(Struct, frozen=True):
    """Some open holds, the soonest end first, and where the next page goes on; None once there is no more."""

    holds: Sequence[OpenHold]
    next_cursor: str | None


class OpenHolds:
    """Reads of open holds. Every method may raise Unavailable."""

    def __init__(self, stores: Stores, clock: Clock) -> None:
        """Read from these stores."""
        self._stores = stores
        self._clock = clock

    def now(self) -> int:
        """Tell the time, microseconds since 1970, which holds' ages are counted to."""
        return self._clock.now()

    async def page(self, merchant_id: int | None, *, cursor: str | None, limit: int) -> HoldPage:
        """List open holds, of one merchant or of all with None.

        Raises:
            InvalidInput: this method gave out no such cursor.
        """
        after = read_cursor(cursor, _FIRST)
        with translated():
            holds = await self._stores.holds.open(merchant_id, after=after, limit=limit + 1)
        shown = holds[:limit]
        if len(holds) <= limit:
            return HoldPage(shown, None)
        last = shown[-1].hold
        return HoldPage(shown, write_cursor(last.expires_at, last.merchant_id, last.seq))

    def ensure_of(self, merchant_id: int, hold_id: str) -> None:
        """See that an id can be one of this merchant's holds, open or not.

        Raises:
            Missing: it is another merchant's, or no hold's.
        """
        if _book_id(hold_id)[0] != merchant_id:
            raise Missing("the merchant has no such hold")

    async def get(self, hold_id: str) -> OpenHold:
        """Read one open hold by its id.

        Raises:
            Missing: no open hold has this id.
        """
        merchant_id, seq = _book_id(hold_id)
        with translated():
            hold = await self._stores.holds.find_open(merchant_id, seq)
        if hold is None:
            raise Missing("no hold has this id, or it was captured, released or expired meanwhile")
        return hold


def _book_id(hold_id: str) -> tuple[int, int]:
    try:
        return parsing.parse_book_id(ids.HOLD, hold_id)
    except parsing.InvalidId as error:
        raise Missing("no hold has this id") from error
