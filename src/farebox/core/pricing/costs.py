"""What a request costs: one fraction over all its lines, rounded once.

Integers alone, so that the cost is exact: no quotient is formed before the end (Knuth, The Art of Computer
Programming, vol. 2, section 4.5.1).
"""

from collections.abc import Mapping
from math import lcm

from msgspec import Struct

from farebox.core.pricing.rules import PRODUCT_MAX, Direction, Line, Rates, Rule, Step


class CostTooLarge(ValueError):
    """A line's amount x quantity is above PRODUCT_MAX."""


class LineCost(Struct, frozen=True):
    """What a line came to: the units that it charged, and the fraction of micros that they cost."""

    name: str
    units: int
    numerator: int
    denominator: int


class Cost(Struct, frozen=True):
    """What a request costs, in micros, and how that came about."""

    amount: int
    lines: tuple[LineCost, ...]
    numerator: int
    denominator: int
    tier: int | None = None
    """The tier that applied, by its place; None if it took the rates' own lines."""
    units: Mapping[str, int] = {}
    """The units that count towards the period, by line."""


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
    tier, lines = _lines(rates, quantities)
    parts = tuple(_line_cost(line, quantities.get(line.name, 0), counts.get(line.name, 0)) for line in lines)
    denominator = lcm(*(part.denominator for part in parts))
    numerator = rates.base * denominator + sum(part.numerator * (denominator // part.denominator) for part in parts)
    numerator = max(numerator, rates.minimum * denominator)
    return Cost(
        round_to_step(numerator, denominator, rule.step, rule.direction),
        parts,
        numerator,
        denominator,
        tier,
        {part.name: part.units for part in parts},
    )


def round_to_step(numerator: int, denominator: int, step: int, direction: Direction) -> int:
    """Round a fraction of micros, not below zero, to a multiple of `step`.

    >>> [round_to_step(5, 2, 1, direction) for direction in (Direction.UP, Direction.HALF_UP, Direction.DOWN)]
    [3, 3, 2]
    """
    divisor = denominator * step
    match direction:
        case Direction.UP:
            return -(-numerator // divisor) * step
        case Direction.HALF_UP:
            return (2 * numerator + divisor) // (2 * divisor) * step
        case Direction.DOWN:
            return numerator // divisor * step


def charged_units(line: Line, quantity: int) -> int:
    """Tell how many units a line charges for a quantity: at least so many, and in whole blocks; none for none."""
    if quantity == 0:
        return 0
    return -(-max(quantity, line.at_least) // line.block) * line.block


def _lines(rates: Rates, quantities: Mapping[str, int]) -> tuple[int | None, tuple[Line, ...]]:
    """Choose the lines of the highest tier that the request reaches."""
    tier, lines = None, rates.lines
    if rates.tiers is not None:
        measure = sum(quantities.get(name, 0) for name in rates.tiers.by)
        for place, candidate in enumerate(rates.tiers.tiers):
            if measure < candidate.start:
                break
            tier, lines = place, candidate.lines
    return tier, lines


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
