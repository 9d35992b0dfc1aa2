"""Errors, each a class of its own that is named after the outcome in the API's header X-Error-Code.

    try:
        charge = await farebox.charge(merchant=api_key, type="search")
    except InsufficientBalance:
        ...  # 402: tell the caller to top up
    except FareboxError as error:
        log.error("%s, asked under %s", error, error.key)

A code that this version does not know is a plain `FareboxError`, whose `code` has it.
"""

from typing import Any, ClassVar, Final


class FareboxError(Exception):
    """Something that was asked of Farebox was not done, or nobody knows whether it was.

    Attributes:
        status: The HTTP status; 0 if no answer came.
        code: The outcome's stable name.
        message: The fault, for people.
        data: The answer's data, most often None.
        key: The idempotency key that was asked under. Asking again under it never moves money twice.
        retry_after: After how many seconds the server wants to be asked again, if it says so.
        is_known: False if money may have moved all the same: an answer was lost, or the server can't tell.
    """

    default_code: ClassVar[str] = "error"

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        code: str | None = None,
        data: Any = None,
        key: str | None = None,
        retry_after: float | None = None,
        is_known: bool = True,
    ) -> None:
        """Say what was wrong."""
        self.status = status
        self.code = self.default_code if code is None else code
        self.message = message
        self.data = data
        self.key = key
        self.retry_after = retry_after
        self.is_known = is_known
        super().__init__(message)

    def __str__(self) -> str:
        """Write the code, the message, and the status if there is one."""
        return f"{self.code}: {self.message}" + (f" (HTTP {self.status})" if self.status else "")


class Unreachable(FareboxError):
    """No attempt was answered: the connection failed, was lost, or took too long.

    Whether money moved is known only if `is_known`. Ask again under `key`.
    """

    default_code = "unreachable"


class UnexpectedAnswer(FareboxError):
    """The answer is not Farebox's: most often something between here and there answered in its place."""

    default_code = "unexpected_answer"


# The ledger's own, in the order in which they take precedence.


class InvalidApiKey(FareboxError):
    """The client's own key is missing, malformed, unknown, revoked or expired."""

    default_code = "invalid_api_key"


class Forbidden(FareboxError):
    """The client's key is good, and not of the kind that may do this."""

    default_code = "forbidden"


class MerchantNotFound(FareboxError):
    """There is no such merchant, or the key that names it opens nothing."""

    default_code = "merchant_not_found"


class MerchantClosed(FareboxError):
    """The merchant is closed: nothing of it moves."""

    default_code = "merchant_closed"


class IdempotencyConflict(FareboxError):
    """The idempotency key was used for something else. It is never asked again."""

    default_code = "idempotency_conflict"


class MerchantFrozen(FareboxError):
    """The merchant is frozen and can't spend."""

    default_code = "merchant_frozen"


class ClockBehind(FareboxError):
    """The server's clock is behind the book's. Nothing moved; it is asked again."""

    default_code = "clock_behind"


class TypeRetired(FareboxError):
    """The request type has no price any more."""

    default_code = "type_retired"


class UnknownType(FareboxError):
    """There is no price for the request type."""

    default_code = "unknown_type"


class UnknownQuantity(FareboxError):
    """A quantity was named that the price has no line for."""

    default_code = "unknown_quantity"


class QuantitiesRequired(FareboxError):
    """The price has several lines: `quantities` must name them."""

    default_code = "quantities_required"


class AmountRequired(FareboxError):
    """The request type is variable: `amount` must be named."""

    default_code = "amount_required"


class AmountNotAllowed(FareboxError):
    """The request type has a price: `amount` can't be named."""

    default_code = "amount_not_allowed"


class RequestedAtOutOfBounds(FareboxError):
    """`requested_at` is to come, or too long ago."""

    default_code = "requested_at_out_of_bounds"


class CostTooLarge(FareboxError):
    """The cost is larger than can be priced exactly at once."""

    default_code = "cost_too_large"


class ApprovalNotFound(FareboxError):
    """There is no such request for approval."""

    default_code = "approval_not_found"


class ApprovalAlreadyApproved(FareboxError):
    """The request was approved before."""

    default_code = "approval_already_approved"


class ApprovalAlreadyRejected(FareboxError):
    """The request was rejected."""

    default_code = "approval_already_rejected"


class ApprovalNeedsAnotherPerson(FareboxError):
    """Nobody approves what they asked for themselves."""

    default_code = "approval_needs_another_person"


class GrantNotFound(FareboxError):
    """There is no such grant of credit."""

    default_code = "grant_not_found"


class GrantAlreadyEnded(FareboxError):
    """The grant of credit has ended."""

    default_code = "grant_already_ended"


class GrantTimesOutOfBounds(FareboxError):
    """A grant can't start or end then."""

    default_code = "grant_times_out_of_bounds"


class HoldNotFound(FareboxError):
    """There is no such hold."""

    default_code = "hold_not_found"


