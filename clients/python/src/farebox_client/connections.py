"""Connections of an event loop to one server: HTTP/1.1 by h11, on the loop's own transports.

A request costs an eighth of what it costs through httpx2, so that charges which share one are sooner on their way.
Nothing here knows of proxies, or follows where an answer leads to.
"""

import asyncio
import select
import ssl
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import h11
import httpx2

_HEAD_BYTES_MAX: Final = 100 * 1024
_HAPPY_EYEBALLS_S: Final = 0.25


class NotConnected(Exception):
    """There was no connection, so nothing was sent."""


class ConnectionLost(Exception):
    """The connection ended, or what came over it is no HTTP; the request may have arrived."""


@dataclass(frozen=True)
class ServerAddress:
    """Where a server is.

    Attributes:
        host: Its name or address.
        port: Its port.
        authority: Both, as the header Host has them.
        context: What it is trusted by; None for http.
    """

    host: str
    port: int
    authority: str
    context: ssl.SSLContext | None


@dataclass(frozen=True)
class Received:
    """An answer as it came: the names of headers are in lower case."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    content: bytes


class Connections:
    """The connections of one event loop: each has one request at a time, and is kept for the next one."""

    def __init__(self, address: ServerAddress, *, connections_max: int, idle_max: float) -> None:
        """Open so many at most, and use none that idled for longer than `idle_max` seconds."""
        self._address = address
        self._idle_max = idle_max
        self._idle: list[_Connection] = []
        self._room = asyncio.Semaphore(connections_max)
        self._is_closed = False

    async def ask(
        self,
        method: str,
        url: httpx2.URL,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        timeout: float,
        until: float,
    ) -> Received:
        """Send a request, and wait for all of its answer.

        Args:
            method: The method.
            url: The address, of which the path and the query are sent.
            headers: The headers, but for the host and the length.
            body: The body, if there is one.
            timeout: How many seconds the whole may last.
            until: How many seconds may pass until there is a connection.

        Raises:
            NotConnected: nothing was sent.
            ConnectionLost: the connection was lost.
            TimeoutError: there was no answer in time.
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + timeout
        events = self._events(method, url.raw_path, headers, body)
        connection = await self._connection(loop, until)
        try:
            return await connection.ask(events, ends_at)
        finally:
            self._room.release()
            if connection.is_reusable and not self._is_closed:
                connection.idle_since = loop.time()
                self._idle.append(connection)
            else:
                connection.abort()

    async def close(self) -> None:
        """Close every connection; of one that has a request under way, its end is waited for."""
        self._is_closed = True
        for connection in self._idle:
            connection.abort()
        self._idle.clear()
        # A socket is closed in the loop's next round.
        await asyncio.sleep(0)

    def _events(self, method: str, target: bytes, headers: Mapping[str, str], body: bytes | None) -> list[h11.Event]:
        lines = [("host", self._address.authority), *headers.items()]
        if body is None:
            return [h11.Request(method=method, target=target, headers=lines), h11.EndOfMessage()]
        lines.append(("content-length", str(len(body))))
        return [h11.Request(method=method, target=target, headers=lines), h11.Data(data=body), h11.EndOfMessage()]

    async def _connection(self, loop: asyncio.AbstractEventLoop, until: float) -> "_Connection":
        """Take a connection that idles, or open one, once there may be one more."""
        if not self._room.locked() and (kept := self._kept(loop)):
            await self._room.acquire()
            return kept
        try:
            async with deadline(until):
                await self._room.acquire()
                try:
                    return self._kept(loop) or await self._opened(loop)
                except BaseException:
                    self._room.release()
                    raise
        except TimeoutError as error:
            raise NotConnected(f"none within {until:g} s") from error
        except OSError as error:
            raise NotConnected(str(error) or type(error).__name__) from error

    def _kept(self, loop: asyncio.AbstractEventLoop) -> "_Connection | None":
        """Take the connection that was used last, unless it, and with it all others, has idled for too long."""
        while self._idle:
            connection = self._idle.pop()
            is_fresh = loop.time() - connection.idle_since <= self._idle_max
            if is_fresh and connection.is_reusable and not connection.is_readable:
                return connection
            connection.abort()
        return None

    async def _opened(self, loop: asyncio.AbstractEventLoop) -> "_Connection":
        address = self._address
        # uvloop tries a name's addresses one after another.
        more: dict[str, Any] = {}
        if isinstance(loop, asyncio.BaseEventLoop):
            more["happy_eyeballs_delay"] = _HAPPY_EYEBALLS_S
        _, connection = await loop.create_connection(
            _Connection, address.host, address.port, ssl=address.context, **more
        )
        return connection


