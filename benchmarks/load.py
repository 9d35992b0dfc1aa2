"""The load generator: a process of its own that keeps connections busy, each with one request at a time.

It is written to cost less than any server it measures: requests are rendered before the start but for their idempotency
key, and of an answer it reads the status, the length and the cost. It runs as `python -m benchmarks.load` with an Order
on its standard input, and writes the lines "started" and "ended" as the measured time begins and ends, then its Report.
"""

import asyncio
import gc
import re
import sys
import time
from array import array
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import msgspec
import uvloop
from msgspec import Struct, field

from benchmarks.keys import RandomKeys, TimeOrderedKeys

STARTED: Final = "started"
ENDED: Final = "ended"
DRAIN_SECONDS_MAX: Final = 30.0
"""How long answers that are still owed at the end are waited for."""

BATCH_START: Final = b'{"charges":['
BATCH_END: Final = b"]}"

_LENGTH: Final = b"content-length: "
_COST: Final = b'"cost":"'
_COSTS: Final = re.compile(rb'"cost":"([^"]*)"')
_REFUSED: Final = b'"isSuccess":false'


class Stream(Struct):
    """One kind of request, over connections of its own: `requests` by `sequence`, round and round.

    Each request has two parts, with a new idempotency key between them; one whose second part is empty takes no key.
    With `batch_head`, a request is a JSON array of `batch` of these, behind that head, and counts `batch` times.
    `per_second` paces the requests of all connections together; 0 sends the next one as soon as an answer is there.
    """

    connections: int
    requests: list[tuple[str, str]]
    sequence: list[int]
    batch_head: str = ""
    batch: int = 1
    has_random_keys: bool = False
    per_second: float = 0.0


class Order(Struct):
    """What to send where, and for how long."""

    port: int
    seconds: float
    warm_up_seconds: float
    streams: list[Stream]


class StreamReport(Struct):
    """The answers to one stream of requests.

    Answers, costs and broken connections count from the first request to the last, warm-up and all. `completed` counts
    the answers 200 within the measured time, of a batch each charge in it; `latencies_ms` are those answers': the
    median, 95 % and 99 %. `costs` counts the costs that were acknowledged, by their text.
    """

    completed: int = 0
    latencies_ms: tuple[float, float, float] = (0.0, 0.0, 0.0)
    answers: dict[str, int] = field(default_factory=dict)
    broken: int = 0
    costs: dict[str, int] = field(default_factory=dict)


class Report(Struct):
    """The reports of all streams, in their order, and the time that this process spent."""

    seconds: float
    cpu_seconds: float
    streams: list[StreamReport]


class _Clients:
    """What all connections of a stream share: the requests to send, and what came back so far."""

    def __init__(self, stream: Stream) -> None:
        self._parts = [(head.encode(), tail.encode()) for head, tail in stream.requests]
        self._sequence = stream.sequence
        self._place = 0
        self._keys = RandomKeys() if stream.has_random_keys else TimeOrderedKeys()
        self._batch_head = stream.batch_head.encode()
        # What takes no key takes no money, even if its answer tells of costs.
        self.is_charging = any(tail for _, tail in self._parts)
        self.batch = stream.batch
        self.connections = stream.connections
        self.pause_seconds = stream.connections / stream.per_second if stream.per_second else 0.0
        self.is_sending = True
        self.is_measuring = False
        self.answers: dict[bytes, int] = {}
        self.costs: Counter[bytes] = Counter()
        self.broken = 0
        self.latencies = array("d")
        self.open_connections = 0
        self.all_closed = asyncio.Event()

    def next_request(self) -> bytes:
        """Render the next request."""
        if self._batch_head:
            body = BATCH_START + b",".join([self._next_part() for _ in range(self.batch)]) + BATCH_END
            return self._batch_head + b"content-length: %d\r\n\r\n" % len(body) + body
        return self._next_part()

    def _next_part(self) -> bytes:
        head, tail = self._parts[self._sequence[self._place]]
        self._place = (self._place + 1) % len(self._sequence)
        return head + self._keys.make().encode() + tail if tail else head

    def report(self) -> StreamReport:
        """Sum up what came back."""
        return StreamReport(
            completed=len(self.latencies) * self.batch,
            latencies_ms=percentiles_ms(self.latencies),
            answers={status.decode(): count for status, count in sorted(self.answers.items())},
            broken=self.broken,
            costs={cost.decode(): count for cost, count in sorted(self.costs.items())},
        )


