"""Permissions: the kinds of API key for each command, and the roles of staff for each operation.

The one table of operations is what the API, the pages, the command line and the ledger itself go by.
"""

from enum import StrEnum
from typing import Final

from farebox.core.commands import (
    Adjust,
    Approve,
    Caller,
    CaptureHold,
    Charge,
    Command,
    CreateHold,
    EndGrant,
    ExtendHold,
    GiveCredit,
    KeyKind,
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
from farebox.core.outcomes import Code, Outcome, refused
from farebox.core.staff_roles import EVERY_ROLE, StaffRole, roles_in_words
from farebox.core.state import KeyRecord


class Operation(StrEnum):
    """What staff do, as far as roles tell it apart."""

    READ = "read"
    TOP_UP = "top_up"
    REVERSE_TOP_UP = "reverse_top_up"
    ADJUST = "adjust"
    GIVE_CREDIT = "give_credit"
    REFUND = "refund"
    MANAGE_HOLDS = "manage_holds"
    SET_CREDIT_LIMIT = "set_credit_limit"
    DECIDE_APPROVAL = "decide_approval"
    FREEZE = "freeze"
    ANNOTATE = "annotate"
    MANAGE_USERS = "manage_users"
    RUN_SERVER = "run_server"
    MANAGE_MERCHANTS = "manage_merchants"
    SET_THRESHOLDS = "set_thresholds"
    SET_PRICE = "set_price"
    MANAGE_MERCHANT_KEYS = "manage_merchant_keys"
    SUSPEND_MERCHANT_KEY = "suspend_merchant_key"
    MANAGE_KEYS = "manage_keys"
    MANAGE_DESTINATIONS = "manage_destinations"
    MANAGE_STAFF = "manage_staff"
    CONFIRM_STAFF = "confirm_staff"


_ANY: Final = StaffRole.VIEWER | EVERY_ROLE
_MONEY: Final = StaffRole.SUPPORT
_SETUP: Final = StaffRole.ADMINISTRATOR

ALLOWED_ROLES: Final[dict[Operation, StaffRole]] = {
    Operation.READ: _ANY,
    Operation.TOP_UP: _MONEY,
    Operation.REVERSE_TOP_UP: _MONEY,
    Operation.ADJUST: _MONEY,
    Operation.GIVE_CREDIT: _MONEY,
    Operation.REFUND: _MONEY,
    Operation.MANAGE_HOLDS: _MONEY,
    Operation.SET_CREDIT_LIMIT: _MONEY,
    Operation.DECIDE_APPROVAL: _MONEY,
    Operation.FREEZE: EVERY_ROLE,
    Operation.ANNOTATE: EVERY_ROLE,
    Operation.MANAGE_USERS: EVERY_ROLE,
    Operation.RUN_SERVER: EVERY_ROLE,
    Operation.MANAGE_MERCHANTS: _SETUP,
    Operation.SET_THRESHOLDS: _SETUP,
    Operation.SET_PRICE: _SETUP,
    Operation.MANAGE_MERCHANT_KEYS: _SETUP,
    Operation.SUSPEND_MERCHANT_KEY: EVERY_ROLE,
    Operation.MANAGE_KEYS: _SETUP,
    Operation.MANAGE_DESTINATIONS: _SETUP,
    Operation.MANAGE_STAFF: _SETUP,
    Operation.CONFIRM_STAFF: EVERY_ROLE,
}
"""The roles for each operation, any one of which is enough.

Duties are separate: one role moves money, another sets up keys, staff and prices. A person who is to do both is given
both roles.
"""

OPERATION_WORDS: Final[dict[Operation, str]] = {
    Operation.READ: "Reading this",
    Operation.TOP_UP: "Topping up",
    Operation.REVERSE_TOP_UP: "Taking a top-up back",
    Operation.ADJUST: "Adjusting a balance",
    Operation.GIVE_CREDIT: "Giving credit, or ending it",
    Operation.REFUND: "Refunding",
    Operation.MANAGE_HOLDS: "Extending or releasing a hold",
    Operation.SET_CREDIT_LIMIT: "Setting a credit limit",
    Operation.DECIDE_APPROVAL: "Approving or rejecting",
    Operation.FREEZE: "Freezing or unfreezing a merchant",
    Operation.ANNOTATE: "Tagging a merchant or noting something about it",
    Operation.MANAGE_USERS: "Changing a merchant's users",
    Operation.RUN_SERVER: "Verifying the ledger or sending mails again",
    Operation.MANAGE_MERCHANTS: "Adding, renaming or closing a merchant",
    Operation.SET_THRESHOLDS: "Setting a merchant's thresholds",
    Operation.SET_PRICE: "Setting prices",
    Operation.MANAGE_MERCHANT_KEYS: "Making or ending a merchant's API keys",
    Operation.SUSPEND_MERCHANT_KEY: "Suspending or resuming a merchant's API key",
    Operation.MANAGE_KEYS: "Making or ending keys of services and support",
    Operation.MANAGE_DESTINATIONS: "Setting up webhooks and chats, or sending events anew",
    Operation.MANAGE_STAFF: "Changing who the staff are",
    Operation.CONFIRM_STAFF: "Confirming an account of the staff",
}
"""What each operation is, as a refusal begins."""

USER_OPERATIONS: Final = frozenset(
    {
        Operation.SET_THRESHOLDS,
        Operation.MANAGE_USERS,
        Operation.MANAGE_MERCHANT_KEYS,
        Operation.SUSPEND_MERCHANT_KEY,
        Operation.MANAGE_DESTINATIONS,
    }
)
"""What a merchant's users do on their own account, as far as its pages let them."""

_SUPPORT_KIND: Final = KeyKind.SUPPORT
_SERVICE: Final = frozenset({KeyKind.SERVICE})
_SUPPORT: Final = frozenset({KeyKind.SUPPORT})
ALLOWED_KEYS: Final[dict[type[Command], frozenset[KeyKind]]] = {
    Charge: _SERVICE,
    CreateHold: _SERVICE,
    CaptureHold: _SERVICE,
    ReleaseHold: _SERVICE | _SUPPORT,
    ExtendHold: _SERVICE | _SUPPORT,
    Refund: _SERVICE | _SUPPORT,
    TopUp: _SUPPORT,
    ReverseTopUp: _SUPPORT,
    Adjust: _SUPPORT,
    GiveCredit: _SUPPORT,
    EndGrant: _SUPPORT,
    SetThresholds: _SUPPORT,
    SetCreditLimit: _SUPPORT,
    SetFrozen: _SUPPORT,
    SetClosed: _SUPPORT,
    Approve: _SUPPORT,
    Reject: _SUPPORT,
}
"""The kinds of key for each command. A command without a caller comes from Farebox itself or from its own shell."""

OPERATIONS: Final[dict[type[Command], Operation]] = {
    Refund: Operation.REFUND,
    ReleaseHold: Operation.MANAGE_HOLDS,
    ExtendHold: Operation.MANAGE_HOLDS,
    TopUp: Operation.TOP_UP,
    ReverseTopUp: Operation.REVERSE_TOP_UP,
    Adjust: Operation.ADJUST,
    GiveCredit: Operation.GIVE_CREDIT,
    EndGrant: Operation.GIVE_CREDIT,
    SetThresholds: Operation.SET_THRESHOLDS,
    SetCreditLimit: Operation.SET_CREDIT_LIMIT,
    SetFrozen: Operation.FREEZE,
    SetClosed: Operation.MANAGE_MERCHANTS,
    Approve: Operation.DECIDE_APPROVAL,
    Reject: Operation.DECIDE_APPROVAL,
}
"""The operation that each of support's commands is; a request for approval is that of the move it asks for."""


def role_refusal(operation: Operation, roles: int) -> str | None:
    """Say why somebody of these roles may not do this, naming the role that it needs; None if they may."""
    needed = ALLOWED_ROLES[operation]
    if needed & roles:
        return None
    words = roles_in_words(needed, between="or")
    return f"{OPERATION_WORDS[operation]} needs the role {words}; yours is {roles_in_words(roles)}"


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
    # To ask for what may need a second person is as good as to do it.
    asked = command.move if type(command) is RequestApproval else command
    if key.kind not in ALLOWED_KEYS[type(asked)]:
        return refused(Code.FORBIDDEN, "This kind of API key may not do this")
    if key.kind == _SUPPORT_KIND:
        refusal = role_refusal(OPERATIONS[type(asked)], key.roles)
        if refusal is not None:
            return refused(Code.FORBIDDEN, refusal)
    return None
