"""What a request comes to at a price: its amount, and how its transfer explains it."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from farebox.core.commands import Spend
from farebox.core.outcomes import Code, Outcome, refused
from farebox.core.period_counts import COUNT_MAX, PeriodCounts, Place, place_of
from farebox.core.prices import CLOCK_LAG_MICROS_MAX, REQUESTS, Price
from farebox.core.pricing.costs import Cost, CostTooLarge, cost
from farebox.core.pricing.priced import Priced, priced_text, read_priced
from farebox.core.pricing.rules import Rates, Rule
from farebox.core.pricing.times import period_start, rates_at
from farebox.core.state import Original
from farebox.core.transfers import Transfer

REQUESTED_AGO_MICROS_MAX: Final = 24 * 3600 * 1_000_000
"""How long ago a request may have been made that is charged now: the longest outage that a service's queue outlives."""


class Quote(Struct, frozen=True, gc=False):
    """What a request comes to, in micros, and how many requests it counts as.

    At a rule, `pricing` explains the amount; `units` count towards the period at `place`, if the rule has one.
    """

    amount: int
    quantity: int
    unit_price: int | None = None
    pricing: str | None = None
    place: Place | None = None
    units: Mapping[str, int] = {}
    cost: Cost | None = None
    priced: Priced | None = None


def quote(price: Price, command: Spend, now: int, counts: PeriodCounts) -> Quote | Outcome:
    """Tell what a charge or hold comes to at a price, or why it can't be told.

    Args:
        price: the version that is in force.
        command: the charge or hold.
        now: microseconds since 1970; a rule's windows and periods go by when the command says it was requested, if so.
        counts: the units of the periods that came before.
    """
    rule = price.rule
    named = quantities_of(price, command.quantities, command.quantity)
    if isinstance(named, Outcome):
        return named
    refusal = _amount_refusal(price, command)
    if refusal is not None:
        return refusal
    if rule is None:
        quantity = named[REQUESTS]
        if command.amount is not None:
            return Quote(command.amount, quantity)
        unit_price = price.unit_price or 0
        return Quote(unit_price * quantity, quantity, unit_price)
    if command.requested_at is not None and not (
        now - REQUESTED_AGO_MICROS_MAX <= command.requested_at <= now + CLOCK_LAG_MICROS_MAX
    ):
        return _REQUESTED_AT_OUT_OF_BOUNDS
    at = now if command.requested_at is None else command.requested_at
    window, rates = (None, rule.rates) if rule.windows is None else rates_at(rule, at)
    place, before = _period(rule, command.merchant_id, price.request_type, at, counts)
    is_timed = rule.windows is not None or rule.period is not None
    priced = Priced(named, window=window, before=before, at=at if is_timed else None)
    return _priced_quote(price, rule, rates, priced, place)


def requoted(price: Price, transfer: Transfer) -> Quote | Outcome:
    """Tell again what a transfer came to, by what it says itself: its quantities, window, counts and time.

    Raises:
        ValueError: the transfer's `pricing` can't be read, or names a window that the price does not have.
    """
    priced = read_priced(transfer.pricing or "")
    return requote(price, transfer, priced)


def counted_units(price: Price | None, transfer: Transfer) -> tuple[Place, Mapping[str, int]] | None:
    """Tell the units that a charge or hold counted, and where; None if its price counts none."""
    if price is None or not price.is_counted or transfer.pricing is None:
        return None
    found = requoted(price, transfer)
    return None if isinstance(found, Outcome) or found.place is None else (found.place, found.units)


def returned_units(price: Price | None, original: Original, returned: int) -> tuple[Place, Mapping[str, int]] | None:
    """Tell the units that go back when `returned` micros of a transfer have gone back in all; None if none do.

    Of each line's units, as many go back as the amount that was returned is of the whole, rounded down; what had gone
    back before is not given back again.
    """
    rule = None if price is None else price.rule
    if rule is None or rule.period is None or not rule.period.refunds_give_back:
        return None
    counted = counted_units(price, original.transfer)
    amount = original.transfer.amount
    if counted is None or not amount:
        return None
    place, units = counted
    return place, {
        name: number * returned // amount - number * original.returned // amount for name, number in units.items()
    }


