"""The one table that turns what the gate refuses by itself into an answer."""

from typing import Final

from farebox.service.gate.errors import (
    AmbiguousRequest,
    Misconfigured,
    NoRoute,
    RouteRefused,
    TargetTooLong,
    WrongMethod,
)
from farebox.web.envelope import ApiError, api_error

MISCONFIGURED: Final = "gate_misconfigured"


def gate_error(error: Exception) -> ApiError:
    """Turn anything that was raised into an answer, as a client is to have it."""
    match error:
        case AmbiguousRequest():
            return ApiError(400, "ambiguous_request", error.message)
        case TargetTooLong():
            return ApiError(414, "target_too_long", error.message)
        case NoRoute():
            return ApiError(404, "route_not_found", error.message)
        case WrongMethod():
            return ApiError(405, "method_not_allowed", error.message, [(b"allow", ", ".join(error.allowed).encode())])
        case RouteRefused():
            return ApiError(403, "route_refused", error.message)
        case Misconfigured():
            # What is wrong with it is for the operator, whom the log tells.
            return ApiError(500, MISCONFIGURED, "The proxy of this API is set up wrongly; its operator has to look")
        case _:
            return api_error(error)
