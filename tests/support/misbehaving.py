"""A bad network and bad proxies before a real server: requests or their answers are lost, late, cut, or made up."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Final, Self

import msgspec

_TRICKLE_S: Final = 0.05


class Fault(StrEnum):
    """What happens to one request in place of being answered; `AFTER` ones happen once the server has done it."""

    DROPPED_BEFORE = "the connection drops before the server hears of it"
    DROPPED_AFTER = "the connection drops before the answer"
    CUT = "the connection drops within the answer"
    HANGS_BEFORE = "nothing answers, and the server never hears of it"
    HANGS_AFTER = "nothing answers, though the server has done it"
    TRICKLES = "the answer's body comes byte by byte"
    OVERLOADED = "503 of Farebox"
    RATE_LIMITED = "429"
    TOO_SLOW = "408"
    UNKNOWN_BEFORE = "500 outcome_unknown, and nothing was done"
    UNKNOWN_AFTER = "500 outcome_unknown, and it was done"
    BAD_GATEWAY_BEFORE = "502 of a proxy, and nothing was done"
    GATEWAY_TIMEOUT_AFTER = "504 of a proxy, and it was done"
    MAINTENANCE = "503 of a proxy"


DONE_ALL_THE_SAME: Final = frozenset(
    {
        *(Fault.DROPPED_AFTER, Fault.CUT, Fault.HANGS_AFTER, Fault.TRICKLES),
        *(Fault.UNKNOWN_AFTER, Fault.GATEWAY_TIMEOUT_AFTER),
    }
)
"""The faults that happen once the server has done what it was asked."""

_ENVELOPES: Final = {
    Fault.OVERLOADED: (503, "overloaded"),
    Fault.RATE_LIMITED: (429, "rate_limited"),
    Fault.TOO_SLOW: (408, "request_timeout"),
    Fault.UNKNOWN_BEFORE: (500, "outcome_unknown"),
    Fault.UNKNOWN_AFTER: (500, "outcome_unknown"),
}
_PAGES: Final = {Fault.BAD_GATEWAY_BEFORE: 502, Fault.GATEWAY_TIMEOUT_AFTER: 504, Fault.MAINTENANCE: 503}


@dataclass(frozen=True)
class Seen:
    """A request as it came."""

    at: float
    """When, on `time.monotonic`."""
    method: str
    path: str
    body: Any
    """Its JSON; None if it had no body."""


class Misbehaving:
    """Stands before a server, on a port of its own and in a thread of its own; what it does next is told by `faults`.

        with Misbehaving(server.port) as proxy:
            proxy.faults = [Fault.DROPPED_AFTER]  # the first request; the next ones are answered

    A callable in place of the list is asked for each request.
    """

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self.faults: list[Fault | None] | Callable[[], Fault | None] = []
        self.retry_after: str | None = None
        self.seen: list[Seen] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def keys(self) -> list[str]:
        """The idempotency keys of all requests that came, in order."""
        return [one["idempotencyKey"] for seen in self.seen for one in seen.body.get("charges", [seen.body])]

    def misbehave(self, *faults: Fault | None) -> None:
        """Forget what was seen, and let these happen to the next requests."""
        self.faults = list(faults)
        self.seen = []

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> int:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port: int = self._listener.sockets[0].getsockname()[1]
        return port

    async def _close(self) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._answer(reader, writer):
                    pass
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Take one request, and tell whether another may follow on its connection."""
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(_length(head))
        method, path, _ = head.split(b" ", 2)
        content = msgspec.json.decode(body) if body else None
        self.seen.append(Seen(time.monotonic(), method.decode(), path.decode(), content))
        fault = self._next_fault()
        answer = b""
        if fault is None or fault in DONE_ALL_THE_SAME:
            answer = await self._asked(head, body)
        if fault is None:
            writer.write(answer)
            return True
        return await self._misbehave(fault, answer, reader, writer)

    async def _misbehave(
        self, fault: Fault, answer: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        if fault in _ENVELOPES or fault in _PAGES:
            writer.write(self._made_up(fault))
            return True
        if fault in (Fault.HANGS_BEFORE, Fault.HANGS_AFTER):
            # Until the client goes away.
            await reader.read(1)
        if fault is Fault.CUT:
            writer.write(answer[: len(answer) - 10])
            await writer.drain()
        if fault is Fault.TRICKLES:
            start = answer.index(b"\r\n\r\n") + 4
            writer.write(answer[:start])
            for place in range(start, len(answer)):
                writer.write(answer[place : place + 1])
                await writer.drain()
                await asyncio.sleep(_TRICKLE_S)
        return False

    def _next_fault(self) -> Fault | None:
        if callable(self.faults):
            return self.faults()
        return self.faults.pop(0) if self.faults else None

    async def _asked(self, head: bytes, body: bytes) -> bytes:
        """Ask the server, and return its whole answer; it is done even if the client goes away meanwhile."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        try:
            writer.write(head + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            return answer + await reader.readexactly(_length(answer))
        finally:
            writer.close()

    def _made_up(self, fault: Fault) -> bytes:
        wait = [] if self.retry_after is None else [f"retry-after: {self.retry_after}"]
        if fault in _PAGES:
            return _response(_PAGES[fault], ["content-type: text/html", *wait], b"<h1>Something is wrong here</h1>")
        status, code = _ENVELOPES[fault]
        content = msgspec.json.encode(
            {"isSuccess": False, "statusCode": status, "errorMessage": f"made up: {code}", "data": None}
        )
        return _response(status, ["content-type: application/json", f"x-error-code: {code}", *wait], content)


def _response(status: int, headers: Sequence[str], content: bytes) -> bytes:
    lines = [f"HTTP/1.1 {status} Made-Up", *headers, f"content-length: {len(content)}", "", ""]
    return "\r\n".join(lines).encode() + content


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0