class _Connection(asyncio.Protocol):
    """One connection, with one request at a time."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES_MAX)
        self._transport: Any = None
        self._answer: asyncio.Future[Received] | None = None
        self._head: h11.Response | None = None
        self._pieces: list[bytes] = []
        self.is_reusable = True
        """Whether the next request may be sent."""
        self.idle_since = 0.0

    @property
    def is_readable(self) -> bool:
        """Whether something came that the loop has not seen yet: the end, or what nobody asked for."""
        number = self._transport.get_extra_info("socket").fileno()
        if not hasattr(select, "poll"):
            return bool(select.select([number], [], [], 0)[0])
        poll = select.poll()
        poll.register(number, select.POLLIN)
        return bool(poll.poll(0))

    async def ask(self, events: Sequence[h11.Event], ends_at: float) -> Received:
        """Send a request, and wait until the answer is there, or the loop's time is `ends_at`."""
        loop = asyncio.get_running_loop()
        self.is_reusable = False
        self._head, self._pieces = None, []
        self._answer = loop.create_future()
        timer = loop.call_at(ends_at, self._fail, TimeoutError())
        try:
            self._transport.write(b"".join([self._http.send(event) or b"" for event in events]))
            return await self._answer
        except h11.ProtocolError as error:
            raise ConnectionLost(str(error)) from error
        finally:
            timer.cancel()
            self._answer = None

    def abort(self) -> None:
        """Close the connection at once."""
        self.is_reusable = False
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            # Nothing was asked, so it is no answer.
            self.abort()
            return
        self._receive(data)

    def eof_received(self) -> None:
        self.is_reusable = False
        self._receive(b"")

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_reusable = False
        self._fail(ConnectionLost(str(exc or "") or "it was closed before the answer"))

    def _receive(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            return
        try:
            self._http.receive_data(data)
            while (event := self._http.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Data):
                    self._pieces.append(bytes(event.data))
                elif isinstance(event, h11.Response):
                    self._head = event
                elif isinstance(event, h11.EndOfMessage):
                    self._end(self._answer)
                    return
                elif not isinstance(event, h11.InformationalResponse):
                    raise h11.RemoteProtocolError("it was closed before the answer")
        except h11.RemoteProtocolError as error:
            self._fail(ConnectionLost(str(error)))

    def _end(self, answer: "asyncio.Future[Received]") -> None:
        """Hand out the answer; the connection is kept if both sides are done and nothing is left over."""
        if self._head is None:
            raise h11.RemoteProtocolError("there is no head")
        if (
            (self._http.our_state, self._http.their_state) == (h11.DONE, h11.DONE)
            and self._http.trailing_data == (b"", False)
            and not self._transport.is_closing()
            and not self._transport.get_write_buffer_size()
        ):
            self._http.start_next_cycle()
            self.is_reusable = True
        answer.set_result(Received(self._head.status_code, self._head.headers, b"".join(self._pieces)))

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


if sys.version_info >= (3, 11):
    deadline = asyncio.timeout
else:
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def deadline(seconds: float) -> AsyncIterator[None]:
        """Do what `asyncio.timeout` does, which Python 3.10 lacks."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine is run by a task.
        is_late = False

        def cancel() -> None:
            nonlocal is_late
            is_late = True
            task.cancel()

        timer = asyncio.get_running_loop().call_later(seconds, cancel)
        try:
            yield
        except asyncio.CancelledError:
            if is_late:
                raise TimeoutError from None
            raise
        finally:
            timer.cancel()
