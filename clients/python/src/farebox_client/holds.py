"""A hold that lasts as long as a block of code: what becomes of it at the end, told for both clients."""

import logging
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal, cast

from farebox_client import messages
from farebox_client.answers import Capture, Hold, Release
from farebox_client.errors import FareboxError, HoldExpired
from farebox_client.keys import new_key
from farebox_client.messages import Amount, Call

_log: Final = logging.getLogger("farebox_client")


class HeldMoney:
    """The money that a block of code may use up: captured if the block succeeds, released if it does not."""

    result: Capture | Release | None = None
    """What became of the hold, once the block has ended."""

    def __init__(self) -> None:
        """Begin without a hold; it is made when the block is entered."""
        self._hold: Hold | None = None
        self._is_entered = False
        self._capture: dict[str, Any] = {}
        self._is_released = False
        self._key = new_key()

    def _ensure_new(self) -> None:
        if self._is_entered:
            raise RuntimeError("a hold lasts for one block: make another one for the next")
        self._is_entered = True

    @property
    def made(self) -> Hold:
        """The hold as it was made."""
        if self._hold is None:
            raise RuntimeError("the hold is made when the block is entered")
        return self._hold

    @property
    def hold_id(self) -> str:
        """The hold's id."""
        return self.made.hold_id

    @property
    def amount(self) -> Decimal:
        """How much is held."""
        return self.made.amount

    @property
    def expires_at(self) -> datetime:
        """When it was to expire by itself as it was made."""
        return self.made.expires_at

    def capture_with(
        self,
        *,
        quantity: int | None = None,
        quantities: Mapping[str, int] | None = None,
        amount: Amount | None = None,
        reference: str | None = None,
        above: Literal["refuse", "charge", "uncollected"] | None = None,
    ) -> None:
        """Say what to capture at the end of the block; said again, the last word counts. Without it, it is all.

        Args:
            quantity: How many of the held requests were done.
            quantities: How much was used after all, by the lines of the price.
            amount: How much is taken.
            reference: Anything of yours to find it by, one line.
            above: What becomes of what the work came to above the hold: `refuse`, `charge` or `uncollected`.
        """
        self._capture = {
            "quantity": quantity,
            "quantities": quantities,
            "amount": amount,
            "reference": reference,
            "above": above,
        }
        self._is_released = False

    def release_at_end(self) -> None:
        """Give the money back at the end of the block, though it succeeds."""
        self._is_released = True

    def _ending(self, *, is_success: bool) -> Call[Capture | Release]:
        if is_success and not self._is_released:
            return cast("Call[Capture | Release]", messages.capture(self.made, **self._capture, key=self._key))
        return cast("Call[Capture | Release]", messages.release(self.made, key=self._key))


def log_unended(failure: FareboxError) -> None:
    """Warn that a hold was neither captured nor released; one that has expired needs neither."""
    if not isinstance(failure, HoldExpired):
        _log.warning("a hold was not ended, and expires by itself: %s", failure)
