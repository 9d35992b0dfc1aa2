"""The rules of approvals: what a request, its approval and its rejection come to.

The functions compute and return; `decide` holds the rows and makes the move that was approved.
"""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from farebox.core.approvals import (
    REQUEST_NAMES,
    REQUEST_WORDS,
    Approval,
    ApprovalMail,
    ApprovalState,
    RequestKind,
    StaffAccount,
    approval_mail_id,
)
from farebox.core.commands import (
    Adjust,
    Approve,
    GiveCredit,
    Move,
    Refund,
    Reject,
    RequestApproval,
    SetCreditLimit,
    TopUp,
)
from farebox.core.credit.grants import write_terms
from farebox.core.outcomes import Code, Outcome, refused
from farebox.core.people import UNKNOWN, People, account_people, are_others, read_people, write_people

APPROVAL_NOT_FOUND: Final = refused(Code.APPROVAL_NOT_FOUND, "The merchant has no such request for approval")


def waiting(approvals: Iterable[Approval], move: Move, fingerprint: bytes) -> Outcome | None:
    """Answer a move whose reference a waiting request has; None if none has it.

    Args:
        approvals: those that the batch sees, of any merchant.
        move: what is asked.
        fingerprint: the move's own, which tells a retry from another move under the same reference.
    """
    pending = (item for item in _of(approvals, move) if item.state == ApprovalState.PENDING)
    earlier = next(pending, None)
    if earlier is None:
        return None
    if earlier.fingerprint != fingerprint:
        return refused(Code.IDEMPOTENCY_CONFLICT, _conflict(earlier))
    return Outcome(Code.OK, is_replay=True, approval=earlier)


def repeated_request(approvals: Iterable[Approval], move: Move, fingerprint: bytes) -> Outcome | None:
    """Answer a move that was requested before, or whose reference a waiting request has; None if neither.

    A rejection frees the reference for all but the very move that was rejected.
    """
    known = list(approvals)
    outcome = waiting(known, move, fingerprint)
    if outcome is not None or isinstance(move, SetCreditLimit):
        return outcome
    rejected = (item for item in _of(known, move) if item.state == ApprovalState.REJECTED)
    return next((_already_rejected(item) for item in rejected if item.fingerprint == fingerprint), None)


def retried_request(approval: Approval) -> Outcome:
    """Answer the command that made this request when it is decided once more."""
    if approval.state == ApprovalState.REJECTED:
        return _already_rejected(approval)
    return Outcome(Code.OK, is_replay=True, approval=approval)


def new_approval(command: RequestApproval, fingerprint: bytes, amount: int, people: People, now: int) -> Approval:
    """Return the row of a new request of these people, made at `now`, microseconds since 1970."""
    move = command.move
    return Approval(
        merchant_id=command.merchant_id,
        approval_id=command.approval_id,
        kind=RequestKind.CREDIT_LIMIT if isinstance(move, SetCreditLimit) else RequestKind(move.kind),
        amount=amount,
        reference=None if isinstance(move, SetCreditLimit) else move.reference,
        note=_note(move),
        idempotency_key=move.idempotency_key,
        fingerprint=fingerprint,
        requested_by=_actor_name(command),
        requested_at=now,
        refers_to=move.transfer_seq if isinstance(move, Refund) else None,
        requested_people=write_people(people),
        terms=write_terms(0, move.terms) if isinstance(move, GiveCredit) else None,
    )


def waiting_facts(approval: Approval) -> dict[str, object]:
    """Tell of a request that waits: what was asked, and who asked."""
    return {
        "approval_id": approval.approval_id,
        "kind": REQUEST_WORDS[approval.kind],
        "amount": approval.signed_amount,
        "reference": approval.reference,
        "requested_by": approval.requested_by,
    }


def approve_refusal(approval: Approval | None, command: Approve, fingerprint: bytes, people: People) -> Outcome | None:
    """Tell why these people can't approve a request, or None if the command may make its move.

    The approver names the move once more: another move than the one requested is not found.
    """
    asked = (command.idempotency_key, fingerprint)
    if approval is None or (approval.idempotency_key, approval.fingerprint) != asked:
        return APPROVAL_NOT_FOUND
    if approval.state == ApprovalState.REJECTED:
        return _already_rejected(approval)
    if approval.state == ApprovalState.APPROVED:
        return Outcome(Code.OK, is_replay=True, approval=approval)
    requested = read_people(approval.requested_people)
    if not are_others(people, requested):
        return refused(Code.APPROVAL_NEEDS_ANOTHER_PERSON, _same_person(approval, requested, people))
    return None


