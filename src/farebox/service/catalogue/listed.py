"""What a price list says, in Farebox's terms: a request type, and what it costs or why that can't be told."""

from enum import StrEnum
from typing import Final

from msgspec import Struct

from farebox.core.pricing.rules import Rule

_CHARS_SHOWN_MAX: Final = 200


class Reason(StrEnum):
    """Why an entry of a list does not become a price."""

    TOO_FINE = "finer than a micro for 10^12 units"
    REST = "a rest of a division, which is read as a fraction only when asked to"
    UNKNOWN_MEMBER = "a price of a kind that is not known"
    NO_PRICE = "no price"
    TIERS = "tiers that can't be told apart"
    HOURS = "hours that no window has"
    TOO_LONG = "more lines, tiers or windows than a rule has"
    MALFORMED = "not as the list's own format says"
    NAME = "a name that is no request type"
    TWICE = "a name that stands for two prices"
    PAST = "a start in the past"
    TAKEN = "a start that another price has"


class Problem(Struct, frozen=True):
    """Why a request type of a list does not become a price, and what in it is meant."""

    reason: Reason
    detail: str


class Inexpressible(Exception):
    """What a list says has no rule."""

    def __init__(self, reason: Reason, detail: str) -> None:
        """Say why, and what is meant; of a text out of the list, what can be seen."""
        super().__init__(f"{reason}: {detail}")
        self.problem = Problem(reason, printable(detail))


def printable(text: str) -> str:
    """Write a text that may have anything of a list in it so that it can be shown: escaped, and not at length."""
    words = text if text.isprintable() else ascii(text)[1:-1]
    return words if len(words) <= _CHARS_SHOWN_MAX else f"{words[:_CHARS_SHOWN_MAX]}…"


class Offer(Struct, frozen=True):
    """What a request type costs: a rule, or a unit price in micros; with neither, callers name the amount."""

    unit_price: int | None = None
    rule: Rule | None = None


class Listed(Struct, frozen=True):
    """A request type of a list: its offer, or the problem with it.

    `entry` is what the list calls it; several types may come of one entry. `starts_at` is None for what holds from the
    import on. `remarks` tell what was read otherwise than it is written, or left out.
    """

    request_type: str
    entry: str
    offer: Offer | None
    problem: Problem | None = None
    starts_at: int | None = None
    remarks: tuple[str, ...] = ()
