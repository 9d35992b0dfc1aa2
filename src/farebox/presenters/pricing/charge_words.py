"""Why a transfer has its amount, in words for people: what each component came to, and how the sum was rounded."""

from collections.abc import Iterator, Mapping
from datetime import tzinfo
from typing import Final

from msgspec import Struct

from farebox.core.accounts import Kind
from farebox.core.outcomes import Outcome
from farebox.core.prices import REQUESTS, Price
from farebox.core.pricing.costs import Cost, charged_units
from farebox.core.pricing.priced import Priced, read_priced
from farebox.core.pricing.rules import Direction, Line, PeriodUnit, Rates, Rule, Step
from farebox.core.quotes import requoted
from farebox.core.transfers import Transfer
from farebox.presenters.pricing.cost_words import exact_amount
from farebox.presenters.pricing.price_words import FREE, above, window_words
from farebox.presenters.times import time_words
from farebox.service.languages import ENGLISH, Language, gettext_noop

_TOLD_MICROS: Final = 1_000_000
"""A request that was priced as of so long before it was charged is told as such."""

_ROUNDED: Final = {
    Direction.UP: gettext_noop("rounded up once"),
    Direction.HALF_UP: gettext_noop("rounded half up"),
    Direction.DOWN: gettext_noop("rounded down"),
}
_INCLUDED: Final = {
    None: gettext_noop("%(counted)s, included"),
    PeriodUnit.DAY: gettext_noop("%(counted)s, included each day"),
    PeriodUnit.MONTH: gettext_noop("%(counted)s, included each month"),
}
_BEFORE: Final = {
    PeriodUnit.DAY: gettext_noop("%(counted)s had been counted before in that day (%(zone)s)"),
    PeriodUnit.MONTH: gettext_noop("%(counted)s had been counted before in that month (%(zone)s)"),
}


class ChargePart(Struct, frozen=True):
    """One component: what was counted and at which rate, and what that comes to, exactly."""

    text: str
    amount: str


class ChargeWords(Struct, frozen=True):
    """A ruled amount, explained: its components, their sum, what the sum became, and what applied."""

    parts: tuple[ChargePart, ...]
    exact: str
    rounding: str
    amount: str
    notes: tuple[str, ...]


def quantities_words(quantities: Mapping[str, int], spoken: Language = ENGLISH) -> str:
    """List what is counted beside requests, by name: 1,200 input, 350 output."""
    counted = [(name, number) for name, number in quantities.items() if number and name != REQUESTS]
    return ", ".join(f"{spoken.number(number)} {name}" for name, number in counted)


def priced_of(transfer: Transfer, refers_to: Transfer | None) -> Transfer | None:
    """Choose what explains a transfer's amount: itself; or, of a refund and the like, what it refers to; if any."""
    return next((known for known in (transfer, refers_to) if known is not None and known.pricing is not None), None)


def charge_words(
    price: Price, transfer: Transfer, currency: str, zone: tzinfo | None, spoken: Language = ENGLISH
) -> ChargeWords | None:
    """Explain the amount of a transfer that was priced by a rule; None if it was not, or can't be priced again.

    Args:
        price: the version that the transfer names.
        transfer: the charge, hold or capture.
        currency: the merchant's.
        zone: the reader's, for times.
        spoken: the reader's language.
    """
    rule = price.rule
    if rule is None or transfer.pricing is None:
        return None
    quote = requoted(price, transfer)
    if isinstance(quote, Outcome) or quote.cost is None:
        return None
    priced, cost = read_priced(transfer.pricing), quote.cost
    rates = rule.every_rates[priced.window or 0]
    parts = [part for line in cost.taken for part in _line_parts(line, priced, rule, currency, spoken)]
    if rates.base:
        parts.append(ChargePart(spoken.gettext("for each request"), spoken.amount(rates.base, currency)))
    if not parts:
        parts.append(ChargePart(spoken.gettext("nothing was counted"), spoken.amount(0, currency)))
    return ChargeWords(
        tuple(parts),
        exact_amount(cost.numerator, cost.denominator, currency, spoken),
        _rounding(rule, cost, currency, spoken),
        spoken.amount(cost.amount, currency),
        (
            *_above_notes(transfer, quote.amount, cost, priced, currency, spoken),
            *_rates_notes(rule, rates, cost, priced, currency, spoken),
            *_time_notes(transfer, priced, zone, spoken),
        ),
    )


