"""One request and its answer, as ASGI has them.

Specification: ASGI 3.0, HTTP and WebSocket message format 2.3, where sending to a client that is gone does nothing.
"""

import asyncio
import logging
from http import HTTPStatus
from typing import Final, Protocol

from starlette.types import ASGIApp, Message, Scope

WHOLE_BODY: Final = "farebox.whole_body"
"""Stands among the extensions of a request whose body has come: nobody need wait for it."""

BODY_BYTES_AHEAD: Final = 64 * 1024
"""How much of a body is received ahead of the application."""

_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus if status >= 200
}
_BODILESS: Final = frozenset({204, 304})
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding", b"connection"})
_WITH_WHOLE_BODY: Final[dict[str, dict[str, str]]] = {WHOLE_BODY: {}}
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_DISCONNECT: Final[Message] = {"type": "http.disconnect"}

_log = logging.getLogger("farebox.http")


class Wire(Protocol):
    """What an exchange asks of the connection that it is on."""

    is_lost: bool
    """Whether nothing can be sent any more."""
    is_full: bool
    """Whether the client takes less than is sent to it."""
    is_closing: bool
    """Whether the connection ends with this answer."""

    @property
    def date_line(self) -> bytes:
        """The header that tells the time."""
        ...

    def write(self, data: bytes) -> None:
        """Send some bytes."""
        ...

    def resume(self) -> None:
        """Read on, if reading was left off because of a body."""
        ...

    async def drained(self) -> None:
        """Wait until the client has taken what was sent."""
        ...

    def end(self, exchange: "Exchange") -> None:
        """Go on after an answer, or end with it."""
        ...


