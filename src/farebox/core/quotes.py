"""What a request comes to at a price: its amount, and how its transfer explains it."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from farebox.core.commands import Spend
from farebox.core.outcomes import Code, Outcome, refused
from farebox.core.period_counts import COUNT_MAX, PeriodCounts, Place, place_at
from farebox.core.prices import CLOCK_LAG_MICROS_MAX, REQUESTS, Price
from farebox.core.pricing.costs import Cost, CostTooLarge, cost
from farebox.core.pricing.priced import Priced, priced_text, pricing_text, read_priced
from farebox.core.pricing.rules import Rates, Rule
from farebox.core.pricing.times import rates_at
from farebox.core.state import Original
from farebox.core.transfers import Transfer

REQUESTED_AGO_MICROS_MAX: Final = 24 * 3600 * 1_000_000
"""How long ago a request may have been made that is charged now: the longest outage that a service's queue outlives."""

_NOTHING: Final[Mapping[str, int]] = {}


class Quote(Struct, frozen=True, gc=False):
    """What a request comes to, in micros, and how many requests it counts as.

    At a rule, `pricing` explains the amount; `units` count towards the period at `place`, if the rule has one. A
    part above a hold may count as no further request, and as fewer units.
    """

    amount: int
    quantity: int
    unit_price: int | None = None
    pricing: str | None = None
    place: Place | None = None
    units: Mapping[str, int] = {}
    cost: Cost | None = None

    @property
    def priced(self) -> Priced | None:
        """What the amount was priced by, at a rule."""
        return None if self.pricing is None else read_priced(self.pricing)


def quote(price: Price, command: Spend, now: int, counts: PeriodCounts) -> Quote | Outcome:
    """Tell what a charge or hold comes to at a price, or why it can't be told.

    Args:
        price: the version that is in force.
        command: the charge or hold.
        now: microseconds since 1970; a rule's windows and periods go by when the command says it was requested, if so.
        counts: the units of the periods that came before.
    """
    rule = price.rule
    if rule is None:
        return _quote_requests(price, command, now)
    named = quantities_of(price, command.quantities, command.quantity)
    if type(named) is Outcome:
        return named
    if command.amount is not None:
        return _amount_not_allowed(price)
    at = command.requested_at
    if at is None:
        at = now
    elif not _is_near(at, now):
        return _REQUESTED_AT_OUT_OF_BOUNDS
    if not rule.is_timed:
        return _quote(price, rule, rule.rates, named, None, _NOTHING, None, None)
    window, rates = rates_at(rule, at)
    place = place_at(price, command.merchant_id, at)
    return _quote(price, rule, rates, named, window, counts.before(place, rule.names), at, place)


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
    place = place_at(price, transfer.merchant_id, priced.at)
    stated = (priced.window, priced.before, priced.at, place)
    if priced.held is None:
        return _quote(price, rule, rates, dict(sorted(priced.quantities.items())), *stated)
    total = _quote(price, rule, rates, priced.total, *stated)
    held = _quote(price, rule, rates, dict(sorted(priced.held.items())), *stated)
    if isinstance(total, Outcome) or isinstance(held, Outcome):
        return total if isinstance(total, Outcome) else held
    return _difference(total, held, priced)


def _difference(total: Quote, held: Quote, priced: Priced) -> Quote:
    """Tell what a capture comes to above its hold: the whole, less what was held."""
    tier = None if total.priced is None else total.priced.tier
    names = total.units.keys() | held.units.keys()
    return Quote(
        total.amount - held.amount,
        max(0, total.quantity - held.quantity),
        pricing=priced_text(replace(priced, tier=tier)),
        place=total.place,
        units={name: total.units.get(name, 0) - held.units.get(name, 0) for name in sorted(names)},
        cost=total.cost,
    )


def _quote_requests(price: Price, command: Spend, now: int) -> Quote | Outcome:
    """Tell what requests come to at a unit price, or at the amount that the caller names.

    When they were made does not matter to the cost, but is checked as for a rule: prices change, and callers do not.
    """
    quantity, unit_price = command.quantity, price.unit_price
    if command.quantities is not None:
        named = quantities_of(price, command.quantities, quantity)
        if isinstance(named, Outcome):
            return named
        quantity = named[REQUESTS]
    amount = command.amount
    if unit_price is not None:
        if amount is not None:
            return _amount_not_allowed(price)
        amount = unit_price * quantity
    elif amount is None:
        return refused(Code.AMOUNT_REQUIRED, f"The request type {price.request_type!r} is variable: name the amount")
    if command.requested_at is not None and not _is_near(command.requested_at, now):
        return _REQUESTED_AT_OUT_OF_BOUNDS
    return Quote(amount, quantity, unit_price)


def _is_near(requested_at: int, now: int) -> bool:
    return now - REQUESTED_AGO_MICROS_MAX <= requested_at <= now + CLOCK_LAG_MICROS_MAX


def _quote(
    price: Price,
    rule: Rule,
    rates: Rates,
    quantities: Mapping[str, int],
    window: int | None,
    before: Mapping[str, int],
    at: int | None,
    place: Place | None,
) -> Quote | Outcome:
    """Tell what quantities, which are sorted by name, come to at a rule."""
    try:
        found = cost(rule, rates, quantities, before)
    except CostTooLarge as error:
        return _too_large(price, str(error))
    units: Mapping[str, int] = _NOTHING
    if place is not None:
        units = found.units
        for name, number in units.items():
            if before.get(name, 0) + number > COUNT_MAX:
                return _too_large(price, name)
    tier = None if found.tier is None else found.tier + 1
    text = pricing_text(quantities.items(), tier, window, before, at)
    requests = quantities.get(REQUESTS, 1) or 1
    return Quote(found.amount, requests, None, text, place, units, found)


def quantities_of(
    price: Price, quantities: tuple[tuple[str, int], ...] | None, quantity: int
) -> dict[str, int] | Outcome:
    """Tell the quantities that a command names, by line; a `quantity` stands for that of the only line.

    A request at a price without lines is one request, so that its transfer says something of what it was priced by.
    """
    names = price.names
    if quantities is not None:
        for name, _ in quantities:
            if name not in names:
                return refused(
                    Code.UNKNOWN_QUANTITY,
                    f"The request type {price.request_type!r} has no quantity {name!r}; it {_named(names)}",
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
        return {REQUESTS: 1}
    return refused(Code.QUANTITIES_REQUIRED, f"The request type {price.request_type!r} {_named(names)}")


def _named(names: tuple[str, ...]) -> str:
    """Say what a price goes by, and how a charge names that."""
    if not names:
        return "costs the same for each request: name no quantities, one request at a time"
    return f"is priced by {', '.join(names)}: name each that was used under quantities"


def _amount_not_allowed(price: Price) -> Outcome:
    by = "a unit price: name a quantity" if price.rule is None else "a price: name its quantities"
    return refused(Code.AMOUNT_NOT_ALLOWED, f"The request type {price.request_type!r} has {by}, not an amount")


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
