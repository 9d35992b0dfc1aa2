"""What each request came to, for metrics and the access log, and the id by which people find it again.

The id is answered in the header X-Request-Id and stands in every line of log that the request causes. A proxy that the
operator trusts may bring one; others' are not taken, lest strangers write into the log what they like.
"""

import logging
import os
import re
import time
from collections.abc import Callable
from itertools import count
from typing import Any, Final

from msgspec import Struct
from starlette.types import Message, Scope, Send

from farebox.observe import FIELDS, REQUEST_ID
from farebox.web.client_address import Addresses

HEADER: Final = b"x-request-id"
UNMATCHED: Final = "unmatched"
"""The route of a request for a path that there is not."""

OK: Final = "ok"
GONE_STATUS: Final = 499
"""The status of a request whose client went away before it was answered; no answer has it."""

GONE: Final = "client_gone"
_KEY: Final = "watched"
_GIVEN: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_ERROR_FROM: Final = 400
_log = logging.getLogger("farebox.access")

NoteRequest = Callable[[str, str, int, str, float], None]
"""Takes a request's route, method, status, outcome, and the seconds that it took."""


class Watched(Struct):
    """A request while it is answered; those that answer it write down what it came to."""

    request_id: str
    begun: float
    route: str = ""
    status: int = GONE_STATUS
    outcome: str = GONE


def watched(scope: Scope) -> Watched:
    """Return what is noted of a request."""
    request: Watched = scope[_KEY]
    return request


class RequestWatch:
    """Gives requests their ids, and tells what they came to."""

    def __init__(self, addresses: Addresses, *, note: NoteRequest | None = None, is_logged: bool = False) -> None:
        """Tell it to `note` and, if `is_logged`, to the access log."""
        self._addresses = addresses
        self._note = note
        self._is_logged = is_logged
        self._prefix = os.urandom(6).hex()
        self._numbers = count()

    def begin(self, scope: Scope) -> Watched:
        """Begin to watch a request."""
        request_id = self._given(scope) or f"{self._prefix}{next(self._numbers):08x}"
        REQUEST_ID.set(request_id)
        request = scope[_KEY] = Watched(request_id, time.monotonic())
        return request

    def end(self, scope: Scope, request: Watched) -> None:
        """Tell what a request came to."""
        if self._note is None and not self._is_logged:
            return
        if not request.route:
            route: Any = scope.get("route")
            request.route = UNMATCHED if route is None else route.path
        seconds = time.monotonic() - request.begun
        if self._note is not None:
            self._note(request.route, scope["method"], request.status, request.outcome, seconds)
        if self._is_logged:
            self._log(scope, request, seconds)

    def sender(self, request: Watched, send: Send) -> Send:
        """Return what sends an answer and notes what it is, unless it is an endpoint's, which notes that itself."""

        async def send_watched(message: Message) -> None:
            if message["type"] == "http.response.start" and request.outcome is GONE:
                request.status = status = message["status"]
                headers = list(message.get("headers", ()))
                request.outcome = OK if status < _ERROR_FROM else _outcome(status, headers)
                message = {**message, "headers": [*headers, (HEADER, request.request_id.encode())]}
            await send(message)

        return send_watched

    def _given(self, scope: Scope) -> str:
        """Return the id that a trusted proxy brought; empty if there is none."""
        if not self._addresses.is_proxied(scope):
            return ""
        given = next((value for name, value in scope["headers"] if name == HEADER), b"")
        return given.decode("ascii") if _GIVEN.fullmatch(given) else ""

    def _log(self, scope: Scope, request: Watched, seconds: float) -> None:
        fields = {
            "method": scope["method"],
            "route": request.route,
            "status": request.status,
            "outcome": request.outcome,
            "durationMs": round(seconds * 1_000, 3),
            "address": self._addresses.of(scope) or "",
        }
        _log.info(
            "%s %s %d %s %.3f ms %s",
            *(fields[name] for name in ("method", "route", "status", "outcome", "durationMs", "address")),
            extra={FIELDS: fields},
        )


def _outcome(status: int, headers: list[tuple[bytes, bytes]]) -> str:
    """Name an error as its answer does; one of a page is named by its status."""
    return next((value.decode() for name, value in headers if name.lower() == b"x-error-code"), f"http_{status}")
