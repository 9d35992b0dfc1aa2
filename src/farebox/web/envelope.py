"""The one envelope of every answer under /api/, and the one table that turns outcomes and errors into HTTP."""

import logging
import re
from http import HTTPStatus
from typing import Final

import msgspec
from msgspec import Struct
from starlette.types import Scope

from farebox.core.outcomes import Code
from farebox.service import errors

RETRY_AFTER_SECONDS: Final = 1
RETRY_AFTER: Final = (b"retry-after", b"%d" % RETRY_AFTER_SECONDS)
"""The header that says so."""

INTERNAL_ERROR_MESSAGE: Final = "Internal server error"

STATUS: Final[dict[Code, int]] = {
    Code.OK: 200,
    Code.INVALID_API_KEY: 401,
    Code.FORBIDDEN: 403,
    Code.MERCHANT_NOT_FOUND: 404,
    Code.MERCHANT_CLOSED: 403,
    Code.IDEMPOTENCY_CONFLICT: 409,
    Code.MERCHANT_FROZEN: 403,
    Code.CLOCK_BEHIND: 503,
    Code.TYPE_RETIRED: 422,
    Code.UNKNOWN_TYPE: 422,
    Code.UNKNOWN_QUANTITY: 422,
    Code.QUANTITIES_REQUIRED: 422,
    Code.AMOUNT_REQUIRED: 422,
    Code.AMOUNT_NOT_ALLOWED: 422,
    Code.REQUESTED_AT_OUT_OF_BOUNDS: 422,
    Code.COST_TOO_LARGE: 422,
    Code.APPROVAL_NOT_FOUND: 404,
    Code.APPROVAL_ALREADY_APPROVED: 409,
    Code.APPROVAL_ALREADY_REJECTED: 409,
    Code.APPROVAL_NEEDS_ANOTHER_PERSON: 403,
    Code.GRANT_NOT_FOUND: 404,
    Code.GRANT_ALREADY_ENDED: 409,
    Code.GRANT_TIMES_OUT_OF_BOUNDS: 422,
    Code.HOLD_NOT_FOUND: 404,
    Code.HOLD_ALREADY_CAPTURED: 409,
    Code.HOLD_ALREADY_RELEASED: 409,
    Code.HOLD_EXPIRED: 409,
    Code.HOLD_NOT_DUE: 409,
    Code.HOLD_END_OUT_OF_BOUNDS: 422,
    Code.CAPTURE_EXCEEDS_HOLD: 422,
    Code.TRANSFER_NOT_FOUND: 404,
    Code.TRANSFER_NOT_REFUNDABLE: 409,
    Code.TRANSFER_NOT_REVERSIBLE: 409,
    Code.REFUND_EXCEEDS_TRANSFER: 409,
    Code.REVERSAL_EXCEEDS_TOP_UP: 409,
    Code.APPROVAL_REQUIRED: 403,
    Code.MERCHANT_NOT_EMPTY: 409,
    Code.CREDIT_LIMIT_IN_USE: 409,
    Code.THRESHOLD_OUT_OF_REACH: 422,
    Code.AMOUNT_TOO_FINE: 422,
    Code.KEY_BUDGET_EXCEEDED: 402,
    Code.AMOUNT_TOO_LARGE: 422,
    Code.BALANCE_LIMIT_EXCEEDED: 422,
    Code.MONEY_OWED: 402,
    Code.INSUFFICIENT_BALANCE: 402,
}

Headers = list[tuple[bytes, bytes]]

_log = logging.getLogger("farebox.web")
_KEY: Final = re.compile("fb[msu]_[0-9A-Z]{20,}", re.IGNORECASE)
_STREAM_HEADERS: Final = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
_BASE_HEADERS: Final = [(b"content-type", b"application/json"), *_STREAM_HEADERS]


class ApiError(Exception):
    """An answer other than success: its HTTP status, its outcome's stable name, and what to tell the caller."""

    def __init__(self, status: int, code: str, message: str, headers: Headers | None = None) -> None:
        """Compose the answer; `headers` go beside the usual ones."""
        # A caller who puts a key where none belongs is not told it again: answers end up in logs.
        self.message = _KEY.sub("***", message) if "fb" in message else message
        super().__init__(self.message)
        self.status = status
        self.code = code
        self.headers = headers or []


class _ErrorBody(Struct, rename="camel"):
    is_success: bool
    status_code: int
    error_message: str
    data: None = None


def success_body(data: bytes, status: int = HTTPStatus.OK) -> bytes:
    """Put an answer's data, JSON already, into the envelope."""
    return b'{"isSuccess":true,"statusCode":%d,"errorMessage":null,"data":%b}' % (status, data)


def error_body(status: int, message: str) -> bytes:
    """Put an error into the envelope."""
    return msgspec.json.encode(_ErrorBody(False, status, message))


def api_error(error: Exception) -> ApiError:
    """Turn anything that was raised into an answer; what nobody foresaw is logged and told no more than that."""
    match error:
        case ApiError():
            return error
        case errors.Refused():
            status = STATUS[error.outcome.code]
            return ApiError(status, error.outcome.code, error.message, [RETRY_AFTER] if status == 503 else None)
        case errors.InvalidInput():
            return ApiError(422, "invalid_value", f"{error.field}: {error.message}")
        case errors.InvalidKey():
            return ApiError(401, Code.INVALID_API_KEY, error.message)
        case errors.NeedsAnotherPerson():
            return ApiError(403, Code.APPROVAL_NEEDS_ANOTHER_PERSON, error.message)
        case errors.Forbidden():
            return ApiError(403, Code.FORBIDDEN, error.message)
        case errors.UnknownMerchant():
            return ApiError(404, Code.MERCHANT_NOT_FOUND, error.message)
        case errors.Missing():
            return ApiError(404, "not_found", error.message)
        case errors.Conflict():
            return ApiError(409, "conflict", error.message)
        case errors.Overloaded():
            return ApiError(503, "overloaded", error.message, [RETRY_AFTER])
        case errors.DatabaseReplaced():
            return ApiError(503, "database_replaced", error.message, [RETRY_AFTER])
        case errors.Unavailable():
            return ApiError(503, "unavailable", error.message, [RETRY_AFTER])
        case errors.FateUnknown():
            return ApiError(500, "outcome_unknown", error.message)
        case _:
            _log.error("a request failed", exc_info=error)
            return ApiError(500, "internal_error", INTERNAL_ERROR_MESSAGE)


def method_not_allowed(allowed: bytes) -> ApiError:
    """Say which methods a path takes."""
    return ApiError(405, "method_not_allowed", f"This path takes {allowed.decode()}", [(b"allow", allowed)])


def answer_headers(body: bytes, headers: Headers) -> Headers:
    """Compose the headers of an answer with this body: the usual ones and `headers`."""
    return [*_BASE_HEADERS, (b"content-length", b"%d" % len(body)), *headers]


def stream_headers(headers: Headers) -> Headers:
    """Compose the headers of an answer that is sent piece by piece, or has no body; `headers` tell the rest."""
    return [*_STREAM_HEADERS, *headers]


def error_headers(error: ApiError, body: bytes, headers: Headers) -> Headers:
    """Compose the headers of an error's answer; X-Error-Code has its name."""
    return answer_headers(body, [(b"x-error-code", error.code.encode()), *error.headers, *headers])


def path_is_api(scope: Scope) -> bool:
    """Whether a request is for the API, whose every answer has the envelope."""
    path: str = scope["path"]
    return path == "/api" or path.startswith("/api/")
