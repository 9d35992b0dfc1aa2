"""Callers of one process that charge through the Python client, as a service has them; each has one charge at a time.

It runs as `python -m benchmarks.client_load` with a ClientOrder on its standard input, and tells as the load generator
does: the lines "started" and "ended" as the measured time begins and ends, then a Report.
"""

import asyncio
import gc
import sys
import time
from array import array
from collections import Counter

import msgspec
import uvloop
from msgspec import Struct

from benchmarks.load import ENDED, STARTED, Report, StreamReport, percentiles_ms, tell
from farebox_client import AsyncFarebox, FareboxError


class ClientOrder(Struct):
    """What to charge, for how long, by how many callers; `requests` are payers and types, taken by `sequence`."""

    port: int
    seconds: float
    warm_up_seconds: float
    callers: int
    service_key: str
    requests: list[tuple[str, str]]
    sequence: list[int]
    is_batching: bool


class _Callers:
    """What all callers share: what is charged next, and what came of it."""

    def __init__(self, order: ClientOrder, farebox: AsyncFarebox) -> None:
        self._order = order
        self._farebox = farebox
        self._place = 0
        self.is_charging = True
        self.is_measuring = False
        self.latencies = array("d")
        self.costs: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()

    async def charge(self) -> None:
        sequence, requests = self._order.sequence, self._order.requests
        while self.is_charging:
            merchant, kind = requests[sequence[self._place]]
            self._place = (self._place + 1) % len(sequence)
            sent_at = time.perf_counter()
            try:
                charge = await self._farebox.charge(merchant=merchant, type=kind, quantity=1)
            except FareboxError as error:
                self.answers[str(error.status)] += 1
                continue
            if self.is_measuring:
                self.latencies.append(time.perf_counter() - sent_at)
            self.answers["200"] += 1
            self.costs[format(charge.cost, "f")] += 1


async def _generate(order: ClientOrder) -> Report:
    address = f"http://127.0.0.1:{order.port}"
    async with AsyncFarebox(address, key=order.service_key, batch=order.is_batching) as farebox:
        callers = _Callers(order, farebox)
        tasks = [asyncio.create_task(callers.charge()) for _ in range(order.callers)]
        await asyncio.sleep(order.warm_up_seconds)
        tell(STARTED)
        callers.is_measuring = True
        started, cpu_started = time.perf_counter(), time.process_time()
        await asyncio.sleep(order.seconds)
        callers.is_measuring = callers.is_charging = False
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
        tell(ENDED)
        await asyncio.gather(*tasks)
    report = StreamReport(
        completed=len(callers.latencies),
        latencies_ms=percentiles_ms(callers.latencies),
        answers=dict(callers.answers),
        costs=dict(callers.costs),
    )
    return Report(seconds, cpu_seconds, [report])


def main() -> None:
    """Read a ClientOrder, carry it out, and write the Report."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=ClientOrder)
    gc.collect()
    gc.freeze()
    tell(msgspec.json.encode(uvloop.run(_generate(order))).decode())


if __name__ == "__main__":
    main()
