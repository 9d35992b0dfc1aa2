"""What the gate refuses by itself, ahead of any key or money; the docstring is the default message."""

from farebox.service.errors import ServiceError


class AmbiguousRequest(ServiceError):
    """This request may be read in more than one way."""


class TargetTooLong(ServiceError):
    """The request's target is too long for the gate."""


class NoRoute(ServiceError):
    """The gate lets no request for this path through."""


class WrongMethod(ServiceError):
    """The gate lets no request with this method for this path through."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        """Name the methods that it lets through; they are in order."""
        super().__init__(f"This path takes {', '.join(allowed)}")
        self.allowed = allowed


class RouteRefused(ServiceError):
    """The gate is told to let no such request through."""


class Misconfigured(ServiceError):
    """The proxy asks the gate in a way that it must not."""
