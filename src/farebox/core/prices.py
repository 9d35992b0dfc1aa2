"""Prices: versions with a start time, never edited; a merchant's own goes before the default."""

from typing import Final

from msgspec import Struct

from farebox.core.commands import Spend
from farebox.core.outcomes import Code, Outcome, refused

QUANTITY_MAX: Final = 1_000_000
CLOCK_LAG_MICROS_MAX: Final = 60_000_000
"""How far the clock may be behind a book's last transfer, as clocks of several servers differ a little. Further behind,
the prices in force are not known, and a hold would end at the wrong time."""

CLOCK_BEHIND: Final = refused(
    Code.CLOCK_BEHIND, "The server's clock is behind what is in the ledger, so nothing can be charged; nothing moved"
)


class Price(Struct, frozen=True, gc=False):
    """One version of a request type's unit price, in micros, in force from `starts_at` until a later one starts.

    `merchant_id` is None for the default that all merchants share. `unit_price` is None for a variable type, whose
    callers name the amount themselves.
    """

    price_id: int
    request_type: str
    unit_price: int | None
    starts_at: int
    merchant_id: int | None = None


def amount_refusal(price: Price, command: Spend) -> Outcome | None:
    """Tell whether the command names an amount where the price has one, or none where it has none."""
    if price.unit_price is None and command.amount is None:
        return refused(Code.AMOUNT_REQUIRED, f"The request type {price.request_type!r} is variable: name the amount")
    if price.unit_price is not None and command.amount is not None:
        return refused(
            Code.AMOUNT_NOT_ALLOWED,
            f"The request type {price.request_type!r} has a unit price: name a quantity, not an amount",
        )
    return None