class Exchange:
    """Receives one request's body for the application, and sends what that answers."""

    __slots__ = (
        "_body",
        "_connection",
        "_expects_continue",
        "_has_ended",
        "_head",
        "_is_chunked",
        "_is_given",
        "_left",
        "_task",
        "_waiter",
        "has_begun",
        "has_whole_body",
        "is_answered",
        "is_gone",
        "is_http_1_1",
        "is_kept",
        "scope",
    )

    def __init__(self, connection: Wire, scope: Scope, *, is_kept: bool, expects_continue: bool) -> None:
        """Begin with a head, and none of the body.

        Args:
            connection: what the request came on.
            scope: the head, as ASGI has it.
            is_kept: whether the client keeps the connection.
            expects_continue: whether the client waits for word before it sends the body.
        """
        self.scope = scope
        self.is_kept = is_kept
        self.is_http_1_1 = scope["http_version"] != "1.0"
        """Whether the client knows pieces of a body (`transfer-encoding: chunked`)."""
        self.has_whole_body = False
        """Whether all of the body has come, wherever it is by now."""
        self.has_begun = False
        """Whether the answer's head is sent."""
        self.is_answered = False
        self.is_gone = False
        """Whether the client sends no more: it has closed its side, or the connection is lost."""
        self._connection = connection
        self._expects_continue = expects_continue
        self._body: bytes | bytearray = b""
        self._is_given = False
        self._waiter: asyncio.Future[None] | None = None
        self._head = b""
        self._left: int | None = None
        self._is_chunked = False
        self._has_ended = False
        self._task: asyncio.Task[None] | None = None

    def begin(self, app: ASGIApp, loop: asyncio.AbstractEventLoop) -> None:
        """Let the application answer."""
        if self.has_whole_body:
            self.scope["extensions"] = _WITH_WHOLE_BODY
        self._task = loop.create_task(self._run(app))

    # What the connection tells.

    def take(self, piece: bytes) -> bool:
        """Take a piece of the body; tell whether there is room for more."""
        if self._body:
            if type(self._body) is bytes:
                self._body = bytearray(self._body)
            self._body += piece
        else:
            self._body = piece
        self._wake()
        return len(self._body) <= BODY_BYTES_AHEAD

    def end_body(self) -> None:
        """Note that the body is whole."""
        self.has_whole_body = True
        self._wake()

    def leave(self) -> None:
        """Note that the client sends no more."""
        self.is_gone = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What the application is given.

    async def receive(self) -> Message:
        """Return the next piece of the body, or hear that the client sends no more."""
        while True:
            if not (self._body or self.has_whole_body):
                # Reading may have been left off for the requests that came before this one.
                self._connection.resume()
            if self._body or (self.has_whole_body and not self._is_given):
                body, self._body = bytes(self._body), b""
                # Reading on may bring the rest, which this piece is without.
                is_whole = self._is_given = self.has_whole_body
                self._connection.resume()
                return {"type": "http.request", "body": body, "more_body": not is_whole}
            if self.is_gone or (self.is_answered and self.has_whole_body):
                return _DISCONNECT
            if self._expects_continue and not self._head and not self.has_begun:
                self._expects_continue = False
                self._connection.write(_CONTINUE)
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    async def send(self, message: Message) -> None:
        """Send a part of the answer. Its head goes out with the first piece of its body.

        Raises:
            RuntimeError: this part has no place here, or would make what is no HTTP.
        """
        connection = self._connection
        if connection.is_lost:
            return
        if connection.is_full:
            await connection.drained()
        if not (self._head or self.has_begun):
            if message["type"] != "http.response.start":
                raise RuntimeError(f"{message['type']} before http.response.start")
            self._begin_answer(message["status"], message.get("headers", ()))
            return
        if self._has_ended or message["type"] != "http.response.body":
            raise RuntimeError(f"{message['type']} has no place after what was sent")
        self._send_piece(message.get("body", b""), is_last=not message.get("more_body", False))

    def _begin_answer(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        parts = [_STATUS_LINES.get(status) or _status_line(status), self._connection.date_line]
        is_bodiless = status in _BODILESS
        left = None
        is_chunked = False
        for name, value in headers:
            if name in _FRAMING:
                # How its body is sent, and whether the connection goes on, is not for the application to write.
                if name == b"connection" and b"close" in value.lower():
                    self.is_kept = False
                if name != b"content-length" or status == HTTPStatus.NO_CONTENT:
                    continue
                if left is not None or not value.isdigit():
                    raise RuntimeError("the content-length is none")
                left = int(value)
            parts.append(b"%b: %b\r\n" % (name, value))
        if is_bodiless or self.scope["method"] == "HEAD":
            left = 0
        elif left is None:
            if self.is_http_1_1:
                is_chunked = True
                parts.append(b"transfer-encoding: chunked\r\n")
            else:
                self.is_kept = False
        if self._expects_continue and not self.has_whole_body:
            # The client may send its body all the same, or not: nobody knows what comes next.
            self.is_kept = False
        if not self.is_kept or self._connection.is_closing:
            self.is_kept = False
            parts.append(b"connection: close\r\n")
        elif not self.is_http_1_1:
            parts.append(b"connection: keep-alive\r\n")
        lines = len(parts)
        parts.append(b"\r\n")
        head = b"".join(parts)
        # A value that had the end of a line in it would begin a header, or an answer, of somebody else's making.
        if head.count(b"\n") != lines + 1 or head.count(b"\r") != lines + 1 or b"\0" in head:
            raise RuntimeError("a header has the end of a line in it")
        self._head, self._left, self._is_chunked = head, left, is_chunked

    def _send_piece(self, piece: bytes, *, is_last: bool) -> None:
        if self.scope["method"] == "HEAD":
            piece = b""
        if self._left is not None:
            self._left -= len(piece)
            if self._left < 0:
                raise RuntimeError("an answer is longer than its content-length")
        if self._is_chunked:
            piece = b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""
            if is_last:
                piece += b"0\r\n\r\n"
        head, self._head = self._head, b""
        self.has_begun = True
        self._connection.write(head + piece if head else piece)
        if is_last:
            self._has_ended = True
            # An answer that is cut off is seen to be so by the connection's end.
            self.is_answered = not self._left

    async def _run(self, app: ASGIApp) -> None:
        try:
            await app(self.scope, self.receive, self.send)
            if not self._has_ended and not self._connection.is_lost:
                # A long answer was broken off, and is seen to be so.
                self.is_kept = False
                if not (self.has_begun or self.is_gone):
                    # Paths are not logged: some have a secret in them.
                    _log.error("there was no answer to %s", self.scope["method"])
                    self._fail()
        except Exception:
            _log.exception("an answer broke off")
            self.is_kept = False
            self._fail()
        finally:
            self._task = None
            self._connection.end(self)

    @property
    def seems_whole(self) -> bool:
        """Whether an answer that was broken off would seem whole if the connection just ended."""
        return self.has_begun and not self._has_ended and self._left is None and not self._is_chunked

    def _fail(self) -> None:
        if not (self.has_begun or self._connection.is_lost):
            self._connection.write(refusal(HTTPStatus.INTERNAL_SERVER_ERROR, self._connection.date_line))


def refusal(status: HTTPStatus, date_line: bytes) -> bytes:
    """Compose the answer to what never becomes a request; the connection ends with it."""
    return b"%b%bconnection: close\r\ncontent-length: 0\r\n\r\n" % (_STATUS_LINES[status], date_line)


def _status_line(status: int) -> bytes:
    if not 200 <= status <= 999:
        raise RuntimeError(f"{status} is no status of an answer")
    return b"HTTP/1.1 %d \r\n" % status
