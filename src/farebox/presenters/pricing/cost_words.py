"""What a request comes to by a rule, in words for people: each line's share, the exact sum, and the rounding."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from farebox.core.currencies import decimals_of
from farebox.core.money import MICROS_PER_UNIT
from farebox.core.pricing.costs import Cost
from farebox.core.pricing.rules import Rates, Rule
from farebox.presenters.pricing.price_words import above, rounded_to
from farebox.service.languages import ENGLISH, Language

DECIMALS_MAX: Final = 15
"""So many decimals of an exact amount are written; an ellipsis stands for further ones."""


class CostLine(Struct, frozen=True):
    """One line's share: what was named, the units that this comes to, and what they cost exactly."""

    name: str
    quantity: int
    units: int
    amount: str


class CostWords(Struct, frozen=True):
    """A cost, explained."""

    amount: str
    lines: tuple[CostLine, ...]
    notes: tuple[str, ...]


def cost_words(
    rule: Rule, rates: Rates, cost: Cost, quantities: Mapping[str, int], currency: str, spoken: Language = ENGLISH
) -> CostWords:
    """Explain what quantities come to by these rates of a rule; a default price's amounts are in no currency: ""."""
    lines = tuple(
        CostLine(
            line.name,
            quantities.get(line.name, 0),
            line.units,
            exact_amount(line.numerator, line.denominator, currency, spoken),
        )
        for line in cost.lines
    )
    notes = []
    if cost.tier is not None and rates.tiers is not None:
        notes.append(above(rates.tiers.tiers[cost.tier].start, rates.tiers, spoken))
    if rates.base:
        notes.append(spoken.gettext("%(amount)s for the request", amount=spoken.amount(rates.base, currency)))
    if rates.minimum and rates.minimum * cost.denominator == cost.numerator:
        least = spoken.amount(rates.minimum, currency)
        notes.append(spoken.gettext("%(amount)s is the least that a request costs", amount=least))
    if cost.amount * cost.denominator != cost.numerator:
        exact = exact_amount(cost.numerator, cost.denominator, currency, spoken)
        rounded = rounded_to(rule.direction, spoken.amount(cost.amount, currency), spoken)
        notes.append(spoken.gettext("%(amount)s exactly, %(rounded)s", amount=exact, rounded=rounded))
    return CostWords(spoken.amount(cost.amount, currency), lines, tuple(notes))


def exact_amount(numerator: int, denominator: int, currency: str, spoken: Language = ENGLISH) -> str:
    """Write a fraction of micros as an amount of money: exactly, unless it has too many decimals.

    >>> exact_amount(465, 100, "USD"), exact_amount(1, 3, "USD"), exact_amount(5_000_000, 1, "JPY")
    ('0.00000465', '0.000000333333333…', '5')
    """
    units, rest = divmod(numerator, denominator * MICROS_PER_UNIT)
    digits, more = divmod(rest * 10**DECIMALS_MAX, denominator * MICROS_PER_UNIT)
    decimals = f"{digits:0{DECIMALS_MAX}d}"
    if not more:
        decimals = decimals.rstrip("0").ljust(decimals_of(currency), "0")
    return spoken.digits(f"{units:,}{'.' if decimals else ''}{decimals}{'…' if more else ''}")
