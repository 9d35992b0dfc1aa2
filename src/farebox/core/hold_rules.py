"""The rules of holds: why one can't be captured, released or expired, and what a capture takes and counts."""

from typing import Final

from msgspec import Struct

from farebox.core.commands import CaptureHold
from farebox.core.currencies import format_money, format_money_with_code
from farebox.core.holds import Hold, HoldState
from farebox.core.outcomes import Code, Outcome, refused

HOLD_NOT_FOUND: Final = refused(Code.HOLD_NOT_FOUND, "The merchant has no such hold")

_FINAL_STATES: Final = {
    HoldState.CAPTURED: (Code.HOLD_ALREADY_CAPTURED, "The hold was already captured"),
    HoldState.RELEASED: (Code.HOLD_ALREADY_RELEASED, "The hold was already released"),
    HoldState.EXPIRED: (Code.HOLD_EXPIRED, "The hold has expired and was given back"),
}


def end_refusal(hold: Hold | None, now: int) -> Outcome | None:
    """Tell why a caller can't capture or release this hold; one past its time is over even if not yet swept."""
    refusal = _state_refusal(hold)
    if refusal is None and hold is not None and now >= hold.expires_at:
        return refused(Code.HOLD_EXPIRED, "The hold has expired")
    return refusal


class Captured(Struct, frozen=True, gc=False):
    """What a capture takes of a hold, in micros, and how many requests it counts."""

    amount: int
    quantity: int


def amount_missing(hold: Hold, command: CaptureHold, unit_price: int | None) -> Outcome | None:
    """Tell whether a capture leaves open what it takes: requests that have no unit price, and no amount."""
    if command.quantity is None or command.amount is not None or unit_price is not None:
        return None
    return refused(Code.AMOUNT_REQUIRED, f"The request type {hold.request_type!r} is variable: name the amount")


def captured(hold: Hold, command: CaptureHold, unit_price: int | None, currency: str) -> Captured | Outcome:
    """Tell what a capture takes and counts, or why it is more than the hold has; the caller has asked `amount_missing`.

    One that names an amount alone counts the share of the held requests that the amount is of what was held, rounded
    up: a request that was begun is counted.
    """
    amount, quantity = command.amount, command.quantity
    if quantity is not None and quantity > hold.quantity:
        return _exceeds(f"{quantity:,} requests are more than the {hold.quantity:,} that were held")
    if amount is None:
        if quantity is None or unit_price is None:
            return Captured(hold.amount, hold.quantity)
        return Captured(unit_price * quantity, quantity)
    if amount > hold.amount:
        asked, held = format_money(amount, currency), format_money_with_code(hold.amount, currency)
        return _exceeds(f"{asked} is more than the hold's {held}")
    if quantity is None:
        return Captured(amount, -(-hold.quantity * amount // hold.amount))
    if unit_price is not None and amount > unit_price * quantity:
        asked, price = format_money(amount, currency), format_money_with_code(unit_price, currency)
        return _exceeds(f"{asked} is more than {quantity:,} x {price}")
    return Captured(amount, quantity)


def _exceeds(message: str) -> Outcome:
    return refused(Code.CAPTURE_EXCEEDS_HOLD, message)


def expire_refusal(hold: Hold | None, now: int) -> Outcome | None:
    """Tell why Farebox itself can't expire this hold."""
    refusal = _state_refusal(hold)
    if refusal is None and hold is not None and now < hold.expires_at:
        return refused(Code.HOLD_NOT_DUE, "The hold has not expired yet")
    return refusal


def _state_refusal(hold: Hold | None) -> Outcome | None:
    if hold is None:
        return HOLD_NOT_FOUND
    final = _FINAL_STATES.get(HoldState(hold.state))
    return None if final is None else refused(*final)