class _Connection(asyncio.Protocol):
    """One client: it sends a request, waits for the whole answer, and sends the next, at once or when it is due."""

    def __init__(self, clients: _Clients, number: int) -> None:
        self._clients = clients
        self._number = number
        self._received = b""
        self._sent_at = 0.0
        self._due_at = 0.0
        self._is_waiting = False
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._clients.open_connections += 1
        if self._clients.pause_seconds:
            # Connections take turns, from the first request on.
            loop = asyncio.get_running_loop()
            self._due_at = loop.time() + self._clients.pause_seconds * self._number / self._clients.connections
            loop.call_at(self._due_at, self._send)
        else:
            self._send()

    def _send(self) -> None:
        if not self._clients.is_sending or self._transport.is_closing():
            self._transport.close()
            return
        request = self._clients.next_request()
        self._is_waiting = True
        self._sent_at = time.perf_counter()
        self._transport.write(request)

    def _send_next(self) -> None:
        if not self._clients.pause_seconds:
            self._send()
            return
        # Late answers don't thin the stream out: who is behind sends at once until it has caught up.
        loop = asyncio.get_running_loop()
        self._due_at += self._clients.pause_seconds
        if self._due_at <= loop.time():
            self._send()
        else:
            loop.call_at(self._due_at, self._send)

    def data_received(self, data: bytes) -> None:
        if self._received:
            data = self._received + data
        head_end = data.find(b"\r\n\r\n")
        length_at = data.find(_LENGTH, 0, head_end)
        if head_end < 0 or length_at < 0:
            if head_end < 0:
                self._received = data
            else:
                self._transport.abort()
            return
        length_at += len(_LENGTH)
        end = head_end + 4 + int(data[length_at : data.index(b"\r", length_at)])
        if len(data) != end:
            self._received = data
            if len(data) > end:
                self._transport.abort()
            return
        self._received = b""
        self._is_waiting = False
        self._count(data, head_end)
        self._send_next()

    def _count(self, answer: bytes, head_end: int) -> None:
        clients = self._clients
        status = answer[9:12]
        clients.answers[status] = clients.answers.get(status, 0) + 1
        if clients.is_measuring and status == b"200":
            clients.latencies.append(time.perf_counter() - self._sent_at)
        if not clients.is_charging:
            return
        if clients.batch > 1:
            clients.costs.update(_COSTS.findall(answer, head_end))
            if refused := answer.count(_REFUSED, head_end):
                clients.answers[b"refused"] = clients.answers.get(b"refused", 0) + refused
            return
        cost_at = answer.find(_COST, head_end)
        if cost_at > 0:
            cost_at += len(_COST)
            clients.costs[answer[cost_at : answer.index(b'"', cost_at)]] += 1

    def connection_lost(self, exc: Exception | None) -> None:
        # A client that is still owed an answer doesn't know what became of its request: that is never passed over.
        self._clients.broken += self._is_waiting
        self._clients.open_connections -= 1
        if self._clients.open_connections == 0:
            self._clients.all_closed.set()


async def _generate(order: Order) -> Report:
    loop = asyncio.get_running_loop()
    streams = [_Clients(stream) for stream in order.streams]

    def connect(clients: _Clients, number: int) -> Callable[[], _Connection]:
        return lambda: _Connection(clients, number)

    connections = [
        await loop.create_connection(connect(clients, number), "127.0.0.1", order.port)
        for clients in streams
        for number in range(clients.connections)
    ]
    await asyncio.sleep(order.warm_up_seconds)
    tell(STARTED)
    for clients in streams:
        clients.is_measuring = True
    started, cpu_started = time.perf_counter(), time.process_time()
    await asyncio.sleep(order.seconds)
    for clients in streams:
        clients.is_measuring = clients.is_sending = False
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    tell(ENDED)
    try:
        async with asyncio.timeout(DRAIN_SECONDS_MAX):
            for clients in streams:
                await clients.all_closed.wait()
    except TimeoutError:
        for transport, _ in connections:
            transport.abort()
        for clients in streams:
            await clients.all_closed.wait()
    return Report(seconds, cpu_seconds, [clients.report() for clients in streams])


def percentiles_ms(latencies: "array[float]") -> tuple[float, float, float]:
    """Tell the median, 95 % and 99 % of latencies in seconds."""
    ordered = sorted(latencies) or [0.0]
    p50, p95, p99 = (round(ordered[min(int(len(ordered) * part), len(ordered) - 1)] * 1000, 3) for part in _PARTS)
    return p50, p95, p99


_PARTS: Final = (0.50, 0.95, 0.99)


def tell(line: str) -> None:
    """Write a line to whoever started this process."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Read an Order, carry it out, and write the Report."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    gc.collect()
    gc.freeze()
    gc.disable()
    tell(msgspec.json.encode(uvloop.run(_generate(order))).decode())


if __name__ == "__main__":
    main()