def requote(price: Price, transfer: Transfer, priced: Priced) -> Quote | Outcome:
    """Tell what other quantities come to, at the window, counts and time that a transfer was priced by.

    Raises:
        ValueError: the price has no rule, or no such window.
    """
    rule = price.rule
    if rule is None:
        raise ValueError("the price has no rule")
    rates = rule.rates
    if priced.window is not None:
        windows = rule.windows.windows if rule.windows is not None else ()
        if not 0 < priced.window <= len(windows):
            raise ValueError(f"the price has no window {priced.window}")
        rates = windows[priced.window - 1].rates
    return _priced_quote(price, rule, rates, priced, place_of(transfer, price))


def _priced_quote(price: Price, rule: Rule, rates: Rates, priced: Priced, place: Place | None) -> Quote | Outcome:
    try:
        found = cost(rule, rates, priced.quantities, priced.before)
    except CostTooLarge as error:
        return _too_large(price, str(error))
    if found.tier is not None:
        priced = Priced(priced.quantities, found.tier + 1, priced.window, priced.before, priced.at)
    units: Mapping[str, int] = {}
    if place is not None:
        units = found.units
        for name, number in units.items():
            if priced.before.get(name, 0) + number > COUNT_MAX:
                return _too_large(price, name)
    requests = max(1, priced.quantities.get(REQUESTS, 1))
    return Quote(found.amount, requests, None, priced_text(priced), place, units, found, priced)


def _period(
    rule: Rule, merchant_id: int, request_type: str, at: int, counts: PeriodCounts
) -> tuple[Place | None, Mapping[str, int]]:
    """Tell which count a request belongs to, and how far that has come for the lines of the rule."""
    if rule.period is None:
        return None, {}
    place = (merchant_id, request_type, period_start(rule.period, at))
    counted = counts.before(place)
    return place, {name: counted[name] for name in rule.names if counted.get(name)}


def quantities_of(
    price: Price, quantities: tuple[tuple[str, int], ...] | None, quantity: int
) -> dict[str, int] | Outcome:
    """Tell the quantities that a command names, by line; a `quantity` stands for that of the only line."""
    names = price.names
    if quantities is not None:
        for name, _ in quantities:
            if name not in names:
                return refused(
                    Code.UNKNOWN_QUANTITY,
                    f"The request type {price.request_type!r} has no quantity {name!r}; {_named(names)}",
                )
        found = dict(quantities)
        if price.rule is None and not found.get(REQUESTS):
            return refused(
                Code.QUANTITIES_REQUIRED,
                f"The request type {price.request_type!r} is charged by the request: name one of them at least",
            )
        return found
    if len(names) == 1:
        return {names[0]: quantity}
    if not names and quantity == 1:
        return {}
    return refused(
        Code.QUANTITIES_REQUIRED, f"The request type {price.request_type!r} is priced by several; {_named(names)}"
    )


def _named(names: tuple[str, ...]) -> str:
    return f"name quantities of {', '.join(names)}" if names else "each request costs the same, so name none"


def _amount_refusal(price: Price, command: Spend) -> Outcome | None:
    """Tell whether the command names an amount where the price has one, or none where it has none."""
    if price.is_variable:
        if command.amount is None:
            return refused(
                Code.AMOUNT_REQUIRED, f"The request type {price.request_type!r} is variable: name the amount"
            )
    elif command.amount is not None:
        by = "a unit price: name a quantity" if price.rule is None else "a price: name its quantities"
        return refused(Code.AMOUNT_NOT_ALLOWED, f"The request type {price.request_type!r} has {by}, not an amount")
    return None


def _too_large(price: Price, line: str) -> Outcome:
    return refused(
        Code.COST_TOO_LARGE,
        f"The quantity of {line!r} is more than can be priced exactly at once for the request type "
        f"{price.request_type!r}",
    )


_REQUESTED_AT_OUT_OF_BOUNDS: Final = refused(
    Code.REQUESTED_AT_OUT_OF_BOUNDS,
    "requestedAt must be within the last 24 hours, and a minute ahead at most",
)
