"""The lines of priced components: names that are the same whichever list they come from, and their rules."""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Final

from msgspec import Struct

from farebox.core.pricing.rules import (
    LINES_MAX,
    STEPS_MAX,
    WINDOWS_MAX,
    Line,
    Rates,
    Rule,
    Tier,
    Tiers,
    Window,
    Windows,
)
from farebox.service import inputs
from farebox.service.catalogue.amounts import amount_per
from farebox.service.catalogue.decimals import Number, read_number
from farebox.service.catalogue.listed import Inexpressible, Reason, printable
from farebox.service.errors import InvalidInput

_read_number = lru_cache(maxsize=16_384)(read_number)

MILLION: Final = 1_000_000


class Component(Struct, frozen=True):
    """A thing that one line counts: its name, and how many units its price is usually told for."""

    name: str
    per: int = 1
    is_token: bool = False
    is_input: bool = False
    """Whether it is part of the request's input tokens, whose number decides about tiers."""
    at_least: int = 0


Prices = Mapping[Component, Fraction]
"""The price of one unit of each component, in micros."""


class NumberReader:
    """Reads the numbers of one list, and remembers what was read otherwise than it is written."""

    def __init__(self, *, reads_fractions: bool) -> None:
        """Read rests as fractions, or refuse them."""
        self._reads_fractions = reads_fractions

    def price(self, where: str, value: object, remarks: list[str]) -> Fraction:
        """Read a price of one unit, in micros.

        Raises:
            Inexpressible: it is no number, below zero, or a rest that is not to be read as a fraction.
        """
        number = _read_number(value) if isinstance(value, str) else None
        if number is None:
            raise Inexpressible(Reason.MALFORMED, f"{where} is {str(value)[:40]!r}, which is no price")
        if number.fraction is None:
            return number.micros
        if not self._reads_fractions:
            raise Inexpressible(Reason.REST, f"{where} {number.text}, which is {_quotient(number)}")
        remarks.append(printable(f"{where} {number.text} is read as {_quotient(number)}"))
        return number.fraction


def _quotient(number: Number) -> str:
    units = (number.fraction or number.micros) / MILLION
    return f"{units.numerator}/{units.denominator}"


def priced_lines(prices: Prices) -> tuple[Line, ...]:
    """Make a line of each component's price.

    Raises:
        Inexpressible: a price is too fine, or there are too many, or what is counted has a name that no line has.
    """
    if len(prices) > LINES_MAX:
        raise Inexpressible(Reason.TOO_LONG, f"{len(prices)} lines")
    for component in prices:
        try:
            inputs.line_name("line", component.name)
        except InvalidInput as error:
            raise Inexpressible(Reason.UNKNOWN_MEMBER, component.name) from error
    if len({component.name for component in prices}) < len(prices):
        raise Inexpressible(Reason.TWICE, "two members price what is counted under one name")
    return tuple(
        Line(component.name, *amount_per(component.name, micros, component.per), at_least=component.at_least)
        for component, micros in prices.items()
    )


def priced_rates(prices: Prices, base: Fraction, tiers: Sequence[tuple[int, Prices]], by: Iterable[Component]) -> Rates:
    """Make rates of prices, a fee for each request, and further prices by the number of input tokens.

    Raises:
        Inexpressible: a price is too fine, or there are too many lines or tiers, or nothing to tell tiers by.
    """
    if base.denominator != 1:
        raise Inexpressible(Reason.TOO_FINE, "the fee of a request would not be whole micros")
    lines = priced_lines(prices)
    if not tiers:
        return Rates(lines, int(base))
    names = tuple(component.name for component in by)
    if not names:
        raise Inexpressible(Reason.TIERS, "tiers by input tokens, which have no price")
    if len(tiers) > STEPS_MAX:
        raise Inexpressible(Reason.TOO_LONG, f"{len(tiers)} tiers")
    return Rates(lines, int(base), 0, Tiers(names, tuple(Tier(start, priced_lines(dearer)) for start, dearer in tiers)))


def priced_rule(rates: Rates, zone: str, windows: Sequence[Window]) -> Rule:
    """Make a rule of rates, and of other rates at some hours.

    Raises:
        Inexpressible: there are too many windows.
    """
    if not rates.lines and not rates.base:
        raise Inexpressible(Reason.NO_PRICE, "none is named")
    if len(windows) > WINDOWS_MAX:
        raise Inexpressible(Reason.TOO_LONG, f"{len(windows)} windows")
    return Rule(rates, Windows(zone, tuple(windows)) if windows else None)
