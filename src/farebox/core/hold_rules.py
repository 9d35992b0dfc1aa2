"""The rules of holds: why one can't be captured, released or expired, and what a capture takes and counts."""

from typing import Final

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
