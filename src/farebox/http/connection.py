"""One connection: what comes is parsed, the requests are answered one after another, and limits are kept.

Specification: RFC 9112. What never becomes a request is refused without a body and outside of any envelope: 414 for a
target that is too long, 431 for a head that is, 400 for all else; and the connection ends.
"""

import asyncio
import re
import socket
import struct
from collections import deque
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final, Protocol
from urllib.parse import unquote

import httptools
from starlette.types import ASGIApp, Scope

from farebox.http.exchange import Exchange, refusal

TARGET_BYTES_MAX: Final = 65_534
HEADERS_MAX: Final = 100
HEADERS_BYTES_MAX: Final = 64 * 1024

PARSED_BYTES_AT_ONCE: Final = 4 * 1024
"""Of what came at once, so much is parsed before it is looked whether requests wait for their turn: one of 30 bytes
takes 1,000 and more once it is parsed."""

_HEAD_BYTES_MAX: Final = TARGET_BYTES_MAX + 2 * HEADERS_BYTES_MAX
"""Above this a head is refused even if none of its headers is whole; so is what stands between the pieces of a body."""

_RESET: Final = struct.pack("ii", 1, 0)

_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}


class _Unfit(Exception):
    """A head that is refused although it could be parsed."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status)
        self.status = status


class Host(Protocol):
    """What a connection asks of what it was accepted on."""

    app: ASGIApp
    """Answers requests."""
    address: tuple[str, int]
    """Where it listens."""
    ticks: int
    """Seconds gone by."""
    date_line: bytes
    """The header that tells the time."""

    def add(self, connection: "Connection") -> None:
        """Have a connection."""
        ...

    def remove(self, connection: "Connection") -> None:
        """Have a connection no longer."""
        ...

    def close_soon(self, connection: "Connection") -> None:
        """End a connection when its client does, or after a while."""
        ...

    def keep(self, connection: "Connection") -> None:
        """Do not end a connection after a while any more."""
        ...


class _UnwantedBody:
    """Stands for a request that was answered before its body was whole: what still comes of that is thrown away.

    Its client may have sent head and body one after the other, and goes on with the next request behind them.
    """

    __slots__ = ("_connection", "has_whole_body")

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self.has_whole_body = False

    def take(self, _: bytes) -> bool:
        return True

    def end_body(self) -> None:
        self.has_whole_body = True
        self._connection.end_unwanted_body()

    def leave(self) -> None:
        self._connection.leave_unwanted_body()


class Connection(asyncio.Protocol):
    """A connection that was accepted."""

    __slots__ = (
        "_client",
        "_current",
        "_drained",
        "_expects_continue",
        "_head_bytes",
        "_headers",
        "_headers_bytes",
        "_host",
        "_hosts_count",
        "_is_chunked",
        "_is_in_head",
        "_is_paused",
        "_latest",
        "_loop",
        "_parser",
        "_refused",
        "_transport",
        "_unparsed",
        "_url",
        "_waiting",
        "has_ended",
        "is_closing",
        "is_full",
        "is_lost",
        "waits_since",
    )

    def __init__(self, host: Host, loop: asyncio.AbstractEventLoop) -> None:
        """Answer by the application of what this was accepted on."""
        self._host = host
        self._loop = loop
        self._transport: Any = None
        self._client: tuple[str, int] | None = None
        self._parser: Any = httptools.HttpRequestParser(self)
        self._unparsed: bytes | memoryview = b""
        self._current: Exchange | _UnwantedBody | None = None
        self._waiting: deque[Exchange] = deque()
        self._latest: Exchange | _UnwantedBody | None = None
        self._refused: HTTPStatus | None = None
        self._is_paused = False
        self._drained: asyncio.Future[None] | None = None
        self._is_in_head = False
        self._head_bytes = 0
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._headers_bytes = 0
        self._hosts_count = 0
        self._expects_continue = False
        self._is_chunked = False
        self.has_ended = False
        """Whether the client has closed its side."""
        self.is_closing = False
        """Whether the connection ends with the answer that comes next."""
        self.is_full = False
        """Whether the client takes less than is sent to it."""
        self.is_lost = False
        self.waits_since = host.ticks
        """The tick since when a request's head, or the end of the connection, is waited for; -1: it is not."""

    # What the loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._client = (peer[0], peer[1]) if peer else None
        self._host.add(self)

    def data_received(self, data: bytes) -> None:
        """Parse what came, and let the application answer."""
        if self._parser is None:
            # Nothing is read any more but for the end.
            return
        self._unparsed = memoryview(data) if len(data) > PARSED_BYTES_AT_ONCE else data
        self._read_on()

    def eof_received(self) -> bool:
        """Note that the client sends no more; the answers to what it asked are sent all the same."""
        self.has_ended = True
        for each in (self._current, *self._waiting):
            if each is not None:
                each.leave()
        return self._current is not None

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that nothing can be sent any more."""
        self.is_lost = self.has_ended = True
        self._parser = self._latest = None
        self._unparsed = b""
        self._waiting.clear()
        if self._current is not None:
            self._current.leave()
        self.resume_writing()
        self._host.remove(self)

    def pause_writing(self) -> None:
        """Hear that the client takes less than is sent to it."""
        self.is_full = True

    def resume_writing(self) -> None:
        """Hear that it has taken it."""
        self.is_full = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    # What the parser tells.

    def on_message_begin(self) -> None:
        """Begin with a request."""
        self._is_in_head = True
        self._url = b""
        self._headers = []
        self._headers_bytes = self._hosts_count = 0
        self._expects_continue = self._is_chunked = False

    def on_url(self, url: bytes) -> None:
        """Take the target, or a piece of it."""
        self._url += url
        if len(self._url) > TARGET_BYTES_MAX:
            raise _Unfit(HTTPStatus.REQUEST_URI_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. A trailer counts and is dropped: what stands behind a body is no word about the request."""
        name, value = name.lower(), value.rstrip(b" \t")
        self._headers_bytes += len(name) + len(value)
        if self._is_in_head:
            self._headers.append((name, value))
        if self._headers_bytes > HEADERS_BYTES_MAX or len(self._headers) > HEADERS_MAX:
            raise _Unfit(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if name == b"host":
            self._hosts_count += 1
        elif name == b"expect" and value.lower() == b"100-continue":
            self._expects_continue = True
        elif name == b"transfer-encoding" and (value.lower() != b"chunked" or self._is_chunked):
            # Where another coding stands, or two, it is disputed between programs where a body ends.
            raise _Unfit(HTTPStatus.BAD_REQUEST)
        elif name == b"transfer-encoding":
            self._is_chunked = True

    def on_headers_complete(self) -> None:
        """Put the request behind those that came before it."""
        parser = self._parser
        version = parser.get_http_version()
        if version == "1.1":
            if self._hosts_count != 1:
                raise _Unfit(HTTPStatus.BAD_REQUEST)
        elif version != "1.0" or self._hosts_count > 1 or self._is_chunked:
            # A program between that speaks HTTP/1.0 does not see where such a body ends.
            raise _Unfit(HTTPStatus.BAD_REQUEST)
        self._is_in_head = False
        self._head_bytes = 0
        exchange = Exchange(
            self,
            self._scope(parser.get_method().decode(), version),
            is_kept=parser.should_keep_alive(),
            expects_continue=self._expects_continue and version == "1.1",
        )
        self._latest = exchange
        self._waiting.append(exchange)

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._head_bytes = 0
        if self._latest is not None and not self._latest.take(body):
            self._pause()

    def on_message_complete(self) -> None:
        """Note that the body is whole."""
        self._is_chunked = False
        if self._latest is not None:
            self._latest.end_body()

    # What exchanges ask for.

    @property
    def date_line(self) -> bytes:
        """The header that tells the time."""
        return self._host.date_line

    def write(self, data: bytes) -> None:
        """Send some bytes."""
        if not self.is_lost:
            self._transport.write(data)

    def resume(self) -> None:
        """Read on, if reading was left off because of a body."""
        if self._is_paused and not self.has_ended and not self._waiting:
            self._is_paused = False
            self._read_on()
            if not self._is_paused:
                self._transport.resume_reading()

    async def drained(self) -> None:
        """Wait until the client has taken what was sent."""
        if self._drained is None or self._drained.done():
            self._drained = self._loop.create_future()
        await asyncio.shield(self._drained)

    def end(self, exchange: Exchange) -> None:
        """Go on after an answer, or end with it."""
        self._current = None
        if self.is_lost:
            return
        if exchange.is_answered and exchange.is_kept and exchange.has_whole_body:
            self._go_on()
            if self._is_paused and self._current is None:
                self.resume()
        elif exchange.seems_whole:
            self._reset()
        elif exchange.is_answered and exchange.is_kept and self._parser is not None and not self.has_ended:
            self._current = self._latest = _UnwantedBody(self)
            self._host.close_soon(self)
            self.resume()
        elif self._is_paused or self._refused is not None or not exchange.has_whole_body:
            self._leave()
        else:
            self.close()

    # What a body that nobody wants tells.

    def end_unwanted_body(self) -> None:
        """Let the next request be answered, which may have come with the body's end."""
        self._current = None
        self._host.keep(self)

    def leave_unwanted_body(self) -> None:
        """End, as nobody knows any more where the next request would begin."""
        if self.has_ended:
            self._current = None
        self._leave()

    # What the listener asks for.

    @property
    def is_idle(self) -> bool:
        """Whether nothing is asked that is not answered."""
        return self._current is None

    def close(self) -> None:
        """End, as soon as what was sent is taken."""
        self._parser = None
        self._unparsed = b""
        self._waiting.clear()
        if not self.is_lost:
            self._transport.close()

    def _parse(self, data: bytes | memoryview) -> None:
        """Parse a piece of what came."""
        before, length = self._latest, len(data)
        try:
            while data and self._parser is not None:
                try:
                    self._parser.feed_data(data)
                    break
                except httptools.HttpParserUpgrade as offer:
                    data = memoryview(data)[offer.args[0] :]
                    self._decline()
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause.status if isinstance(cause, _Unfit) else HTTPStatus.BAD_REQUEST)
        else:
            if self._parser is not None and (self._is_in_head or self._is_chunked):
                self._count_head(length, is_new=before is not self._latest)

    def _read_on(self) -> None:
        """Parse what came with what is parsed already, as long as no request waits for its turn."""
        while self._unparsed and not self._waiting:
            piece, self._unparsed = self._unparsed[:PARSED_BYTES_AT_ONCE], self._unparsed[PARSED_BYTES_AT_ONCE:]
            self._parse(piece)
            if self._current is None:
                self._go_on()
        if self._waiting:
            self._pause()

    def _decline(self) -> None:
        """Take a request that offers another protocol for a plain one: its body comes where the parser stopped.

        Some clients offer HTTP/2 with each request. Source: RFC 9110, section 7.8.
        """
        offer = self._waiting.pop()
        scope = offer.scope
        if scope["method"] == "CONNECT":
            self._refuse(HTTPStatus.BAD_REQUEST)
            return
        headers = self._headers
        plain = [b"%b: %b\r\n" % each for each in headers if each[0] != b"upgrade"]
        line = b"%b %b HTTP/%b\r\n" % (scope["method"].encode(), self._url, scope["http_version"].encode())
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(b"".join([line, *plain, b"\r\n"]))
        self._waiting[-1].scope["headers"] = headers

    def _go_on(self) -> None:
        """Answer the next request; if there is none, refuse what came, or wait."""
        if self._waiting:
            self.waits_since = -1
            self._current = exchange = self._waiting.popleft()
            if self.is_closing:
                self._waiting.clear()
            exchange.begin(self._host.app, self._loop)
        elif self._refused is not None:
            self.write(refusal(self._refused, self.date_line))
            self._refused = None
            self._leave()
        elif self.has_ended or self._parser is None:
            self.close()
        else:
            if self.waits_since < 0:
                self.waits_since = self._host.ticks

    def _refuse(self, status: HTTPStatus) -> None:
        """Read no more, and refuse what came once all before it is answered; a request whose body it is answers."""
        self._parser = None
        if self._latest is not None and not self._latest.has_whole_body:
            self._latest.leave()
        else:
            self._refused = status

    def _leave(self) -> None:
        """Send no more; what the client still sends is taken and thrown away for a while.

        A connection that is closed meanwhile is reset, and the answer may be lost with it. Source: RFC 9112, section
        9.6.
        """
        if self.has_ended:
            self.close()
            return
        self._parser = self._refused = None
        self._unparsed = b""
        self._waiting.clear()
        self._transport.write_eof()
        self._transport.resume_reading()
        self._host.close_soon(self)

    def _reset(self) -> None:
        """Break the connection off, where its plain end would be taken for the answer's."""
        opened = self._transport.get_extra_info("socket")
        with suppress(OSError):
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    def _pause(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def _count_head(self, length: int, *, is_new: bool) -> None:
        """Count what came of a head that is not whole; its time begins with its first byte."""
        if not self._head_bytes and self._current is None:
            self.waits_since = self._host.ticks
        self._head_bytes = 0 if is_new else self._head_bytes + length
        if self._head_bytes > _HEAD_BYTES_MAX:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def _scope(self, method: str, version: str) -> Scope:
        url = self._url
        if url[:1] != b"/" and url != b"*":
            try:
                parsed = httptools.parse_url(url)
            except httptools.HttpParserInvalidURLError:
                raise _Unfit(HTTPStatus.BAD_REQUEST) from None
            path, query = parsed.path or b"/", parsed.query or b""
            self._headers = _with_host(self._headers, url)
        else:
            path, _, query = url.partition(b"?")
        text = path.decode("latin-1")
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "method": method,
            "scheme": "http",
            "path": unquote(text) if "%" in text else text,
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": self._headers,
            "client": self._client,
            "server": self._host.address,
            "state": {},
            "extensions": {},
        }


def _with_host(headers: list[tuple[bytes, bytes]], url: bytes) -> list[tuple[bytes, bytes]]:
    """Let the host that stands in the target count, and no other. Source: RFC 9112, section 3.2.2."""
    authority = re.split(rb"[/?#]", url.partition(b"://")[2], maxsplit=1)[0].rpartition(b"@")[2]
    return [(b"host", authority), *[each for each in headers if each[0] != b"host"]]
