"""Exact prices as an amount for a number of units, and rules with a markup."""

from fractions import Fraction
from math import lcm
from typing import Final

from msgspec.structs import replace

from farebox.core.money import AMOUNT_MICROS_MAX
from farebox.core.prices import REQUESTS
from farebox.core.pricing.rules import PER_MAX, Line, Rates, Rule, Step, Tier, Tiers, Windows
from farebox.service.catalogue.listed import Inexpressible, Offer, Reason

_TEN: Final = 10


def amount_per(what: str, micros: Fraction, per: int) -> tuple[int, int]:
    """Write a price of one unit as whole micros for `per` units, or for as many times more as that takes.

    Ten times, a hundred times ... if one of those will do, so that decimals stay decimals; else the smallest multiple.

    >>> amount_per("input", Fraction(3, 20), 1_000_000)
    (150000, 1000000)
    >>> amount_per("second", Fraction(1700, 3), 1)
    (1700, 3)

    Raises:
        Inexpressible: there is no such number of units up to PER_MAX, or the amount is too large.
    """
    units = per
    while (micros * units).denominator != 1 and units * _TEN <= PER_MAX:
        units *= _TEN
    if (micros * units).denominator != 1:
        units = lcm(per, micros.denominator)
        if units > PER_MAX:
            units = micros.denominator
    if units > PER_MAX:
        raise Inexpressible(Reason.TOO_FINE, f"{what} would be whole micros for no fewer than {units:,} units")
    amount = int(micros * units)
    if amount > AMOUNT_MICROS_MAX:
        # As a last resort the smallest numbers that there are.
        amount, units = micros.numerator, micros.denominator
    if amount > AMOUNT_MICROS_MAX:
        raise Inexpressible(Reason.TOO_FINE, f"{what} would be an amount above the largest for {units:,} units")
    return amount, units


def marked_up(offer: Offer, factor: Fraction) -> Offer:
    """Multiply every amount of an offer, exactly: where whole micros don't do, by an amount for more units.

    Raises:
        Inexpressible: an amount that is for one request, or for very many units, would not be whole micros.
    """
    if factor == 1:
        return offer
    if offer.unit_price is not None:
        micros = offer.unit_price * factor
        if micros.denominator == 1:
            return Offer(_whole("the unit price", offer.unit_price, factor))
        amount, per = amount_per("the unit price", micros, 1)
        return Offer(rule=Rule(Rates((Line(REQUESTS, amount, per),))))
    return offer if offer.rule is None else Offer(rule=_marked_up_rule(offer.rule, factor))


def _marked_up_rule(rule: Rule, factor: Fraction) -> Rule:
    windows = rule.windows
    if windows is not None:
        windows = Windows(
            windows.zone,
            tuple(replace(window, rates=_marked_up_rates(window.rates, factor)) for window in windows.windows),
        )
    return Rule(_marked_up_rates(rule.rates, factor), windows, rule.period, rule.step, rule.direction)


def _marked_up_rates(rates: Rates, factor: Fraction) -> Rates:
    tiers = rates.tiers
    if tiers is not None:
        tiers = Tiers(tiers.by, tuple(Tier(tier.start, _marked_up_lines(tier.lines, factor)) for tier in tiers.tiers))
    return Rates(
        _marked_up_lines(rates.lines, factor),
        _whole("the base", rates.base, factor),
        _whole("the minimum", rates.minimum, factor),
        tiers,
    )


def _marked_up_lines(lines: tuple[Line, ...], factor: Fraction) -> tuple[Line, ...]:
    return tuple(_marked_up_line(line, factor) for line in lines)


def _marked_up_line(line: Line, factor: Fraction) -> Line:
    steps = tuple(Step(step.start, *_times(line.name, step.amount, step.per, factor)) for step in line.steps)
    amount, per = _times(line.name, line.amount, line.per, factor)
    return replace(line, amount=amount, per=per, steps=steps)


def _times(name: str, amount: int, per: int, factor: Fraction) -> tuple[int, int]:
    if amount == 0:
        return 0, per
    return amount_per(name, amount * factor / per, per)


def _whole(what: str, amount: int, factor: Fraction) -> int:
    micros = amount * factor
    if micros.denominator != 1:
        raise Inexpressible(Reason.TOO_FINE, f"{what} with the markup would not be whole micros")
    if micros > AMOUNT_MICROS_MAX:
        raise Inexpressible(Reason.TOO_FINE, f"{what} with the markup would be above the largest amount")
    return int(micros)
