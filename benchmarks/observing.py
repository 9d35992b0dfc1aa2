"""What being observed costs a charge in CPU time: `python -m benchmarks.observing metrics`, or `traces`.

Charges per second of two servers tell little on a machine that does something else meanwhile. So the same application
runs here within one process, twice: observed and not, each over a ledger of its own. They take rounds of the
same charges in turn, and the CPU time of each round is held to that of the round beside it.
"""

import asyncio
import gc
import multiprocessing
import os
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import uvloop
from msgspec import Struct
from starlette.types import ASGIApp

from benchmarks.workload import Member, populate
from farebox.bootstrap import Farebox
from farebox.config import Settings
from farebox.server import GC_THRESHOLD, ServerMetrics, rate_limits
from farebox.tracing.app import TracedApp
from farebox.tracing.traces import Traces
from farebox.web.app import create_app
from farebox.web.client_address import Addresses
from farebox.web.pages.live import Live
from farebox.web.pages.throttle import SignInThrottle
from farebox.web.watch import RequestWatch

METRICS: Final = "metrics"
TRACES: Final = "traces"
AT_ONCE: Final = 64
BATCHES: Final = 3
"""How often so many charges are made at once in a round."""

ROUNDS: Final = 500
MERCHANTS: Final = 64


class _Case(Struct):
    """An application, and whom it charges."""

    app: ASGIApp
    members: list[Member]
    service_key: str
    made: int = 0


@asynccontextmanager
async def _case(folder: Path, name: str, *, observed_by: str = "") -> AsyncIterator[_Case]:
    has_metrics = observed_by == METRICS
    token = secrets.token_hex(32) if has_metrics else ""
    settings = Settings.of(database_url=f"sqlite:///{folder / name}.db", metrics_token=token, rate_limit="0")
    farebox, live, addresses = Farebox.build(settings), Live(), Addresses(())
    await farebox.stores.connector.migrate(farebox.clock.now())
    metrics = ServerMetrics(farebox, live) if has_metrics else None

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[dict[str, object]]:
        yield {}

    traces = None
    if observed_by == TRACES:
        # One request of a hundred is told of.
        traces = Traces(farebox.stores.connector.dialect)
        farebox.committer.trace(traces)
    async with farebox.running():
        population = await populate(farebox, MERCHANTS)
        app = create_app(
            farebox.services,
            addresses,
            limits=rate_limits(farebox, addresses),
            throttle=SignInThrottle(),
            cors_origins=(),
            lifespan=lifespan,
            live=live,
            watch=RequestWatch(addresses, note=None if metrics is None else metrics.counts.note_request),
        )
        yield _Case(app if traces is None else TracedApp(app, traces), population.members, population.service_key)
        if traces is not None:
            traces.close()


class _Collector(BaseHTTPRequestHandler):
    """Takes spans, and does nothing with them."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take some."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _collect(told: Connection) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Collector) as server:
        told.send(server.server_port)
        server.serve_forever()


@contextmanager
def _collector() -> Iterator[None]:
    """Have a collector in a process of its own, whose work is not the server's."""
    read, write = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_collect, args=(write,), daemon=True)
    process.start()
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{read.recv()}"
    try:
        yield
    finally:
        process.kill()
        process.join()


async def _charge(case: _Case, number: int) -> None:
    member = case.members[number % len(case.members)]
    body = f'{{"merchant":"{member.key}","type":"image","quantity":1,"idempotencyKey":"k{number}"}}'.encode()
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/api/charges",
        "raw_path": b"/api/charges",
        "query_string": b"",
        "client": ("127.0.0.1", 1),
        "headers": [(b"x-api-key", case.service_key.encode()), (b"content-type", b"application/json")],
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start" and message["status"] != 200:
            raise RuntimeError(f"a charge was answered with {message['status']}")

    await case.app(scope, receive, send)


async def _round(case: _Case) -> float:
    """Make a round of charges, and tell the microseconds of CPU time that each took."""
    before = time.process_time()
    for _ in range(BATCHES):
        await asyncio.gather(*(_charge(case, case.made + number) for number in range(AT_ONCE)))
        case.made += AT_ONCE
    return (time.process_time() - before) / (BATCHES * AT_ONCE) * 1e6


async def _measure(observed_by: str) -> tuple[list[float], list[float]]:
    with tempfile.TemporaryDirectory(prefix="farebox-bench-") as folder:
        async with (
            _case(Path(folder), "plain") as plain,
            _case(Path(folder), "observed", observed_by=observed_by) as observed,
        ):
            for case in (plain, observed):
                await _round(case)
            gc.collect()
            gc.freeze()
            gc.set_threshold(GC_THRESHOLD, 20, 50)
            pairs: list[tuple[float, float]] = []
            for number in range(ROUNDS):
                # Neither of the two is always the second.
                if number % 2:
                    first = await _round(plain)
                    pairs.append((first, await _round(observed)))
                else:
                    second = await _round(observed)
                    pairs.append((await _round(plain), second))
    return [one for one, _ in pairs], [other for _, other in pairs]


def main() -> None:
    """Measure, and print."""
    observed_by = sys.argv[1]
    if observed_by not in (METRICS, TRACES):
        raise SystemExit(f"name {METRICS} or {TRACES}")
    with _collector():
        plain, observed = uvloop.run(_measure(observed_by))
    ratios = sorted(other / one for one, other in zip(plain, observed, strict=True))
    quarter = len(ratios) // 4
    print(f"{ROUNDS} pairs of {BATCHES * AT_ONCE} charges, {AT_ONCE} at once, SQLite, within one process")
    print(f"without {observed_by:8} {statistics.median(plain):.1f} us of CPU time a charge, {min(plain):.1f} at best")
    print(f"with {observed_by:11} {statistics.median(observed):.1f} us, {min(observed):.1f} at best")
    middle = f"{ratios[quarter]:.4f} to {ratios[-quarter]:.4f}"
    print(f"ratio of pairs   {statistics.median(ratios):.4f}, its middle half {middle}")


if __name__ == "__main__":
    main()
