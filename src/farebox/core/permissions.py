"""Which kinds of API key may ask for which commands."""

from typing import Final

from farebox.core.commands import (
    Adjust,
    Approve,
    Caller,
    CaptureHold,
    Charge,
    Command,
    CreateHold,
    KeyKind,
    Refund,
    Reject,
    ReleaseHold,
    RequestApproval,
    ReverseTopUp,
    SetCreditLimit,
    SetFrozen,
    SetThresholds,
    TopUp,
)
from farebox.core.outcomes import Code, Outcome, refused
from farebox.core.state import KeyRecord

_SERVICE: Final = frozenset({KeyKind.SERVICE})
_SUPPORT: Final = frozenset({KeyKind.SUPPORT})
ALLOWED_KEYS: Final[dict[type[Command], frozenset[KeyKind]]] = {
    Charge: _SERVICE,
    CreateHold: _SERVICE,
    CaptureHold: _SERVICE,
    ReleaseHold: _SERVICE,
    Refund: _SERVICE | _SUPPORT,
    TopUp: _SUPPORT,
    ReverseTopUp: _SUPPORT,
    Adjust: _SUPPORT,
    SetThresholds: _SUPPORT,
    SetCreditLimit: _SUPPORT,
    SetFrozen: _SUPPORT,
    RequestApproval: _SUPPORT,
    Approve: _SUPPORT,
    Reject: _SUPPORT,
}
"""The kinds of key for each command. A command without a caller comes from Farebox itself or from its own shell."""


def caller_refusal(command: Command, caller: Caller, key: KeyRecord | None, now: int) -> Outcome | None:
    """Tell why this caller may not ask for this command, or None if it may.

    Args:
        command: what is asked.
        caller: the API key that asks, as it was presented.
        key: that key as stored; None if it is unknown.
        now: the commit time, microseconds since 1970, at which the key must be valid.
    """
    if key is None or key.merchant_id != caller.merchant_id or not key.is_valid_at(now):
        return refused(Code.INVALID_API_KEY, "Invalid API key")
    if key.kind not in ALLOWED_KEYS[type(command)]:
        return refused(Code.FORBIDDEN, "This kind of API key may not do this")
    return None
