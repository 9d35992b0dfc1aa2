"""The rules of approvals: what a request, its approval and its rejection come to.

The functions compute and return; `decide` holds the rows and makes the move that was approved.
"""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from farebox.core.accounts import KIND_WORDS
from farebox.core.approvals import Approval, ApprovalState
from farebox.core.commands import Approve, Reject, RequestApproval, TopUp
from farebox.core.outcomes import Code, Outcome, refused

APPROVAL_NOT_FOUND: Final = refused(Code.APPROVAL_NOT_FOUND, "The merchant has no such request for approval")


def repeated_request(approvals: Iterable[Approval], command: RequestApproval, fingerprint: bytes) -> Outcome | None:
    """Answer a request whose reference was requested before; None if it was not.

    Args:
        approvals: those that the batch sees, of any merchant.
        command: the request.
        fingerprint: the request's own, which tells a retry from another request under the same reference.
    """
    key = (command.merchant_id, command.idempotency_key)
    earlier = next((item for item in approvals if (item.merchant_id, item.idempotency_key) == key), None)
    if earlier is None:
        return None
    if earlier.fingerprint != fingerprint:
        return refused(
            Code.IDEMPOTENCY_CONFLICT,
            f"This reference was requested for another {KIND_WORDS[earlier.kind]}, {earlier.id}",
        )
    if earlier.state == ApprovalState.REJECTED:
        return _already_rejected(earlier)
    return Outcome(Code.OK, is_replay=True, approval=earlier)


def new_approval(command: RequestApproval, fingerprint: bytes, now: int) -> Approval:
    """Return the row of a new request, made at `now`, microseconds since 1970."""
    move = command.move
    return Approval(
        merchant_id=command.merchant_id,
        approval_id=command.approval_id,
        kind=move.kind,
        amount=move.amount,
        reference=move.reference,
        note=move.note if isinstance(move, TopUp) else move.reason,
        idempotency_key=move.idempotency_key,
        fingerprint=fingerprint,
        requested_by=_actor_name(command),
        requested_at=now,
    )


def approve_refusal(approval: Approval | None, command: Approve, fingerprint: bytes) -> Outcome | None:
    """Tell why this request can't be approved, or None if the command may make its move.

    The approver names the move once more: another move than the one requested is not found.
    """
    asked = (command.idempotency_key, fingerprint)
    if approval is None or (approval.idempotency_key, approval.fingerprint) != asked:
        return APPROVAL_NOT_FOUND
    if approval.state == ApprovalState.REJECTED:
        return _already_rejected(approval)
    if approval.requested_by == _actor_name(command):
        return refused(
            Code.APPROVAL_NEEDS_ANOTHER_PERSON,
            f"{approval.requested_by} requested this; another person approves it",
        )
    return None


def reject_outcome(approval: Approval, command: Reject, now: int) -> Outcome:
    """Reject a request that is pending; one that was rejected before is a replay, one that was approved a refusal."""
    if approval.state == ApprovalState.APPROVED:
        return refused(Code.APPROVAL_ALREADY_APPROVED, f"{approval.id} was approved; reverse or adjust what it did")
    if approval.state == ApprovalState.REJECTED:
        return Outcome(Code.OK, is_replay=True, approval=approval)
    return Outcome(Code.OK, approval=_decided(approval, ApprovalState.REJECTED, command, now))


def approved(approval: Approval, command: Approve, now: int, transfer_seq: int) -> Approval:
    """Return the request as approved at `now`, with the transfer that it became."""
    return replace(_decided(approval, ApprovalState.APPROVED, command, now), transfer_seq=transfer_seq)


def _decided(approval: Approval, state: ApprovalState, command: Approve | Reject, now: int) -> Approval:
    return replace(approval, state=state, decided_by=_actor_name(command), decided_at=now)


def _already_rejected(approval: Approval) -> Outcome:
    return refused(
        Code.APPROVAL_ALREADY_REJECTED,
        f"{approval.id} was rejected by {approval.decided_by}; request it under another reference",
    )


def _actor_name(command: RequestApproval | Approve | Reject) -> str:
    """Name who asks; a command without an actor comes from Farebox itself."""
    return "farebox" if command.actor is None else command.actor.name
