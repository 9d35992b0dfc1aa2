"""What becomes of one request: its hold is captured or released, its charge stays or is refunded, once.

One token has one idempotency key, whichever of these becomes of it. So a line that is read twice, by one settler or
several, moves money once; and a hold that is charged late can't be captured as well.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from farebox.service.gate.tokens import GateToken, Mode
from farebox_client import AsyncFarebox, errors
from farebox_client.answers import Charge

KEY_PREFIX: Final = "settle:"


class Done(StrEnum):
    """The ways in which a request is settled."""

    KEPT = "kept"
    """It was charged at the gate, and is to be."""
    CAPTURED = "captured"
    RELEASED = "released"
    REFUNDED = "refunded"
    LATE = "late"
    """Its hold had expired, so it was charged."""
    REPEATED = "repeated"
    """It was settled before: by an earlier reading of the line, by another settler, or by hand."""


class NotApplied(Exception):
    """The ledger refuses it for good; the message says why, and what can be done."""


class SettlingStopped(Exception):
    """Nothing can be applied until somebody acts; the message says what."""


_SETTLED_BEFORE: Final = (
    errors.HoldAlreadyCaptured,
    errors.HoldAlreadyReleased,
    errors.IdempotencyConflict,
    errors.RefundExceedsTransfer,
)

_STOPPING: Final = (errors.InvalidApiKey, errors.Forbidden)


async def apply(farebox: AsyncFarebox, token: GateToken, reference: str | None, *, is_served: bool) -> Done:
    """Do what a log line tells that is to be done about a token.

    Raises:
        NotApplied: the ledger refuses it, and will refuse it again.
        SettlingStopped: the settler's key is not good for it.
        FareboxError: nobody knows yet; it may be applied again.
    """
    try:
        if token.mode is Mode.CHARGE:
            return Done.KEPT if is_served else await _refund(farebox, token, reference)
        return await (_capture if is_served else _release)(farebox, token, reference)
    except _SETTLED_BEFORE:
        return Done.REPEATED
    except _STOPPING as error:
        raise SettlingStopped(
            f"{error.message}; FAREBOX_API_KEY has to be a key of a service: farebox key create --service NAME"
        ) from error
    except errors.ApprovalRequired as error:
        raise NotApplied(
            "the refund is above FAREBOX_APPROVAL_ABOVE, and one person made this service's key: "
            "let it be the operator's by `farebox key assign KEY_ID --operator`, and refund this one by hand"
        ) from error


async def _capture(farebox: AsyncFarebox, token: GateToken, reference: str | None) -> Done:
    key = _key(token)
    try:
        captured = await farebox.capture(token.subject, reference=reference, key=key)
    except (errors.HoldExpired, errors.IdempotencyConflict):
        # The key was used for something else if the hold was charged late before; then this answers as it did.
        return await _charge_late(farebox, token, reference)
    return Done.REPEATED if captured.is_replay else Done.CAPTURED


async def _charge_late(farebox: AsyncFarebox, token: GateToken, reference: str | None) -> Done:
    """Charge a request whose hold has expired; it was served, so what there is too little of is uncollected."""

    async def charge(requested_at: datetime | None) -> Charge:
        return await farebox.charge(
            merchant=token.merchant,
            type=token.request_type,
            quantity=None if token.quantities else token.quantity,
            quantities=token.quantities,
            amount=token.amount,
            reference=reference,
            above="uncollected",
            requested_at=requested_at,
            key=_key(token),
        )

    try:
        charged = await charge(datetime.fromtimestamp(token.issued_at, UTC))
    except errors.RequestedAtOutOfBounds:
        # It is too long ago for the prices of its own hour.
        charged = await charge(None)
    return Done.REPEATED if charged.is_replay else Done.LATE


async def _release(farebox: AsyncFarebox, token: GateToken, reference: str | None) -> Done:
    try:
        released = await farebox.release(token.subject, reference=reference, key=_key(token))
    except errors.HoldExpired:
        # Its money went back by itself.
        return Done.REPEATED
    return Done.REPEATED if released.is_replay else Done.RELEASED


async def _refund(farebox: AsyncFarebox, token: GateToken, reference: str | None) -> Done:
    refunded = await farebox.refund(token.subject, reference=reference, key=_key(token), note="The API failed")
    return Done.REPEATED if refunded.is_replay else Done.REFUNDED


def _key(token: GateToken) -> str:
    return KEY_PREFIX + token.subject
