"""The one table that turns what the gate refuses by itself into an answer."""

from typing import Final

from farebox.service.gate.errors import (
    AmbiguousRequest,
    GateError,
    Misconfigured,
    NoRoute,
    RouteRefused,
    TargetTooLong,
    WrongMethod,
)
from farebox.web.envelope import ApiError, api_error

STATUS: Final[dict[type[GateError], int]] = {
    AmbiguousRequest: 400,
    RouteRefused: 403,
    NoRoute: 404,
    WrongMethod: 405,
    TargetTooLong: 414,
    Misconfigured: 500,
}


def gate_error(error: Exception) -> ApiError:
    """Turn anything that was raised into an answer, as a client is to have it."""
    if not isinstance(error, GateError):
        return api_error(error)
    message, headers = error.message, None
    if isinstance(error, WrongMethod):
        headers = [(b"allow", ", ".join(error.allowed).encode())]
    elif isinstance(error, Misconfigured):
        # The log tells the operator which fault it is.
        message = "The proxy of this API is set up wrongly; its operator has to look"
    return ApiError(STATUS[type(error)], error.code, message, headers)
