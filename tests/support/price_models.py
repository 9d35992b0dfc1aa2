"""What a request costs, told twice more: written from what a rule means, and not from `core.pricing`.

One model goes with fractions from unit to unit, or from run to run where units are many. The other works out with
decimals what the first so many units cost, once for those up to a request and once for those up to and with it.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor
from typing import Final

from farebox.core.pricing.rules import Direction, Line, Rates, Rule

PRODUCT_MAX: Final = 9 * 10**18
_UNITS_MAX: Final = 500
_SPARE_DIGITS: Final = 80


@dataclass(frozen=True)
class Modelled:
    """What a model tells of a request."""

    amount: int
    exact: Fraction
    tier: int | None
    """By its number, from 1."""
    units: dict[str, int]
    lines: dict[str, Fraction]
    is_too_large: bool


# Fractions, from unit to unit.


def fraction_cost(rule: Rule, rates: Rates, quantities: Mapping[str, int], counts: Mapping[str, int]) -> Modelled:
    number, chosen = _chosen_lines(rates, quantities)
    units = {line.name: _units(line, quantities.get(line.name, 0)) for line in chosen}
    costs, is_too_large = {}, False
    for line in chosen:
        before = counts.get(line.name, 0)
        last = before + units[line.name]
        runs = _runs(line, before, last)
        by_units = runs if units[line.name] > _UNITS_MAX else [(number, 1) for number in range(before + 1, last + 1)]
        costs[line.name] = sum((length * _unit_price(line, first) for first, length in by_units), Fraction())
        is_too_large |= any(length * _unit_amount(line, first) > PRODUCT_MAX for first, length in runs)
    exact = max(sum(costs.values(), Fraction(rates.base)), Fraction(rates.minimum))
    rounded = {
        Direction.UP: ceil,
        Direction.DOWN: floor,
        Direction.HALF_UP: lambda steps: floor(steps + Fraction(1, 2)),
    }[rule.direction](exact / rule.step)
    return Modelled(rounded * rule.step, exact, number, units, costs, is_too_large)


def _chosen_lines(rates: Rates, quantities: Mapping[str, int]) -> tuple[int | None, tuple[Line, ...]]:
    if rates.tiers is None:
        return None, rates.lines
    measure = sum(quantities.get(name, 0) for name in rates.tiers.by)
    reached = [number for number, tier in enumerate(rates.tiers.tiers, 1) if tier.start <= measure]
    return (reached[-1], rates.tiers.tiers[reached[-1] - 1].lines) if reached else (None, rates.lines)


def _units(line: Line, quantity: int) -> int:
    if quantity == 0:
        return 0
    units = quantity if quantity > line.at_least else line.at_least
    blocks, rest = divmod(units, line.block)
    return (blocks + 1) * line.block if rest else units


def _unit_amount(line: Line, number: int) -> int:
    """Tell the amount that the unit of a number is charged by, from 1; what it is for is another matter."""
    if number <= line.included:
        return 0
    if not line.steps:
        return line.amount
    reached = [step.amount for step in line.steps if step.start <= number]
    return reached[-1] if reached else 0


def _unit_price(line: Line, number: int) -> Fraction:
    reached = [step.per for step in line.steps if step.start <= number] or [line.per]
    return Fraction(_unit_amount(line, number), reached[-1])


def _runs(line: Line, before: int, last: int) -> list[tuple[int, int]]:
    """List the units after `before` in runs of one price: the number of the first unit, and how many they are."""
    borders = sorted({before + 1, line.included + 1, last + 1, *(step.start for step in line.steps)})
    inside = [border for border in borders if before < border <= last + 1]
    return [(first, end - first) for first, end in pairwise(inside)]


# Decimals, by what the first so many units cost.


def decimal_cost(rule: Rule, rates: Rates, quantities: Mapping[str, int], counts: Mapping[str, int]) -> int:
    lines = rates.lines
    if rates.tiers is not None:
        measure = sum(quantities[name] for name in rates.tiers.by if name in quantities)
        lines = [rates.lines, *(tier.lines for tier in rates.tiers.tiers)][
            bisect_right([tier.start for tier in rates.tiers.tiers], measure)
        ]
    # No two sums of such fractions are nearer to one another than this, if they are not the same.
    digits = sum(len(str(per)) for line in lines for per in (line.per, *(step.per for step in line.steps)))
    context = Context(prec=2 * digits + 2 * _SPARE_DIGITS, rounding=ROUND_HALF_EVEN)
    total = Decimal(rates.base)
    for line in lines:
        quantity = quantities.get(line.name, 0)
        if quantity:
            most = max(Decimal(quantity), Decimal(line.at_least))
            blocks = context.divide_int(context.subtract(context.add(most, Decimal(line.block)), 1), line.block)
            before = Decimal(counts.get(line.name, 0))
            last = context.add(before, context.multiply(blocks, Decimal(line.block)))
            total = context.add(total, context.subtract(_first(line, last, context), _first(line, before, context)))
    total = max(total, Decimal(rates.minimum))
    grain = Decimal(1).scaleb(-digits - _SPARE_DIGITS)
    steps = context.divide(context.quantize(total, grain), Decimal(rule.step))
    rounding = {Direction.UP: ROUND_CEILING, Direction.DOWN: ROUND_FLOOR, Direction.HALF_UP: ROUND_HALF_UP}
    return int(steps.quantize(Decimal(1), rounding[rule.direction], context)) * rule.step


def _first(line: Line, units: Decimal, context: Context) -> Decimal:
    """Tell what the first so many units of a line cost."""
    prices = [(step.start, step.amount, step.per) for step in line.steps] or [(1, line.amount, line.per)]
    ends = [start - 1 for start, _, _ in prices[1:]]
    cost = Decimal(0)
    for (start, amount, per), end in zip(prices, [*map(Decimal, ends), units], strict=True):
        charged = min(units, end) - max(start - 1, line.included)
        if charged > 0:
            cost = context.add(cost, context.divide(context.multiply(charged, Decimal(amount)), Decimal(per)))
    return cost
