"""The audit log: who did what from where, written in the same transaction as the action itself."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from farebox.core import ids
from farebox.core.accounts import Kind
from farebox.core.approvals import REQUEST_WORDS
from farebox.core.commands import (
    Actor,
    Adjust,
    Approve,
    Command,
    EndGrant,
    ExtendHold,
    GiveCredit,
    Refund,
    Reject,
    ReleaseHold,
    RequestApproval,
    ReverseTopUp,
    SetClosed,
    SetCreditLimit,
    SetFrozen,
    SetThresholds,
    TopUp,
)
from farebox.core.credit.grants import Grant, GrantTerms, read_terms
from farebox.core.currencies import format_money_with_code
from farebox.core.outcomes import Outcome
from farebox.core.transfers import Transfer


class Action(StrEnum):
    """What an actor did. The words are in the database: a member never changes its own."""

    REFUND = "refund"
    TOP_UP = "top_up"
    TOP_UP_REVERSAL = "top_up_reversal"
    ADJUSTMENT = "adjustment"
    GIVE_CREDIT = "give_credit"
    END_GRANT = "end_grant"
    RELEASE_HOLD = "release_hold"
    EXTEND_HOLD = "extend_hold"
    SET_THRESHOLDS = "set_thresholds"
    SET_RUNWAY_THRESHOLDS = "set_runway_thresholds"
    SET_CREDIT_LIMIT = "set_credit_limit"
    SET_FROZEN = "set_frozen"
    SET_CLOSED = "set_closed"
    SET_TAGS = "set_tags"
    NOTE = "note"
    REQUEST_APPROVAL = "request_approval"
    APPROVE = "approve"
    REJECT = "reject"
    CREATE_MERCHANT = "create_merchant"
    RENAME_MERCHANT = "rename_merchant"
    LOOK_AS_MERCHANT = "look_as_merchant"
    ADD_USER = "add_user"
    INVITE_USER = "invite_user"
    SET_ROLE = "set_role"
    REMOVE_USER = "remove_user"
    DELETE_PERSON = "delete_person"
    STOP_MAILS = "stop_mails"
    CREATE_KEY = "create_key"
    EXPIRE_KEY = "expire_key"
    ROTATE_KEY = "rotate_key"
    REVOKE_KEY = "revoke_key"
    SUSPEND_KEY = "suspend_key"
    RESUME_KEY = "resume_key"
    ASSIGN_KEY = "assign_key"
    RENAME_KEY = "rename_key"
    SET_KEY_BUDGET = "set_key_budget"
    ADD_DESTINATION = "add_destination"
    CHANGE_DESTINATION = "change_destination"
    ROTATE_DESTINATION_SECRET = "rotate_destination_secret"  # noqa: S105 - it names an action.
    SET_DESTINATION_STATE = "set_destination_state"
    DELETE_DESTINATION = "delete_destination"
    REPLAY_DELIVERIES = "replay_deliveries"
    SET_MAIL_KINDS = "set_mail_kinds"
    SET_PRICE = "set_price"
    IMPORT_PRICES = "import_prices"
    IMPORT = "import"
    END_PRICE = "end_price"
    WITHDRAW_PRICE = "withdraw_price"
    ADD_STAFF = "add_staff"
    INVITE_STAFF = "invite_staff"
    CONFIRM_STAFF = "confirm_staff"
    SET_STAFF_ROLES = "set_staff_roles"
    CLOSE_STAFF = "close_staff"
    REOPEN_STAFF = "reopen_staff"
    DISABLE_TWO_FACTOR = "disable_two_factor"
    RETRY_MAILS = "retry_mails"
    VERIFY = "verify"
    MERGE_USERS = "merge_users"
    MERGE_LOGINS = "merge_logins"
    SET_LOGIN_ASIDE = "set_login_aside"


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
    actor: Actor, *, merchant_id: int | None, at: int, action: Action, subject: str | None = None, detail: str = ""
) -> AuditEntry:
    """Return the entry of an action of this actor."""
    return AuditEntry(
        actor.entry_id, merchant_id, at, actor.name, actor.key_id, actor.address, action.value, subject, detail
    )


_ACTIONS: Final[dict[type[Command], Action]] = {
    Refund: Action.REFUND,
    TopUp: Action.TOP_UP,
    ReverseTopUp: Action.TOP_UP_REVERSAL,
    Adjust: Action.ADJUSTMENT,
    GiveCredit: Action.GIVE_CREDIT,
    EndGrant: Action.END_GRANT,
    ReleaseHold: Action.RELEASE_HOLD,
    ExtendHold: Action.EXTEND_HOLD,
    SetThresholds: Action.SET_THRESHOLDS,
    SetCreditLimit: Action.SET_CREDIT_LIMIT,
    SetFrozen: Action.SET_FROZEN,
    SetClosed: Action.SET_CLOSED,
    RequestApproval: Action.REQUEST_APPROVAL,
    Approve: Action.APPROVE,
    Reject: Action.REJECT,
}


def audit_entry_of(
    command: Command, outcome: Outcome, currency: str, now: int, *, credit_limit_before: int
) -> AuditEntry | None:
    """Return the entry of a command that an actor gave; None if it did nothing, or nothing new.

    `credit_limit_before` is what the book's credit limit was ahead of its last change.
    """
    if isinstance(command, RequestApproval) and outcome.approval is None:
        # It needed nobody else, and was made.
        command = command.move
    actor = command.actor
    if actor is None or not outcome.is_ok or outcome.is_replay:
        return None
    transfer, approval = outcome.transfer, outcome.approval
    if outcome.grant is not None:
        subject = outcome.grant.id
    elif transfer is not None:
        subject = transfer.id
    elif approval is not None:
        subject = approval.id
    elif outcome.hold is not None:
        subject = outcome.hold.id
    else:
        subject = ids.public_id(ids.MERCHANT, command.merchant_id)
    return audit_entry(
        actor,
        merchant_id=command.merchant_id,
        at=now,
        action=_ACTIONS[type(command)],
        subject=subject,
        detail=_detail(command, outcome, currency, credit_limit_before),
    )


def _detail(command: Command, outcome: Outcome, currency: str, credit_limit_before: int) -> str:
    """Describe in a line what was done: amounts with their currency, references, reasons."""
    if isinstance(command, SetThresholds):
        return ", ".join(format_money_with_code(amount, currency) for amount in sorted(set(command.amounts))) or "none"
    if isinstance(command, SetCreditLimit):
        before, after = (
            format_money_with_code(amount, currency) for amount in (credit_limit_before, command.credit_limit)
        )
        return f"from {before} to {after}"
    if isinstance(command, SetClosed):
        return f"{'closed' if command.is_closed else 'reopened'}, {command.reason}"
    if isinstance(command, SetFrozen):
        return "frozen" if command.is_frozen else "active"
    if isinstance(command, ExtendHold) and outcome.hold is not None:
        return f"{format_money_with_code(outcome.hold.amount, currency)} until {_time(command.expires_at)}"
    if outcome.grant is not None:
        return _grant_detail(command, outcome.grant, outcome.transfer, currency)
    move = outcome.approval or outcome.transfer
    assert move is not None  # noqa: S101 - all else that goes through moves money, or asks or decides whether to.
    sign = "-" if move.kind == Kind.ADJUSTMENT_DEBIT else ""
    words = f"{REQUEST_WORDS[move.kind]} of {sign}{format_money_with_code(move.amount, currency)}"
    text = None if outcome.approval is None else outcome.approval.terms
    terms = [] if text is None else _words_of_terms(read_terms(text)[1])
    missing = None if outcome.transfer is None else outcome.transfer.uncollected
    owed = None if missing is None else f"{format_money_with_code(missing, currency)} more is owed"
    return ", ".join(part for part in (words, owed, *terms, move.reference, move.note) if part)


def _grant_detail(command: Command, grant: Grant, transfer: Transfer | None, currency: str) -> str:
    if isinstance(command, EndGrant):
        left = 0 if transfer is None else transfer.amount
        words = f"{REQUEST_WORDS[Kind.GRANT_EXPIRY]} of {format_money_with_code(left, currency)}"
        return f"{words}, {grant.reference}, {command.reason}"
    terms = grant.terms if transfer is not None else replace(grant.terms, starts_at=grant.starts_at)
    words = f"{REQUEST_WORDS[Kind.GRANT]} of {format_money_with_code(grant.amount, currency)}"
    return ", ".join((words, *_words_of_terms(terms), grant.reference, grant.reason))


def _words_of_terms(terms: GrantTerms) -> list[str]:
    """Describe what is agreed about a grant, beside its amount."""
    words = []
    if terms.starts_at is not None:
        words.append(f"from {_time(terms.starts_at)}")
    if terms.expires_at is not None:
        words.append(f"until {_time(terms.expires_at)}")
    if terms.types is not None:
        words.append(f"for {terms.types}")
    if terms.priority:
        words.append(f"priority {terms.priority}")
    return words


def _time(micros: int) -> str:
    """Write a time to the second, in UTC."""
    return f"{datetime.fromtimestamp(micros // 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"
