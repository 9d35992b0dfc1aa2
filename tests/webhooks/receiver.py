"""A real receiver of webhooks on loopback that does as a test says: takes them, refuses, redirects, trickles, hangs."""

import asyncio
import ssl
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

from msgspec import Struct

HANGS: Final = "says nothing"
DIES: Final = "cuts the connection"
TRICKLES: Final = "says its headers byte by byte, for ever"
TRICKLES_BODY: Final = "says 200 and then its body byte by byte, for ever"
FLOODS: Final = "says 200 and then a body without an end"
INFORMS: Final = "says 103 again and again"
NO_HTTP: Final = "says something that is no HTTP"
LONG_HEADERS: Final = "says headers without an end"

_PAUSE_S: Final = 0.02


class Received(Struct, frozen=True):
    """A request, whatever it was answered."""

    path: str
    headers: Mapping[str, str]
    body: str


class Receiver:
    """An HTTP server in the test's own event loop; `answers` has what it says to come, by path; else it says 200."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, address: str = "127.0.0.1", answer: str = "200") -> None:
        self.received: list[Received] = []
        self.answers: defaultdict[str, deque[str]] = defaultdict(deque)
        self.connections = 0
        self.answer = answer
        self.headers: dict[str, str] = {}
        self.port = 0
        self._tls = tls
        self._address = address
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        host = f"[{self._address}]" if ":" in self._address else self._address
        return f"{'http' if self._tls is None else 'https'}://{host}:{self.port}"

    @property
    def bodies(self) -> list[str]:
        return [request.body for request in self.received]

    async def start(self) -> None:
        """Listen, on the port it had if it ran before."""
        self._server = await asyncio.start_server(self._serve, self._address, self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop to listen and cut every connection."""
        if self._server is None:
            return
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            with suppress(OSError, EOFError, asyncio.CancelledError):
                while await self._answer_one(reader, writer):
                    pass
        finally:
            self._tasks.discard(task)
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): text.strip() for name, _, text in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        request = Received(head[0].split()[1], headers, body.decode())
        self.received.append(request)
        return await self._say(writer, self.choose(request))

    def choose(self, request: Received) -> str:
        """Choose what a request is answered."""
        script = self.answers[request.path]
        return script.popleft() if script else self.answer

    async def _say(self, writer: asyncio.StreamWriter, answer: str) -> bool:
        """Say an answer: a status and its body, as in `500 sorry`, or one of the ways to misbehave."""
        if answer == DIES:
            return False
        if answer in _ENDLESS:
            beginning, again = _ENDLESS[answer]
            writer.write(beginning)
            while True:
                writer.write(again)
                await writer.drain()
                await asyncio.sleep(0 if answer in (FLOODS, LONG_HEADERS) else _PAUSE_S)
        if answer == NO_HTTP:
            writer.write(b"220 mail.test\r\n" * 10)
            await writer.drain()
            return False
        status, _, text = answer.partition(" ")
        lines = [f"HTTP/1.1 {status} Word", f"content-length: {len(text.encode())}"]
        lines += [f"{name}: {words}" for name, words in self.headers.items()]
        writer.write("\r\n".join([*lines, "", text]).encode())
        await writer.drain()
        return True


_ENDLESS: Final = {
    HANGS: (b"", b""),
    TRICKLES: (b"HTTP/1.1 200 OK\r\nx-slow: ", b"x"),
    TRICKLES_BODY: (b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n", b"x"),
    FLOODS: (b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n", b"x" * 10_000),
    INFORMS: (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    LONG_HEADERS: (b"HTTP/1.1 200 OK\r\n", b"x-more: " + b"x" * 1_000 + b"\r\n"),
}


@asynccontextmanager
async def receiving(
    *, tls: ssl.SSLContext | None = None, address: str = "127.0.0.1", answer: str = "200"
) -> AsyncIterator[Receiver]:
    """Run a receiver until the block ends."""
    receiver = Receiver(tls=tls, address=address, answer=answer)
    await receiver.start()
    try:
        yield receiver
    finally:
        await receiver.stop()
