"""What a server takes beside the requests it answers: time to start, and memory under full load."""

import threading
import time
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from benchmarks import apps
from benchmarks.ledgers import Acknowledged
from benchmarks.over_http import Case, acknowledge, order
from benchmarks.rounds import Figure, figure
from benchmarks.serving import put_load, resident_mb, running, serving
from benchmarks.workload import Population

MEMORY_SAMPLES: Final = 40


class Started(Struct, frozen=True):
    """How long `farebox serve` takes from the command to its first answer, in seconds, on a ledger of this size."""

    subject: str
    ledger: str
    transfers: int
    seconds: Figure


class Memory(Struct, frozen=True):
    """Megabytes that the largest process of a server has resident, over time, while it charges as fast as it can."""

    subject: str
    connections: int
    seconds: list[float]
    megabytes: list[float]

    @property
    def highest_mb(self) -> float:
        """The most that was seen."""
        return max(self.megabytes)


def measure_start(subject: str, ledger: str, url: str, *, transfers: int, rounds: int) -> Started:
    """Start `farebox serve` on a ledger again and again."""
    seconds: list[float] = []
    for _ in range(rounds):
        with running(serve_arguments, url) as server:
            seconds.append(server.start_seconds)
    return Started(subject, ledger, transfers, figure(seconds))


def serve_arguments(port: int) -> list[str]:
    """Render the command that an operator starts a server with."""
    return ["-m", "farebox", "serve", "--port", str(port)]


def measure_memory(
    subject: str, url: str, population: Population, told: Acknowledged, *, connections: int, seconds: float
) -> Memory:
    """Watch a new server under charges from many merchants."""
    seen: list[tuple[float, float]] = []
    with serving(apps.FAREBOX, url) as server:
        is_over = threading.Event()

        def watch() -> None:
            started = time.perf_counter()
            while not is_over.wait(seconds / MEMORY_SAMPLES):
                seen.append((time.perf_counter() - started, resident_mb(server)))

        seen.append((0.0, resident_mb(server)))
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            sent = order(population, Case("charge", "spread", connections), server.port, seconds)
            for stream in put_load(sent, server, None).report.streams:
                acknowledge(told, stream)
        finally:
            is_over.set()
            watcher.join()
    return _memory(subject, connections, seen)


def _memory(subject: str, connections: int, seen: Sequence[tuple[float, float]]) -> Memory:
    return Memory(subject, connections, [round(at, 2) for at, _ in seen], [round(size, 1) for _, size in seen])
