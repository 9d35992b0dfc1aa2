"""Why a transfer has its amount, in words for people: what each component came to, and how the sum was rounded."""

from collections.abc import Iterator, Mapping
from datetime import tzinfo
from typing import Final

from msgspec import Struct

from farebox.core.accounts import Kind
from farebox.core.currencies import format_money, format_money_with_code
from farebox.core.outcomes import Outcome
from farebox.core.prices import REQUESTS, Price
from farebox.core.pricing.costs import Cost, charged_units
from farebox.core.pricing.priced import Priced, read_priced
from farebox.core.pricing.rules import Direction, Line, Rates, Rule, Step
from farebox.core.quotes import requoted
from farebox.core.transfers import Transfer
from farebox.presenters.cost_words import exact_amount
from farebox.presenters.price_words import FREE, above, window_words
from farebox.presenters.times import time_words
from farebox.service.plain_values import listed

_TOLD_MICROS: Final = 1_000_000
"""A request that was priced as of so long before it was charged is told as such."""

_ROUNDED: Final = {
    Direction.UP: "rounded up once",
    Direction.HALF_UP: "rounded half up",
    Direction.DOWN: "rounded down",
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


def quantities_words(quantities: Mapping[str, int]) -> str:
    """List what is counted beside requests, by name: 1,200 input, 350 output."""
    return ", ".join(f"{number:,} {name}" for name, number in quantities.items() if number and name != REQUESTS)


def priced_of(transfer: Transfer, refers_to: Transfer | None) -> Transfer | None:
    """Choose what explains a transfer's amount: itself; or, of a refund and the like, what it refers to; if any."""
    return next((known for known in (transfer, refers_to) if known is not None and known.pricing is not None), None)


def charge_words(price: Price, transfer: Transfer, currency: str, zone: tzinfo | None) -> ChargeWords | None:
    """Explain the amount of a transfer that was priced by a rule; None if it was not, or can't be priced again.

    Args:
        price: the version that the transfer names.
        transfer: the charge, hold or capture.
        currency: the merchant's.
        zone: the reader's, for times.
    """
    rule = price.rule
    if rule is None or transfer.pricing is None:
        return None
    quote = requoted(price, transfer)
    if isinstance(quote, Outcome) or quote.cost is None:
        return None
    priced, cost = read_priced(transfer.pricing), quote.cost
    rates = rule.every_rates[priced.window or 0]
    parts = [part for line in cost.taken for part in _line_parts(line, priced, rule, currency)]
    if rates.base:
        parts.append(ChargePart("for each request", format_money(rates.base, currency)))
    if not parts:
        parts.append(ChargePart("nothing was counted", format_money(0, currency)))
    return ChargeWords(
        tuple(parts),
        exact_amount(cost.numerator, cost.denominator, currency),
        _rounding(rule, cost, currency),
        format_money(cost.amount, currency),
        (
            *_above_notes(transfer, quote.amount, cost, priced, currency),
            *_rates_notes(rule, rates, cost, priced, currency),
            *_time_notes(transfer, priced, zone),
        ),
    )


def _line_parts(line: Line, priced: Priced, rule: Rule, currency: str) -> Iterator[ChargePart]:
    """Tell what a line's units came to, a part for each rate that they fell in."""
    quantity = priced.total.get(line.name, 0)
    units = charged_units(line, quantity)
    before = priced.before.get(line.name, 0)
    for number, (count, step) in enumerate(_split(line, units, before)):
        text = f"{count:,} {line.name}"
        if number == 0 and units != quantity:
            text = f"{quantity:,} {line.name}, counted as {units:,}{'' if count == units else f': {count:,} of them'}"
        elif number:
            text = f"{count:,} more"
        if step is None:
            yield ChargePart(f"{text}, {_included(rule)}", format_money(0, currency))
        elif not step.amount:
            yield ChargePart(f"{text}, {FREE}", format_money(0, currency))
        else:
            rate = f"per {step.per:,}" if step.per > 1 else "each"
            yield ChargePart(
                f"{text} at {format_money(step.amount, currency)} {rate}",
                exact_amount(count * step.amount, step.per, currency),
            )


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


def _included(rule: Rule) -> str:
    return "included" if rule.period is None else f"included each {rule.period.unit}"


def _rounding(rule: Rule, cost: Cost, currency: str) -> str:
    if cost.amount * cost.denominator == cost.numerator:
        return "exactly"
    step = "" if rule.step == 1 else f", to a multiple of {format_money(rule.step, currency)}"
    return f"{_ROUNDED[rule.direction]}{step}"


def _above_notes(transfer: Transfer, amount: int, cost: Cost, priced: Priced, currency: str) -> Iterator[str]:
    """Tell what of the cost the transfer itself took, where that is not all of it."""
    if priced.held is not None:
        held, more = (format_money_with_code(micros, currency) for micros in (cost.amount - amount, amount))
        yield f"{held} of it was held and is captured by itself; {more} is above the hold"
    if transfer.uncollected is not None:
        yield f"{format_money_with_code(transfer.uncollected, currency)} of it was not there to be taken"


def _rates_notes(rule: Rule, rates: Rates, cost: Cost, priced: Priced, currency: str) -> Iterator[str]:
    """Tell which of a rule's rates applied, and why."""
    if priced.window is not None and rule.windows is not None:
        yield f"at the rates of {window_words(rule.windows, priced.window)}"
    if cost.tier is not None and rates.tiers is not None:
        yield f"at the rates of requests {above(rates.tiers.tiers[cost.tier].start, rates.tiers)}"
    if rule.period is not None and priced.before:
        counted = listed([f"{number:,} {name}" for name, number in priced.before.items()])
        yield f"{counted} had been counted before in that {rule.period.unit} ({rule.period.zone})"
    if rates.minimum and rates.minimum * cost.denominator == cost.numerator:
        yield f"a request costs at least {format_money(rates.minimum, currency)}"


def _time_notes(transfer: Transfer, priced: Priced, zone: tzinfo | None) -> Iterator[str]:
    """Tell by which time rates and counts were chosen, if that is not when the transfer was committed."""
    if priced.at is None or abs(transfer.committed_at - priced.at) < _TOLD_MICROS:
        return
    is_of_hold = transfer.kind == Kind.CAPTURE or priced.held is not None
    whose = "when it was held" if is_of_hold else "as the service named it"
    yield f"priced as of {time_words(priced.at, zone)}, {whose}"
