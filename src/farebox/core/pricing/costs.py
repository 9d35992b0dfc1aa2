"""What a request costs: one fraction over all its lines, rounded once.

Integers alone, so that the cost is exact: no quotient is formed before the end (Knuth, The Art of Computer
Programming, vol. 2, section 4.5.1).
"""

from collections.abc import Mapping
from functools import cached_property
from math import lcm
from typing import Final

from msgspec import Struct

from farebox.core.pricing.rules import PRODUCT_MAX, Direction, Line, Rates, Rule, Step, Tier, Tiers

_UP: Final = Direction.UP
_HALF_UP: Final = Direction.HALF_UP


class CostTooLarge(ValueError):
    """A line's amount x quantity is above PRODUCT_MAX."""


class LineCost(Struct, frozen=True):
    """What a line came to: the units that it charged, and the fraction of micros that they cost."""

    name: str
    units: int
    numerator: int
    denominator: int


class Cost(Struct, frozen=True, dict=True):
    """What a request costs, in micros, and how that came about."""

    amount: int
    numerator: int
    denominator: int
    taken: tuple[Line, ...]
    """The lines that it took."""
    quantities: Mapping[str, int]
    counts: Mapping[str, int]
    tier: int | None = None
    """The tier that applied, by its place; None if it took the rates' own lines."""

    @cached_property
    def lines(self) -> tuple[LineCost, ...]:
        """What each line came to."""
        return _line_costs(self.taken, self.quantities, self.counts)

    @property
    def units(self) -> Mapping[str, int]:
        """The units that count towards the period, by line."""
        return {line.name: charged_units(line, self.quantities.get(line.name, 0)) for line in self.taken}


def cost(rule: Rule, rates: Rates, quantities: Mapping[str, int], counts: Mapping[str, int]) -> Cost:
    """Tell what a request of these quantities costs.

    Args:
        rule: the price version, for its rounding.
        rates: those of its rates that apply at the time.
        quantities: by line; a line that is not named has none.
        counts: the units of the period that came before, by line.

    Raises:
        CostTooLarge: a line goes beyond what 64 bits hold.
    """
    tier, source = (None, rates) if rates.tiers is None else _reached(rates, rates.tiers, quantities)
    terms = source.terms
    if terms is not None:
        denominator, numerator = terms.denominator, 0
        for name, multiplier, quantity_max in terms.terms:
            quantity = quantities.get(name, 0)
            if quantity > quantity_max:
                raise CostTooLarge(name)
            numerator += quantity * multiplier
    else:
        parts = _line_costs(source.lines, quantities, counts)
        denominator = lcm(*(part.denominator for part in parts))
        numerator = sum(part.numerator * (denominator // part.denominator) for part in parts)
    if rates.base or rates.minimum:
        numerator = max(numerator + rates.base * denominator, rates.minimum * denominator)
    amount = round_to_step(numerator, denominator, rule.step, rule.direction)
    return Cost(amount, numerator, denominator, source.lines, quantities, counts, tier)


def round_to_step(numerator: int, denominator: int, step: int, direction: Direction) -> int:
    """Round a fraction of micros, not below zero, to a multiple of `step`.

    >>> [round_to_step(5, 2, 1, direction) for direction in (Direction.UP, Direction.HALF_UP, Direction.DOWN)]
    [3, 3, 2]
    """
    divisor = denominator * step
    if direction is _UP:
        return -(-numerator // divisor) * step
    if direction is _HALF_UP:
        return (2 * numerator + divisor) // (2 * divisor) * step
    return numerator // divisor * step


def charged_units(line: Line, quantity: int) -> int:
    """Tell how many units a line charges for a quantity: at least so many, and in whole blocks; none for none."""
    if quantity == 0:
        return 0
    return -(-max(quantity, line.at_least) // line.block) * line.block


def _reached(rates: Rates, tiers: Tiers, quantities: Mapping[str, int]) -> tuple[int | None, Rates | Tier]:
    """Find the highest tier that the request reaches; None, and the rates themselves, if it reaches none."""
    place: int | None = None
    found: Rates | Tier = rates
    measure = sum(quantities.get(name, 0) for name in tiers.by)
    for number, candidate in enumerate(tiers.tiers):
        if measure < candidate.start:
            break
        place, found = number, candidate
    return place, found


def _line_costs(
    lines: tuple[Line, ...], quantities: Mapping[str, int], counts: Mapping[str, int]
) -> tuple[LineCost, ...]:
    return tuple(_line_cost(line, quantities.get(line.name, 0), counts.get(line.name, 0)) for line in lines)


def _line_cost(line: Line, quantity: int, before: int) -> LineCost:
    units = charged_units(line, quantity)
    steps = line.steps or (Step(1, line.amount, line.per),)
    first, last = max(before, line.included) + 1, before + units
    denominator = lcm(*(step.per for step in steps))
    numerator = 0
    for place, step in enumerate(steps):
        start = max(first, step.start)
        end = min(last, steps[place + 1].start - 1) if place + 1 < len(steps) else last
        if end >= start:
            product = (end - start + 1) * step.amount
            if product > PRODUCT_MAX:
                raise CostTooLarge(line.name)
            numerator += product * (denominator // step.per)
    return LineCost(line.name, units, numerator, denominator)
