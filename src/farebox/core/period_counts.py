"""Units counted over a calendar day or month: by merchant, request type, the period's start and unit, and the line."""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from farebox.core.prices import Price
from farebox.core.pricing.priced import read_priced
from farebox.core.pricing.times import period_start
from farebox.core.transfers import Transfer

COUNT_MAX: Final = 9 * 10**18
"""The largest count, so that any 64-bit integer holds it."""

Place = tuple[int, str, int, str]
"""A merchant, a request type, the start of a period in microseconds since 1970, and the period's unit.

A day and a month may begin at the same time: a type whose price changes from one to the other is counted anew."""

Key = tuple[int, str, int, str, str]
"""A place, and a line of the rule."""


def place_at(price: Price, merchant_id: int, at: int | None) -> Place | None:
    """Tell which period's count a merchant's request of a time belongs to; None if its price counts none."""
    period = None if price.rule is None else price.rule.period
    if period is None or at is None:
        return None
    return (merchant_id, price.request_type, period_start(period, at), period.unit.value)


def place_of(transfer: Transfer, price: Price | None) -> Place | None:
    """Tell which period's count a transfer belongs to; None if its price counts none.

    Raises:
        ValueError: the transfer's `pricing` can't be read.
    """
    if transfer.pricing is None or price is None or not price.is_counted:
        return None
    return place_at(price, transfer.merchant_id, read_priced(transfer.pricing).at)


class PeriodCount(Struct, frozen=True, gc=False):
    """How many units of one line a merchant's requests of a type came to, since the period began at `starts_at`.

    `period_unit` is a PeriodUnit. A capture that takes more of one line and less of another than its hold had takes
    units off with the charge above the hold; if the capture alone is refunded, `units` may be below zero until that
    charge is.
    """

    merchant_id: int
    request_type: str
    starts_at: int
    period_unit: str
    line: str
    units: int


class PeriodCounts:
    """The counts that a batch or a replay meets, and over them the ones that it changed."""

    def __init__(self, stored: Mapping[Key, int] | None = None) -> None:
        """Start from the counts as stored."""
        self._counts: dict[Place, dict[str, int]] = {}
        for (merchant_id, request_type, starts_at, unit, line), units in (stored or {}).items():
            self._counts.setdefault((merchant_id, request_type, starts_at, unit), {})[line] = units
        self._changed: set[Key] = set()

    def before(self, place: Place | None, lines: Iterable[str]) -> Mapping[str, int]:
        """Tell the units counted up to now of each of the lines that has any; none where nothing is counted."""
        counts = {} if place is None else self._counts.get(place, {})
        return {line: counts[line] for line in lines if counts.get(line, 0) > 0}

    def add(self, place: Place, units: Mapping[str, int], sign: int = 1) -> None:
        """Count units, or give them back with a `sign` of -1."""
        counts = self._counts.setdefault(place, {})
        for line, number in units.items():
            if number:
                counts[line] = counts.get(line, 0) + sign * number
                self._changed.add((*place, line))

    def changed(self) -> list[PeriodCount]:
        """List the counts that changed, as they are now."""
        return [PeriodCount(*key, self._counts[key[:4]][key[4]]) for key in sorted(self._changed)]
