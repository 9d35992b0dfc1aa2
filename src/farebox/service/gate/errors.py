"""What the gate refuses by itself, ahead of any key or money; the docstring is the default message."""

from typing import ClassVar

from farebox.service.errors import ServiceError


class GateError(ServiceError):
    """The gate refuses."""

    code: ClassVar[str]
    """The stable name of the refusal."""


class AmbiguousRequest(GateError):
    """This request may be read in more than one way."""

    code = "ambiguous_request"


class TargetTooLong(GateError):
    """The request's target is too long for the gate."""

    code = "target_too_long"


class NoRoute(GateError):
    """The gate lets no request for this path through."""

    code = "route_not_found"


class WrongMethod(GateError):
    """The gate lets no request with this method for this path through."""

    code = "method_not_allowed"

    def __init__(self, allowed: tuple[str, ...]) -> None:
        """Name the methods that it lets through; they are in order."""
        super().__init__(f"This path takes {', '.join(allowed)}")
        self.allowed = allowed


class RouteRefused(GateError):
    """The gate is told to let no such request through."""

    code = "route_refused"


class Misconfigured(GateError):
    """The proxy asks the gate in a way that it must not."""

    code = "gate_misconfigured"
