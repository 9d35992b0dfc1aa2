"""Prices: versions with a start time, never edited; a merchant's own goes before the default."""

from typing import Final

from msgspec import Struct

from farebox.core.outcomes import Code, Outcome, refused
from farebox.core.pricing.rules import Rule

QUANTITY_MAX: Final = 1_000_000
"""The largest number of requests that one charge or hold may count by `quantity`."""

REQUESTS: Final = "requests"
"""The line that counts requests: the only one of a price that is a unit price or variable."""

CLOCK_LAG_MICROS_MAX: Final = 60_000_000
"""How far the clock may be behind a book's last transfer, as clocks of several servers differ a little. Further behind,
the prices in force are not known, and a hold would end at the wrong time."""

CLOCK_BEHIND: Final = refused(
    Code.CLOCK_BEHIND, "The server's clock is behind what is in the ledger, so nothing can be charged; nothing moved"
)


class Price(Struct, frozen=True, gc=False):
    """One version of a request type's price, in force from `starts_at` until a later one starts.

    It is a rule, or a unit price in micros; with neither, the type is variable, and callers name the amount themselves.
    `merchant_id` is None for the default that all merchants share. With `is_end` it ends what was in force: of a
    merchant's own prices, the default is in force again; of the defaults, the type is retired.
    """

    price_id: int
    request_type: str
    unit_price: int | None
    starts_at: int
    merchant_id: int | None = None
    rule: Rule | None = None
    is_end: bool = False
    withdrawn_at: int | None = None
    """When it was withdrawn, before it started; None if it was not."""

    @property
    def is_variable(self) -> bool:
        """Whether callers name the amount."""
        return self.unit_price is None and self.rule is None and not self.is_end

    @property
    def is_counted(self) -> bool:
        """Whether units are counted over a period."""
        return self.rule is not None and self.rule.period is not None

    @property
    def names(self) -> tuple[str, ...]:
        """The quantities that a charge may name."""
        return (REQUESTS,) if self.rule is None else self.rule.names


def in_force(own: Price | None, default: Price | None, request_type: str) -> Price | Outcome:
    """Choose the price that a merchant is charged by, of the versions that started last, or tell why there is none."""
    if default is not None and default.is_end:
        return refused(Code.TYPE_RETIRED, f"The request type {request_type!r} is retired and can't be charged")
    if own is not None and not own.is_end:
        return own
    if default is None:
        return refused(Code.UNKNOWN_TYPE, f"No price is in force for the request type {request_type!r}")
    return default
