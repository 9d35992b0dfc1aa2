"""What a capture takes of a hold, what it comes to above it, and what it counts."""

from msgspec import Struct

from farebox.core.commands import CaptureHold
from farebox.core.credit.shortfalls import Above
from farebox.core.currencies import format_money, format_money_with_code
from farebox.core.fingerprints import Quantities
from farebox.core.holds import Hold
from farebox.core.invariants import InvariantViolation
from farebox.core.outcomes import Code, Outcome, refused
from farebox.core.prices import REQUESTS, Price
from farebox.core.pricing.priced import Priced, read_priced
from farebox.core.quotes import Quote, quantities_of, requote
from farebox.core.transfers import Transfer


class Captured(Struct, frozen=True, gc=False):
    """What a capture takes of its hold, and what it comes to above it, if it does."""

    of_hold: Quote
    above: Quote | None = None


def fields_refusal(hold: Hold, command: CaptureHold, made_by: Transfer, price: Price | None) -> Outcome | None:
    """Tell what is wrong with how a capture says what it takes, whatever the hold has.

    Args:
        hold: the hold.
        command: the capture.
        made_by: the transfer that made the hold.
        price: the version that the transfer names, if that is a rule.
    """
    if command.quantity is None and command.quantities is None:
        return None
    if made_by.pricing is not None and price is None:
        # The caller is not at fault where a price is gone from the ledger, so `captured` raises.
        return None
    if price is not None:
        named = quantities_of(price, command.quantities, command.quantity or 1)
        if isinstance(named, Outcome):
            return named
        if command.amount is not None:
            return refused(
                Code.AMOUNT_NOT_ALLOWED,
                f"The request type {hold.request_type!r} is priced by its quantities: name them or an amount, not both",
            )
        return None
    if command.quantities is not None and not _only_requests(command.quantities):
        return refused(
            Code.UNKNOWN_QUANTITY,
            f"The request type {hold.request_type!r} is charged by the request: name {REQUESTS}, 1 at least",
        )
    if command.amount is None and made_by.unit_price is None:
        return refused(Code.AMOUNT_REQUIRED, f"The request type {hold.request_type!r} is variable: name the amount")
    return None


def captured(
    hold: Hold, command: CaptureHold, made_by: Transfer, price: Price | None, currency: str
) -> Captured | Outcome:
    """Tell what a capture takes and counts, or why it is more than the hold has, if the capture may not be.

    The caller has asked `fields_refusal`.

    Args:
        hold: the hold.
        command: the capture.
        made_by: the transfer that made the hold.
        price: the version that the transfer names, if that is a rule.
        currency: the merchant's, for what is said.
    """
    if made_by.pricing is None:
        return _captured_requests(hold, command, made_by.unit_price, currency)
    amount = command.amount
    if command.quantities is None and command.quantity is None:
        if amount is None:
            return Captured(_whole(hold, made_by))
        refusal = _more_than_held(hold, command, amount, currency)
        return refusal or _parted(hold, Quote(amount, hold.quantity), _whole(hold, made_by))
    if price is None:
        raise InvariantViolation(f"{hold.id}: the price that it was made at is not there")
    held = read_priced(made_by.pricing)
    named = quantities_of(price, command.quantities, command.quantity or 1)
    if isinstance(named, Outcome):
        return named
    for name, quantity in named.items() if command.above is Above.REFUSE else ():
        if quantity > held.quantities.get(name, 0):
            return _exceeds(
                f"{quantity:,} of {name!r} are more than the {held.quantities.get(name, 0):,} that were held"
            )
    quote = requote(price, made_by, Priced(named, window=held.window, before=held.before, at=held.at))
    if isinstance(quote, Outcome):
        return quote
    if quote.amount <= hold.amount:
        return Captured(quote)
    refusal = _more_than_held(hold, command, quote.amount, currency)
    if refusal is not None:
        return refusal
    # The hold is taken as it was priced; the rest is what all of it comes to beyond that.
    names = sorted(named.keys() | held.quantities.keys())
    more = {name: named.get(name, 0) - held.quantities.get(name, 0) for name in names}
    above = requote(
        price,
        made_by,
        Priced(
            {name: number for name, number in more.items() if number},
            window=held.window,
            before=held.before,
            at=held.at,
            held=held.quantities,
        ),
    )
    return above if isinstance(above, Outcome) else Captured(_whole(hold, made_by), above)


def _whole(hold: Hold, made_by: Transfer) -> Quote:
    return Quote(hold.amount, hold.quantity, pricing=made_by.pricing)


def _captured_requests(hold: Hold, command: CaptureHold, unit_price: int | None, currency: str) -> Captured | Outcome:
    """Tell what a capture takes of a hold of requests.

    One that names an amount alone counts the share of the held requests that the amount is of what was held, rounded
    up: a request that was begun is counted. Above the hold that goes on at a unit price; an amount that callers name
    says nothing of how many requests it was for, so it counts those that were held.
    """
    amount, quantity = command.amount, command.quantity
    may_exceed = command.above is not Above.REFUSE
    if command.quantities is not None:
        quantity = dict(command.quantities)[REQUESTS]
    if quantity is not None and quantity > hold.quantity and not may_exceed:
        return _exceeds(f"{quantity:,} requests are more than the {hold.quantity:,} that were held")
    if amount is None:
        amount = hold.amount if quantity is None or unit_price is None else unit_price * quantity
        quantity = hold.quantity if quantity is None else quantity
    elif (refusal := _more_than_held(hold, command, amount, currency)) is not None:
        return refusal
    elif quantity is None:
        quantity = -(-hold.quantity * amount // hold.amount)
        if unit_price is None:
            quantity = min(quantity, hold.quantity)
    elif unit_price is not None and amount > unit_price * quantity:
        asked, price = format_money(amount, currency), format_money_with_code(unit_price, currency)
        return _exceeds(f"{asked} is more than {quantity:,} x {price}")
    of_hold = Quote(hold.amount, min(quantity, hold.quantity), unit_price if quantity >= hold.quantity else None)
    return _parted(hold, _at(unit_price, amount, quantity), of_hold)


def _parted(hold: Hold, whole: Quote, of_hold: Quote) -> Captured:
    """Part what a capture comes to into `of_hold`, if it is all of the hold, and what is above that."""
    if whole.amount <= hold.amount:
        return Captured(whole)
    more = whole.quantity - of_hold.quantity
    return Captured(of_hold, _at(whole.unit_price, whole.amount - of_hold.amount, more))


def _at(unit_price: int | None, amount: int, quantity: int) -> Quote:
    """Quote an amount for so many requests: at their unit price, if that is what they cost."""
    is_at_price = unit_price is not None and amount == unit_price * quantity
    return Quote(amount, quantity, unit_price if is_at_price else None)


def _only_requests(quantities: Quantities) -> bool:
    return len(quantities) == 1 and quantities[0][0] == REQUESTS and quantities[0][1] > 0


def _more_than_held(hold: Hold, command: CaptureHold, amount: int, currency: str) -> Outcome | None:
    if amount <= hold.amount or command.above is not Above.REFUSE:
        return None
    asked, held = format_money(amount, currency), format_money_with_code(hold.amount, currency)
    return _exceeds(f"{asked} is more than the hold's {held}")


def _exceeds(message: str) -> Outcome:
    return refused(Code.CAPTURE_EXCEEDS_HOLD, message)
