"""Holds: money set aside by authorization, then captured, released or expired."""

from enum import IntEnum
from typing import Final

from msgspec import Struct

from farebox.core import ids

TTL_SECONDS_DEFAULT: Final = 15 * 60
TTL_SECONDS_MAX: Final = 7 * 24 * 3600


class HoldState(IntEnum):
    """Where a hold stands; every state but HELD is final. The number is what the database stores."""

    HELD = 1
    CAPTURED = 2
    RELEASED = 3
    EXPIRED = 4


class Hold(Struct, frozen=True, gc=False):
    """An amount set aside by the hold transfer numbered `seq`. Amounts are micros; times microseconds since 1970."""

    merchant_id: int
    seq: int
    amount: int
    expires_at: int
    state: int = HoldState.HELD
    captured: int = 0
    quantity: int = 1
    request_type: str | None = None
    """The request type that it was made for; the transfer that ends the hold repeats it."""

    @property
    def id(self) -> str:
        """The public id, made from the merchant's number and the hold transfer's seq."""
        return ids.book_id(ids.HOLD, merchant_id=self.merchant_id, seq=self.seq)


def above_key(seq: int) -> str:
    """Write the idempotency key of what a capture takes above the hold of this seq: once per hold, for ever."""
    return f"above {seq}"
