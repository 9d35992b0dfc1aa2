"""The rules of holds: why one can't be captured, released, extended or expired."""

from typing import Final

from farebox.core.alerts import AlertKind
from farebox.core.book import Book
from farebox.core.holds import TTL_SECONDS_MAX, Hold, HoldState
from farebox.core.outcomes import Code, Outcome, refused
from farebox.core.state import Original
from farebox.core.transfers import Transfer

HOLD_NOT_FOUND: Final = refused(Code.HOLD_NOT_FOUND, "The merchant has no such hold")

_FINAL_STATES: Final = {
    HoldState.CAPTURED: (Code.HOLD_ALREADY_CAPTURED, "The hold was already captured"),
    HoldState.RELEASED: (Code.HOLD_ALREADY_RELEASED, "The hold was already released"),
    HoldState.EXPIRED: (Code.HOLD_EXPIRED, "The hold has expired and was given back"),
}


def end_refusal(hold: Hold | None, now: int) -> Outcome | None:
    """Tell why a caller can't capture, release or extend this hold; one past its time is over even if not yet swept."""
    refusal = _state_refusal(hold)
    if refusal is None and hold is not None and now >= hold.expires_at:
        return refused(Code.HOLD_EXPIRED, "The hold has expired")
    return refusal


def extend_refusal(hold: Hold | None, expires_at: int, now: int) -> Outcome | None:
    """Tell why a caller can't let this hold last until `expires_at`: as it can't be captured, or for too long."""
    refusal = end_refusal(hold, now)
    if refusal is None and hold is not None and expires_at > max(hold.expires_at, now + TTL_SECONDS_MAX * 1_000_000):
        return refused(Code.HOLD_END_OUT_OF_BOUNDS, f"A hold can last for {TTL_SECONDS_MAX:,} seconds from now at most")
    return refusal


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


def tell_expiry(book: Book, hold: Hold, made_by: Original | None, transfer: Transfer, now: int) -> None:
    """Tell that a hold has expired: how much it set aside, and for which request."""
    made = None if made_by is None else made_by.transfer
    facts = {
        "hold": hold.seq,
        "amount": hold.amount,
        "request_type": hold.request_type,
        "reference": None if made is None else made.reference,
        "key_id": None if made is None else made.key_id,
    }
    book.tell(AlertKind.HOLD_EXPIRED, now, facts, transfer_seq=transfer.seq)
