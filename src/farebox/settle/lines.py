"""What a line of an access log tells of one request, whichever proxy wrote it."""

from typing import Final

from msgspec import Struct

SERVER_ERRORS: Final = 500
"""The first status that says that the API failed."""


class LogLine(Struct, frozen=True, kw_only=True):
    """A request that the gate let through."""

    token: str
    """What the gate signed; it is checked later."""
    is_reached: bool
    """Whether the request was sent to the API."""
    answered: int | None
    """The status that the API answered, or that the proxy answered in its place; None if there was no answer."""
    has_client_left: bool = False
    """Whether the client was gone before the API answered."""
    at: float | None = None
    """When it was, in seconds since 1970, if the line tells."""
    reference: str | None = None
    """What the proxy calls the request, for the statement."""


class UnreadableLine(ValueError):
    """The line can't be read; the message says why."""


def is_served(line: LogLine, *, is_leaving_charged: bool) -> bool:
    """Tell whether a request is paid for.

    Args:
        line: what the log tells of it.
        is_leaving_charged: whether one is whose client left while the API worked.
    """
    if not line.is_reached:
        return False
    if line.has_client_left:
        return is_leaving_charged
    return line.answered is not None and line.answered < SERVER_ERRORS
