"""Open holds: what is set aside, for what and until when, in pages."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from farebox.core import ids
from farebox.service import parsing
from farebox.service.clock import Clock
from farebox.service.errors import InvalidInput, Missing, translated
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
        after = _FIRST if cursor is None else _parse_cursor(cursor)
        with translated():
            holds = await self._stores.holds.open(merchant_id, after=after, limit=limit + 1)
        shown = holds[:limit]
        return HoldPage(shown, _cursor_after(shown[-1]) if len(holds) > limit else None)

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


def _cursor_after(last: OpenHold) -> str:
    """Name the place behind a hold."""
    hold = last.hold
    return "".join(map(ids.encode_number, (hold.expires_at, hold.merchant_id, hold.seq)))


def _parse_cursor(cursor: str) -> tuple[int, int, int]:
    """Read the place that a cursor names."""
    size = ids.NUMBER_CHARS
    try:
        return (
            parsing.decode_number(cursor[:size]),
            parsing.decode_number(cursor[size : 2 * size]),
            parsing.decode_number(cursor[2 * size :]),
        )
    except parsing.InvalidId as error:
        raise InvalidInput("cursor", "not a cursor that a page of this list came with") from error
