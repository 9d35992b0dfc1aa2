"""What a price version says: lines per any number of units, tiers, windows, units counted over a period, rounding.

A rule is data. `core.pricing.costs` tells what a request costs by it, `service.price_texts` reads one and writes one.
"""

from collections.abc import Iterator
from enum import StrEnum
from functools import cached_property
from math import lcm
from typing import Final

from msgspec import Struct

PER_MAX: Final = 10**12
"""The largest number of units that an amount is for: a GB-second price in MB-milliseconds needs more than 10^9."""

QUANTITY_MAX: Final = 10**12
PRODUCT_MAX: Final = 9 * 10**18
"""The largest amount x quantity of a line, so that any 64-bit integer holds it. A charge beyond it is refused."""

LINES_MAX: Final = 32
STEPS_MAX: Final = 16
WINDOWS_MAX: Final = 16


class Direction(StrEnum):
    """Where a fraction of a step goes."""

    UP = "up"
    HALF_UP = "half_up"
    DOWN = "down"


class PeriodUnit(StrEnum):
    """How long units are counted together."""

    DAY = "day"
    MONTH = "month"


class Step(Struct, frozen=True, gc=False, omit_defaults=True):
    """From the unit of this number on, the first being 1, `per` units cost `amount` micros."""

    start: int
    amount: int
    per: int = 1


class Line(Struct, frozen=True, omit_defaults=True):
    """What one component of a request costs: `amount` micros for `per` units.

    A quantity above zero is at least `at_least`, and charged in whole blocks of `block` units. Of those the first
    `included` are free. With `steps`, each unit costs what the last step at or before its own number says; the first
    unit is number 1, or goes on from the count where the rule has a period.
    """

    name: str
    amount: int
    per: int = 1
    included: int = 0
    block: int = 1
    at_least: int = 0
    steps: tuple[Step, ...] = ()


class Terms(Struct, frozen=True, gc=False):
    """Lines that charge every unit alike, over one denominator.

    Each term is a line's name, what a unit of it adds to the numerator, and its largest quantity.
    """

    denominator: int
    terms: tuple[tuple[str, int, int], ...]


def terms_of(lines: tuple[Line, ...]) -> Terms | None:
    """Sum lines up; None if one has steps, units that are included, blocks or a least quantity."""
    if any(line.steps or line.included or line.block > 1 or line.at_least for line in lines):
        return None
    denominator = lcm(*(line.per for line in lines))
    return Terms(
        denominator,
        tuple(
            (
                line.name,
                line.amount * (denominator // line.per),
                PRODUCT_MAX // line.amount if line.amount else PRODUCT_MAX,
            )
            for line in lines
        ),
    )


class Tier(Struct, frozen=True, omit_defaults=True, dict=True):
    """The lines that a whole request takes once its measure reaches `start`."""

    start: int
    lines: tuple[Line, ...]

    @cached_property
    def terms(self) -> Terms | None:
        """Its lines, summed up."""
        return terms_of(self.lines)


class Tiers(Struct, frozen=True, omit_defaults=True):
    """Further lines by the sum of the quantities named in `by`; starts ascend."""

    by: tuple[str, ...]
    tiers: tuple[Tier, ...]


class Rates(Struct, frozen=True, omit_defaults=True, dict=True):
    """The charges of one time: a fee for each request, lines, and the least that a request costs, in micros."""

    lines: tuple[Line, ...] = ()
    base: int = 0
    minimum: int = 0
    tiers: Tiers | None = None

    @cached_property
    def terms(self) -> Terms | None:
        """Its own lines, summed up."""
        return terms_of(self.lines)

    def every_line(self) -> Iterator[Line]:
        """Go through the lines, and through those of every tier."""
        yield from self.lines
        for tier in self.tiers.tiers if self.tiers is not None else ():
            yield from tier.lines


class Window(Struct, frozen=True, omit_defaults=True):
    """Other rates on some weekdays (0 is Monday), from a minute of the day until before another."""

    days: tuple[int, ...]
    start_minute: int
    end_minute: int
    rates: Rates


class Windows(Struct, frozen=True, omit_defaults=True):
    """Windows in the time of a named zone; none overlaps another."""

    zone: str
    windows: tuple[Window, ...]


class Period(Struct, frozen=True, omit_defaults=True):
    """How long and in which zone a merchant's units are counted together."""

    unit: PeriodUnit
    zone: str
    refunds_give_back: bool = False


class Rule(Struct, frozen=True, dict=True, omit_defaults=True):
    """A whole price version."""

    rates: Rates
    windows: Windows | None = None
    period: Period | None = None
    step: int = 1
    """What a cost is a multiple of, in micros."""
    direction: Direction = Direction.UP

    @cached_property
    def every_rates(self) -> tuple[Rates, ...]:
        """The rates of the rule, and those of its windows."""
        return (self.rates, *(window.rates for window in (self.windows.windows if self.windows is not None else ())))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The quantities that a charge may name: the names of all lines, in the order in which they stand first."""
        return tuple(dict.fromkeys(line.name for rates in self.every_rates for line in rates.every_line()))

    @property
    def is_timed(self) -> bool:
        """Whether what a request costs depends on when it was made."""
        return self.windows is not None or self.period is not None