def _line_parts(line: Line, priced: Priced, rule: Rule, currency: str, spoken: Language) -> Iterator[ChargePart]:
    """Tell what a line's units came to, a part for each rate that they fell in."""
    quantity = priced.total.get(line.name, 0)
    units = charged_units(line, quantity)
    before = priced.before.get(line.name, 0)
    for number, (count, step) in enumerate(_split(line, units, before)):
        text = f"{spoken.number(count)} {line.name}"
        if number == 0 and units != quantity:
            text = _counted_as(line.name, quantity, units, count, spoken)
        elif number:
            text = spoken.ngettext("%(count)s more", "%(count)s more", count)
        if step is None:
            included = _INCLUDED[None if rule.period is None else rule.period.unit]
            yield ChargePart(spoken.gettext(included, counted=text), spoken.amount(0, currency))
        elif not step.amount:
            yield ChargePart(f"{text}, {spoken.gettext(FREE)}", spoken.amount(0, currency))
        else:
            price = spoken.amount(step.amount, currency)
            told = (
                spoken.gettext("%(counted)s at %(price)s each", counted=text, price=price)
                if step.per == 1
                else spoken.gettext(
                    "%(counted)s at %(price)s per %(count)s", counted=text, price=price, count=spoken.number(step.per)
                )
            )
            yield ChargePart(told, exact_amount(count * step.amount, step.per, currency, spoken))


def _counted_as(name: str, quantity: int, units: int, count: int, spoken: Language) -> str:
    """Say how many units a quantity was counted as, and how many of them fell in one rate."""
    told = {"quantity": f"{spoken.number(quantity)} {name}", "units": spoken.number(units)}
    if count == units:
        return spoken.gettext("%(quantity)s, counted as %(units)s", **told)
    return spoken.gettext("%(quantity)s, counted as %(units)s: %(count)s of them", **told, count=spoken.number(count))


def _split(line: Line, units: int, before: int) -> Iterator[tuple[int, Step | None]]:
    """Part the units that go on after `before` into those that are included, with None, and those of each step."""
    last = before + units
    included = min(line.included, last) - before
    if included > 0:
        yield included, None
    steps = line.steps or (Step(1, line.amount, line.per),)
    for step, following in zip(steps, (*steps[1:], None), strict=True):
        start = max(before, line.included, step.start - 1)
        end = last if following is None else min(last, following.start - 1)
        if end > start:
            yield end - start, step


def _rounding(rule: Rule, cost: Cost, currency: str, spoken: Language) -> str:
    if cost.amount * cost.denominator == cost.numerator:
        return spoken.gettext("exactly")
    words = spoken.gettext(_ROUNDED[rule.direction])
    if rule.step == 1:
        return words
    step = spoken.amount(rule.step, currency)
    return spoken.gettext("%(rounded)s, to a multiple of %(amount)s", rounded=words, amount=step)


def _above_notes(
    transfer: Transfer, amount: int, cost: Cost, priced: Priced, currency: str, spoken: Language
) -> Iterator[str]:
    """Tell what of the cost the transfer itself took, where that is not all of it."""
    if priced.held is not None:
        held, more = (spoken.money(micros, currency) for micros in (cost.amount - amount, amount))
        yield spoken.gettext(
            "%(held)s of it was held and is captured by itself; %(more)s is above the hold", held=held, more=more
        )
    if transfer.uncollected is not None:
        missing = spoken.money(transfer.uncollected, currency)
        yield spoken.gettext("%(amount)s of it was not there to be taken", amount=missing)


def _rates_notes(
    rule: Rule, rates: Rates, cost: Cost, priced: Priced, currency: str, spoken: Language
) -> Iterator[str]:
    """Tell which of a rule's rates applied, and why."""
    if priced.window is not None and rule.windows is not None:
        window = window_words(rule.windows, priced.window, spoken)
        yield spoken.gettext("at the rates of %(window)s", window=window)
    if cost.tier is not None and rates.tiers is not None:
        tier = above(rates.tiers.tiers[cost.tier].start, rates.tiers, spoken)
        yield spoken.gettext("at the rates of requests %(tier)s", tier=tier)
    if rule.period is not None and priced.before:
        counted = spoken.listed([f"{spoken.number(number)} {name}" for name, number in priced.before.items()])
        yield spoken.gettext(_BEFORE[rule.period.unit], counted=counted, zone=rule.period.zone)
    if rates.minimum and rates.minimum * cost.denominator == cost.numerator:
        yield spoken.gettext("a request costs at least %(amount)s", amount=spoken.amount(rates.minimum, currency))


def _time_notes(transfer: Transfer, priced: Priced, zone: tzinfo | None, spoken: Language) -> Iterator[str]:
    """Tell by which time rates and counts were chosen, if that is not when the transfer was committed."""
    if priced.at is None or abs(transfer.committed_at - priced.at) < _TOLD_MICROS:
        return
    time = time_words(priced.at, zone, spoken)
    if transfer.kind == Kind.CAPTURE or priced.held is not None:
        yield spoken.gettext("priced as of %(time)s, when it was held", time=time)
    else:
        yield spoken.gettext("priced as of %(time)s, as the service named it", time=time)