def move_to_make(command: Approve, approval: Approval, at: int) -> Move:
    """Return the move that is made once it is approved, at the time `at` of the merchant's book."""
    move = command.move
    if isinstance(move, Refund):
        # As much as was asked for, even if less is left by now: then it is refused.
        return replace(move, amount=approval.amount)
    if isinstance(move, GiveCredit) and move.starts_at is not None:
        # Credit that was to start while it waited for approval starts at once.
        return replace(move, starts_at=max(move.starts_at, at))
    return move


def reject_outcome(approval: Approval, command: Reject, now: int, people: People) -> Outcome:
    """Reject a request that is pending; one that was rejected before is a replay, one that was approved a refusal."""
    if approval.state == ApprovalState.APPROVED:
        return refused(Code.APPROVAL_ALREADY_APPROVED, f"{approval.id} was approved; reverse or adjust what it did")
    if approval.state == ApprovalState.REJECTED:
        return Outcome(Code.OK, is_replay=True, approval=approval)
    return Outcome(Code.OK, approval=_decided(approval, ApprovalState.REJECTED, command, now, people))


def approved(approval: Approval, command: Approve, now: int, people: People, transfer_seq: int | None) -> Approval:
    """Return the request as approved at `now`, with the transfer that it became; a credit limit became none."""
    return replace(_decided(approval, ApprovalState.APPROVED, command, now, people), transfer_seq=transfer_seq)


def mails_to_others(staff: Iterable[StaffAccount], people: People, *, number: int, now: int) -> list[ApprovalMail]:
    """Make a mail to each of the staff who are others than these people: they may decide what waits.

    Args:
        staff: those who would be told.
        people: whom a request's asker counts as, or an account that is to be confirmed.
        number: the request's or the account's.
        now: microseconds since 1970.
    """
    return [
        ApprovalMail(approval_mail_id(number, account.login_id), account.login_id, account.email, now)
        for account in staff
        if are_others(account_people(account.login_id, account.counts_as), people)
    ]


def _of(approvals: Iterable[Approval], move: Move) -> Iterable[Approval]:
    key = (move.merchant_id, move.idempotency_key)
    return (item for item in approvals if (item.merchant_id, item.idempotency_key) == key)


def _note(move: Move) -> str | None:
    if isinstance(move, Adjust | GiveCredit):
        return move.reason
    return move.note if isinstance(move, TopUp | Refund) else None


def _decided(approval: Approval, state: ApprovalState, command: Approve | Reject, now: int, people: People) -> Approval:
    return replace(
        approval,
        state=state,
        decided_by=_actor_name(command),
        decided_at=now,
        decided_people=write_people(people),
    )


def _conflict(earlier: Approval) -> str:
    if earlier.kind == RequestKind.CREDIT_LIMIT:
        return f"Another credit limit waits for approval as {earlier.id}; it has to be approved or rejected first"
    return f"This reference waits for approval as another {REQUEST_NAMES[earlier.kind]}, {earlier.id}"


def _same_person(approval: Approval, requested: People, people: People) -> str:
    if UNKNOWN in requested:
        return (
            f"{approval.requested_by} requested this, and it is unknown who that is; reject it, tell Farebox on the "
            "command line whose key or account it is, and request it again"
        )
    if UNKNOWN in people:
        return (
            f"{approval.requested_by} requested this, and it is unknown whose key or account yours is, "
            "so it can't approve; the command line can tell"
        )
    return f"{approval.requested_by} requested this; another person approves it"


def _already_rejected(approval: Approval) -> Outcome:
    again = "request it again" if approval.kind == RequestKind.CREDIT_LIMIT else "request it under another reference"
    return refused(Code.APPROVAL_ALREADY_REJECTED, f"{approval.id} was rejected by {approval.decided_by}; {again}")


def _actor_name(command: RequestApproval | Approve | Reject) -> str:
    """Name who asks; a command without an actor comes from Farebox itself."""
    return "farebox" if command.actor is None else command.actor.name
