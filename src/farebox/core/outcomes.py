"""Outcomes: what became of a command. An expected refusal is a value here, never an exception."""

from enum import StrEnum
from typing import Final, final

from msgspec import Struct

from farebox.core.approvals import Approval
from farebox.core.credit.grants import Grant
from farebox.core.holds import Hold
from farebox.core.transfers import Transfer


class Code(StrEnum):
    """The stable name of an outcome, in the order in which refusals take precedence."""

    OK = "ok"
    INVALID_API_KEY = "invalid_api_key"
    FORBIDDEN = "forbidden"
    MERCHANT_NOT_FOUND = "merchant_not_found"
    MERCHANT_CLOSED = "merchant_closed"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    MERCHANT_FROZEN = "merchant_frozen"
    CLOCK_BEHIND = "clock_behind"
    TYPE_RETIRED = "type_retired"
    UNKNOWN_TYPE = "unknown_type"
    UNKNOWN_QUANTITY = "unknown_quantity"
    QUANTITIES_REQUIRED = "quantities_required"
    AMOUNT_REQUIRED = "amount_required"
    AMOUNT_NOT_ALLOWED = "amount_not_allowed"
    REQUESTED_AT_OUT_OF_BOUNDS = "requested_at_out_of_bounds"
    COST_TOO_LARGE = "cost_too_large"
    APPROVAL_NOT_FOUND = "approval_not_found"
    APPROVAL_ALREADY_APPROVED = "approval_already_approved"
    APPROVAL_ALREADY_REJECTED = "approval_already_rejected"
    APPROVAL_NEEDS_ANOTHER_PERSON = "approval_needs_another_person"
    GRANT_NOT_FOUND = "grant_not_found"
    GRANT_ALREADY_ENDED = "grant_already_ended"
    GRANT_TIMES_OUT_OF_BOUNDS = "grant_times_out_of_bounds"
    HOLD_NOT_FOUND = "hold_not_found"
    HOLD_ALREADY_CAPTURED = "hold_already_captured"
    HOLD_ALREADY_RELEASED = "hold_already_released"
    HOLD_EXPIRED = "hold_expired"
    HOLD_NOT_DUE = "hold_not_due"
    HOLD_END_OUT_OF_BOUNDS = "hold_end_out_of_bounds"
    CAPTURE_EXCEEDS_HOLD = "capture_exceeds_hold"
    TRANSFER_NOT_FOUND = "transfer_not_found"
    TRANSFER_NOT_REFUNDABLE = "transfer_not_refundable"
    TRANSFER_NOT_REVERSIBLE = "transfer_not_reversible"
    REFUND_EXCEEDS_TRANSFER = "refund_exceeds_transfer"
    REVERSAL_EXCEEDS_TOP_UP = "reversal_exceeds_top_up"
    APPROVAL_REQUIRED = "approval_required"
    MERCHANT_NOT_EMPTY = "merchant_not_empty"
    CREDIT_LIMIT_IN_USE = "credit_limit_in_use"
    THRESHOLD_OUT_OF_REACH = "threshold_out_of_reach"
    AMOUNT_TOO_FINE = "amount_too_fine"
    KEY_BUDGET_EXCEEDED = "key_budget_exceeded"
    AMOUNT_TOO_LARGE = "amount_too_large"
    BALANCE_LIMIT_EXCEEDED = "balance_limit_exceeded"
    MONEY_OWED = "money_owed"
    INSUFFICIENT_BALANCE = "insufficient_balance"


@final
class Outcome(Struct, frozen=True, gc=False):
    """What one command came to.

    A command that moved money carries its transfer, and the hold that it made or ended, if any, as it now stands. One
    that asked for an approval, or gave or refused one, carries that as it now stands. So does one that made or ended a
    grant of credit, which may move no money yet.
    `is_replay` marks the first answer given again. A refusal carries a message that says what was wrong and moved
    nothing.
    """

    code: Code
    transfer: Transfer | None = None
    hold: Hold | None = None
    is_replay: bool = False
    message: str | None = None
    approval: Approval | None = None
    grant: Grant | None = None
    charge: Transfer | None = None
    """What a capture took above its hold."""

    @property
    def is_ok(self) -> bool:
        """Whether the command did, or had done, what was asked."""
        return self.code is OK


OK: Final = Code.OK
"""Kept by itself where every charge needs it: to look a name up in an enumeration takes several times as long."""

DONE: Final = Outcome(OK)
"""A setting was changed (or already was so); no money moved."""


def refused(code: Code, message: str) -> Outcome:
    """Refuse a command, saying why."""
    return Outcome(code, message=message)
