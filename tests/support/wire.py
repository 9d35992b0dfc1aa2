"""Bytes over a socket: what no HTTP client would send, and requests of many clients at once."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

import h11
from starlette.types import ASGIApp

from farebox.http.limits import HTTP_LIMITS, HttpLimits
from farebox.http.listener import Listener

TIMEOUT_S: Final = 30


def exchange(port: int, request_line: bytes, *header_lines: bytes, body: bytes = b"") -> bytes:
    """Send a request on a connection of its own and return all that comes back until the server closes it."""
    head = b"\r\n".join([request_line, b"Host: 127.0.0.1", b"Connection: close", *header_lines, b"", b""])
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
        connection.sendall(head + body)
        return read_all(connection)


def end_sending(connection: socket.socket) -> None:
    """Say that no more comes, unless the other side has closed already."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)


def read_all(connection: socket.socket) -> bytes:
    """Read until the other side closes."""
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received


class Client:
    """One client's connection to a server, made when it is needed, kept, and made anew after it broke."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._key = key.encode()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, method: str, path: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
        """Send a request and return its answer: status, headers and body.

        Raises:
            OSError, EOFError: There was no answer, or not all of it.
        """
        try:
            async with asyncio.timeout(TIMEOUT_S * 2):
                if self._streams is None:
                    self._streams = await asyncio.open_connection("127.0.0.1", self._port)
                reader, writer = self._streams
                head = f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\nx-api-key: ".encode()
                writer.write(head + self._key + b"\r\n\r\n" + body)
                first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
                headers = dict(line.split(": ", 1) for line in lines)
                return int(first.split()[1]), headers, await reader.readexactly(int(headers.get("content-length", 0)))
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            _, writer = self._streams
            self._streams = None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def serving(
    app: ASGIApp, limits: HttpLimits = HTTP_LIMITS, *, connections_max: int | None = None
) -> AsyncIterator[Listener]:
    """Serve an application on the loop that runs, and end all connections in the end."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        listener = Listener(app, listening, limits, connections_max=connections_max)
        listener.start()
        try:
            yield listener
        finally:
            listener.stop()
            async with asyncio.timeout(TIMEOUT_S):
                while listener.count:
                    listener.close_idle()
                    await asyncio.sleep(0.005)


class Answer(NamedTuple):
    """An answer as a client's parser understood it."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_last: bool
    """Whether it says that the connection ends with it."""


class Caller:
    """One connection of a client that sends bytes as they are, and parses answers by h11."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        """What bytes go over; it does not block."""
        self.came: list[int] = []
        """The statuses that came ahead of answers, such as 100."""
        self._parser = h11.Connection(h11.CLIENT)
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes, *, pieces: int = 1) -> None:
        """Send bytes, in so many pieces, each after the server has seen the one before it."""
        size = -(-len(data) // pieces) or 1
        for at in range(0, len(data), size):
            await self._loop.sock_sendall(self.connection, data[at : at + size])
            await turns()

    async def answer(self, method: str = "GET") -> Answer:
        """Receive an answer to a request of that method.

        Raises:
            h11.RemoteProtocolError: what came is no answer, or not the whole of one.
        """
        self._parser.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
        self._parser.send(h11.EndOfMessage())
        response, body = None, bytearray()
        async with asyncio.timeout(TIMEOUT_S):
            while not isinstance(event := self._parser.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    self._parser.receive_data(await self._loop.sock_recv(self.connection, 65_536))
                elif isinstance(event, h11.InformationalResponse):
                    self.came.append(event.status_code)
                elif isinstance(event, h11.Response):
                    response = event
                elif isinstance(event, h11.Data):
                    body += event.data
                else:
                    raise h11.RemoteProtocolError(f"there was no answer, but {event!r}")
        assert response is not None
        is_last = self._parser.our_state is h11.MUST_CLOSE
        if not is_last:
            self._parser.start_next_cycle()
        headers = {name.decode(): value.decode("latin-1") for name, value in response.headers}
        return Answer(response.status_code, headers, bytes(body), is_last)

    async def rest(self) -> bytes:
        """Receive all that still comes until the server closes its side."""
        rest = bytearray(self._parser.trailing_data[0])
        async with asyncio.timeout(TIMEOUT_S):
            while piece := await self._loop.sock_recv(self.connection, 65_536):
                rest += piece
        return bytes(rest)

    def end_sending(self) -> None:
        """Say that no more comes."""
        self.connection.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Be gone at once."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


@asynccontextmanager
async def calling(listener: Listener, *, receive_bytes: int | None = None) -> AsyncIterator[Caller]:
    """Connect to a server, with so much room for what it sends, if not as much as usual."""
    with socket.socket() as connection:
        connection.setblocking(False)
        if receive_bytes is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        await asyncio.get_running_loop().sock_connect(connection, listener.address)
        yield Caller(connection)


async def turns(count: int = 5) -> None:
    """Let all else on the loop have so many turns."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(is_so: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(TIMEOUT_S):
        while not is_so():
            await asyncio.sleep(0.002)
