"""Callers that share a process, each with one request at a time, and what they tell of it."""

import asyncio
import time
from abc import ABC, abstractmethod
from array import array
from collections import Counter

from benchmarks.load import ENDED, STARTED, Report, StreamReport, percentiles_ms, tell


class Callers(ABC):
    """What all callers of a process share: what is charged next, and what came of it.

    Answers and costs count from the first request to the last, warm-up and all; latencies within the measured time.
    """

    def __init__(self, sequence: list[int], *, batch: int = 1) -> None:
        """Charge by `sequence`, round and round, `batch` charges in a request."""
        self._sequence = sequence
        self._place = 0
        self._batch = batch
        self._is_charging = True
        self._is_measuring = False
        self._latencies = array("d")
        self.costs: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()

    @abstractmethod
    async def charge_once(self) -> bool:
        """Send one request, count its answer and its costs, and tell whether it was answered as it should be."""

    async def charge(self, callers: int, *, warm_up_seconds: float, seconds: float) -> Report:
        """Let so many callers charge for so long, and tell whoever started this process as the time begins and ends."""
        tasks = [asyncio.create_task(self._keep_charging()) for _ in range(callers)]
        await asyncio.sleep(warm_up_seconds)
        tell(STARTED)
        self._is_measuring = True
        started, cpu_started = time.perf_counter(), time.process_time()
        await asyncio.sleep(seconds)
        self._is_measuring = self._is_charging = False
        ended, cpu_ended = time.perf_counter(), time.process_time()
        tell(ENDED)
        await asyncio.gather(*tasks)
        report = StreamReport(
            completed=len(self._latencies) * self._batch,
            latencies_ms=percentiles_ms(self._latencies),
            answers=dict(self.answers),
            costs=dict(self.costs),
        )
        return Report(ended - started, cpu_ended - cpu_started, [report])

    def next_place(self) -> int:
        """Tell what is to be charged next, by its place among what is charged at all."""
        place = self._sequence[self._place]
        self._place = (self._place + 1) % len(self._sequence)
        return place

    async def _keep_charging(self) -> None:
        while self._is_charging:
            sent_at = time.perf_counter()
            if await self.charge_once() and self._is_measuring:
                self._latencies.append(time.perf_counter() - sent_at)