class HoldAlreadyCaptured(FareboxError):
    """The hold was captured before, under another idempotency key."""

    default_code = "hold_already_captured"


class HoldAlreadyReleased(FareboxError):
    """The hold was released before."""

    default_code = "hold_already_released"


class HoldExpired(FareboxError):
    """The hold's time was over, and its money went back."""

    default_code = "hold_expired"


class HoldNotDue(FareboxError):
    """The hold's time is not over yet."""

    default_code = "hold_not_due"


class HoldEndOutOfBounds(FareboxError):
    """A hold can't last until then."""

    default_code = "hold_end_out_of_bounds"


class CaptureExceedsHold(FareboxError):
    """The work came to more than was held, and `above` refuses that."""

    default_code = "capture_exceeds_hold"


class TransferNotFound(FareboxError):
    """There is no such transfer."""

    default_code = "transfer_not_found"


class TransferNotRefundable(FareboxError):
    """The transfer is no charge or capture."""

    default_code = "transfer_not_refundable"


class TransferNotReversible(FareboxError):
    """The transfer is no top-up."""

    default_code = "transfer_not_reversible"


class RefundExceedsTransfer(FareboxError):
    """More would be given back than the transfer took."""

    default_code = "refund_exceeds_transfer"


class ReversalExceedsTopUp(FareboxError):
    """More would be taken back than the top-up brought."""

    default_code = "reversal_exceeds_top_up"


class ApprovalRequired(FareboxError):
    """Another person has to approve this first."""

    default_code = "approval_required"


class MerchantNotEmpty(FareboxError):
    """A merchant is closed once it has nothing left."""

    default_code = "merchant_not_empty"


class CreditLimitInUse(FareboxError):
    """The credit limit can't be below what is drawn on it."""

    default_code = "credit_limit_in_use"


class ThresholdOutOfReach(FareboxError):
    """The balance can't reach the threshold."""

    default_code = "threshold_out_of_reach"


class AmountTooFine(FareboxError):
    """The amount has more decimals than the currency."""

    default_code = "amount_too_fine"


class KeyBudgetExceeded(FareboxError):
    """The cost goes beyond what the payer's key may spend."""

    default_code = "key_budget_exceeded"


class AmountTooLarge(FareboxError):
    """The amount is larger than any that may be moved at once."""

    default_code = "amount_too_large"


class BalanceLimitExceeded(FareboxError):
    """The balance would be larger than any that is kept."""

    default_code = "balance_limit_exceeded"


class MoneyOwed(FareboxError):
    """The merchant owes money for a top-up that was taken back, and spends nothing until it is paid."""

    default_code = "money_owed"


class InsufficientBalance(FareboxError):
    """The cost is more than can be spent."""

    default_code = "insufficient_balance"


# Those of the API.


class MalformedRequest(FareboxError):
    """The body or query is not what the API asks for."""

    default_code = "malformed_request"


class NotFound(FareboxError):
    """There is no such path or thing."""

    default_code = "not_found"


class MethodNotAllowed(FareboxError):
    """The path does not take this method."""

    default_code = "method_not_allowed"


class RequestTimeout(FareboxError):
    """The request took too long to arrive. It is asked again."""

    default_code = "request_timeout"


class PayloadTooLarge(FareboxError):
    """The body is too long."""

    default_code = "payload_too_large"


class UnsupportedMediaType(FareboxError):
    """The body is no JSON."""

    default_code = "unsupported_media_type"


class InvalidValue(FareboxError):
    """A field's value is not allowed; the message begins with the field's name."""

    default_code = "invalid_value"


class Conflict(FareboxError):
    """It is not as the request takes it to be."""

    default_code = "conflict"


class RateLimited(FareboxError):
    """Too many requests. It is asked again after `retry_after` seconds."""

    default_code = "rate_limited"


class InternalError(FareboxError):
    """The server failed in a way that nobody foresaw; its log tells more."""

    default_code = "internal_error"


class OutcomeUnknown(FareboxError):
    """Money may or may not have moved: ask again under `key`, and only under that."""

    default_code = "outcome_unknown"


class DatabaseReplaced(FareboxError):
    """The server's database is another one than it worked on, and nothing moved."""

    default_code = "database_replaced"


class Overloaded(FareboxError):
    """The server has too much to do. Nothing moved; it is asked again."""

    default_code = "overloaded"


class Unavailable(FareboxError):
    """The server can't reach its database. Nothing moved; it is asked again."""

    default_code = "unavailable"


BY_CODE: Final[dict[str, type[FareboxError]]] = {kind.default_code: kind for kind in FareboxError.__subclasses__()}
"""The class of every code."""

UNCERTAIN_CODES: Final = frozenset({OutcomeUnknown.default_code, InternalError.default_code})
"""Answers after which money may have moved all the same."""


def error_of(code: str, message: str, **more: Any) -> FareboxError:
    """Make the error of a code: of its own class, or the base class if the code is not known here."""
    return BY_CODE.get(code, FareboxError)(message, code=code, **more)
