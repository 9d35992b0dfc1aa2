"""The load generator: a process of its own that keeps N connections busy, each with one request at a time.

It is written to cost less than any server it measures: requests are rendered before the start but for their idempotency
key, and of an answer it reads the status, the length and the cost. It runs as `python -m benchmarks.load` with an Order
on its standard input, and writes the lines "started" and "ended" as the measured time begins and ends, then its Report.
"""

import asyncio
import gc
import sys
import time
from array import array
from typing import Any, Final

import msgspec
import uvloop
from msgspec import Struct, field

from benchmarks.workload import TimeOrderedKeys

STARTED: Final = "started"
ENDED: Final = "ended"
DRAIN_SECONDS_MAX: Final = 30.0
"""How long answers that are still owed at the end are waited for."""

_LENGTH: Final = b"content-length: "
_COST: Final = b'"cost":"'


class Order(Struct):
    """What to send: `requests` by `sequence`, round and round, each with a new key between its two parts.

    A request whose second part is empty takes no key.
    """

    port: int
    connections: int
    seconds: float
    warm_up_seconds: float
    requests: list[tuple[str, str]]
    sequence: list[int]


class Report(Struct):
    """What came back. Answers, costs and broken connections count from the first request to the last, warm-up and all.

    `completed` counts the answers 200 within the measured time, `latencies_ms` are theirs: the median, 95 % and 99 %.
    `costs` counts the costs that were acknowledged, by their text.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    completed: int = 0
    latencies_ms: tuple[float, float, float] = (0.0, 0.0, 0.0)
    answers: dict[str, int] = field(default_factory=dict)
    broken: int = 0
    costs: dict[str, int] = field(default_factory=dict)


class _Run:
    """What all connections share: the requests to send, and what came back so far."""

    def __init__(self, order: Order) -> None:
        self._parts = [(head.encode(), tail.encode()) for head, tail in order.requests]
        self._sequence = order.sequence
        self._place = 0
        self._keys = TimeOrderedKeys()
        self.is_sending = True
        self.is_measuring = False
        self.answers: dict[bytes, int] = {}
        self.costs: dict[bytes, int] = {}
        self.broken = 0
        self.latencies = array("d")
        self.open_connections = 0
        self.all_closed = asyncio.Event()

    def next_request(self) -> bytes:
        """Render the next request."""
        head, tail = self._parts[self._sequence[self._place]]
        self._place = (self._place + 1) % len(self._sequence)
        return head + self._keys.make().encode() + tail if tail else head


class _Connection(asyncio.Protocol):
    """One client: it sends a request, waits for the whole answer, and sends the next."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._received = b""
        self._sent_at = 0.0
        self._is_waiting = False
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._run.open_connections += 1
        self._send()

    def _send(self) -> None:
        request = self._run.next_request()
        self._is_waiting = True
        self._sent_at = time.perf_counter()
        self._transport.write(request)

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
        if self._run.is_sending:
            self._send()
        else:
            self._transport.close()

    def _count(self, answer: bytes, head_end: int) -> None:
        run = self._run
        status = answer[9:12]
        run.answers[status] = run.answers.get(status, 0) + 1
        if run.is_measuring and status == b"200":
            run.latencies.append(time.perf_counter() - self._sent_at)
        cost_at = answer.find(_COST, head_end)
        if cost_at > 0:
            cost_at += len(_COST)
            cost = answer[cost_at : answer.index(b'"', cost_at)]
            run.costs[cost] = run.costs.get(cost, 0) + 1

    def connection_lost(self, exc: Exception | None) -> None:
        # A client that is still owed an answer doesn't know what became of its request: that is never passed over.
        self._run.broken += self._is_waiting
        self._run.open_connections -= 1
        if self._run.open_connections == 0:
            self._run.all_closed.set()


async def _generate(order: Order) -> Report:
    loop = asyncio.get_running_loop()
    run = _Run(order)
    connections = [
        await loop.create_connection(lambda: _Connection(run), "127.0.0.1", order.port)
        for _ in range(order.connections)
    ]
    await asyncio.sleep(order.warm_up_seconds)
    _tell(STARTED)
    run.is_measuring = True
    started, cpu_started = time.perf_counter(), time.process_time()
    await asyncio.sleep(order.seconds)
    run.is_measuring = run.is_sending = False
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    _tell(ENDED)
    try:
        await asyncio.wait_for(run.all_closed.wait(), DRAIN_SECONDS_MAX)
    except TimeoutError:
        for transport, _ in connections:
            transport.abort()
        await run.all_closed.wait()
    return Report(
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        completed=len(run.latencies),
        latencies_ms=_percentiles_ms(run.latencies),
        answers={status.decode(): count for status, count in sorted(run.answers.items())},
        broken=run.broken,
        costs={cost.decode(): count for cost, count in sorted(run.costs.items())},
    )


def _percentiles_ms(latencies: "array[float]") -> tuple[float, float, float]:
    ordered = sorted(latencies) or [0.0]
    p50, p95, p99 = (round(ordered[min(int(len(ordered) * part), len(ordered) - 1)] * 1000, 3) for part in _PARTS)
    return p50, p95, p99


_PARTS: Final = (0.50, 0.95, 0.99)


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Read an Order, carry it out, and write the Report."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    gc.collect()
    gc.freeze()
    gc.disable()
    _tell(msgspec.json.encode(uvloop.run(_generate(order))).decode())


if __name__ == "__main__":
    main()
