"""The audit log: who did what from where, written in the same transaction as the action itself."""

from typing import Final

from msgspec import Struct

from farebox.core import ids
from farebox.core.accounts import KIND_WORDS, Kind
from farebox.core.commands import (
    Actor,
    Adjust,
    Approve,
    Command,
    Refund,
    Reject,
    RequestApproval,
    ReverseTopUp,
    SetCreditLimit,
    SetFrozen,
    SetThresholds,
    TopUp,
)
from farebox.core.currencies import format_money_with_code
from farebox.core.outcomes import Outcome


class AuditEntry(Struct, frozen=True):
    """One action. `merchant_id` is None for what concerns the operator as a whole; `at` is microseconds since 1970."""

    entry_id: int
    merchant_id: int | None
    at: int
    actor: str
    key_id: int | None
    address: str | None
    action: str
    subject: str | None
    """The public id or e-mail address of the transfer, key, price or user that was made or changed."""
    detail: str


def audit_entry(
    actor: Actor, *, merchant_id: int | None, at: int, action: str, subject: str | None = None, detail: str = ""
) -> AuditEntry:
    """Return the entry of an action of this actor."""
    return AuditEntry(actor.entry_id, merchant_id, at, actor.name, actor.key_id, actor.address, action, subject, detail)


_ACTIONS: Final[dict[type[Command], str]] = {
    Refund: "refund",
    TopUp: "top_up",
    ReverseTopUp: "top_up_reversal",
    Adjust: "adjustment",
    SetThresholds: "set_thresholds",
    SetCreditLimit: "set_credit_limit",
    SetFrozen: "set_frozen",
    RequestApproval: "request_approval",
    Approve: "approve",
    Reject: "reject",
}


def audit_entry_of(command: Command, outcome: Outcome, currency: str, now: int) -> AuditEntry | None:
    """Return the entry of a command that an actor gave; None if it did nothing, or nothing new."""
    actor = command.actor
    if actor is None or not outcome.is_ok or outcome.is_replay:
        return None
    transfer, approval = outcome.transfer, outcome.approval
    if transfer is not None:
        subject = transfer.id
    elif approval is not None:
        subject = approval.id
    else:
        subject = ids.public_id(ids.MERCHANT, command.merchant_id)
    return audit_entry(
        actor,
        merchant_id=command.merchant_id,
        at=now,
        action=_ACTIONS[type(command)],
        subject=subject,
        detail=_detail(command, outcome, currency),
    )


def _detail(command: Command, outcome: Outcome, currency: str) -> str:
    """Describe in a line what was done: amounts with their currency, references, reasons."""
    if isinstance(command, SetThresholds):
        return ", ".join(format_money_with_code(amount, currency) for amount in sorted(set(command.amounts))) or "none"
    if isinstance(command, SetCreditLimit):
        return format_money_with_code(command.credit_limit, currency)
    if isinstance(command, SetFrozen):
        return "frozen" if command.is_frozen else "active"
    move = outcome.approval or outcome.transfer
    assert move is not None  # noqa: S101 - all else that goes through moves money, or asks or decides whether to.
    sign = "-" if move.kind == Kind.ADJUSTMENT_DEBIT else ""
    words = f"{KIND_WORDS[move.kind]} of {sign}{format_money_with_code(move.amount, currency)}"
    return ", ".join(part for part in (words, move.reference, move.note) if part)
