"""What it costs to read whole books, in process: `python -m benchmarks.books` verifies and exports them.

Processor time of all threads, so what else the machine does matters little; and by how much memory grows meanwhile.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import psutil
from msgspec import Struct

from benchmarks import ledgers
from benchmarks.filling import fill
from benchmarks.ledgers import ENGINES
from farebox.bootstrap import Farebox
from farebox.service.statements.reader import Selection

TRANSFERS: Final = 300_000
ROUNDS: Final = 5
VERIFY: Final = "verify"
EXPORT_JSON: Final = "export, lines of JSON"
EXPORT_CSV: Final = "export, CSV"

_MEGABYTE: Final = 1_000_000


class Read(Struct, frozen=True):
    """One pass over books: how many lines it had, and what that took, of processor time."""

    lines: int
    seconds: float
    megabytes: float
    """By how much more memory the process had at its most than when it began."""

    @property
    def per_second(self) -> float:
        """Lines for each second of processor time."""
        return self.lines / self.seconds


def main() -> None:
    """Measure, and print a line for each way of reading."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.books", description="Tell what reading books costs.")
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0])
    parser.add_argument("--transfers", type=int, default=TRANSFERS, help="how many there are (%(default)s)")
    parser.add_argument("--merchants", type=int, default=1, help="whose they are; the first one's book is exported")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="farebox-bench-") as folder,
        ledgers.engine(options.engine, Path(folder)) as engine,
    ):
        filled = asyncio.run(fill(engine, options.transfers, options.merchants))
        for line in _lines(asyncio.run(read(filled.url, filled.population.members[0].merchant_id, options.rounds))):
            print(line)


async def read(url: str, merchant_id: int, rounds: int) -> dict[str, list[Read]]:
    """Verify a ledger, and export a merchant's statement as lines of JSON and as CSV, so many times each."""
    found: dict[str, list[Read]] = {}
    async with ledgers.opened(url) as farebox:
        for _ in range(rounds):
            found.setdefault(VERIFY, []).append(await _verified(farebox))
            statement = farebox.services.statements
            lines = await statement.export_lines(merchant_id, start=None, end=None)
            found.setdefault(EXPORT_JSON, []).append(await _exported(lines))
            table = await statement.export_csv(merchant_id, Selection())
            found.setdefault(EXPORT_CSV, []).append(await _exported(table))
    return found


async def _verified(farebox: Farebox) -> Read:
    before = _memory()
    verified = await ledgers.verify(farebox)
    return Read(verified.transfers, verified.processor_seconds, _memory() - before)


async def _exported(pieces: AsyncIterator[bytes]) -> Read:
    before = most = _memory()
    lines, started = 0, time.process_time()
    async for piece in pieces:
        lines += piece.count(b"\n")
        most = max(most, _memory())
    return Read(lines, time.process_time() - started, most - before)


def _memory() -> float:
    return float(psutil.Process().memory_info().rss) / _MEGABYTE


def _lines(found: dict[str, list[Read]]) -> Iterator[str]:
    yield "of processor time: median (lowest to highest)"
    for what, reads in found.items():
        rates = sorted(it.per_second for it in reads)
        yield (
            f"{what:22} {statistics.median(rates):9,.0f} a second ({rates[0]:,.0f} to {rates[-1]:,.0f}), "
            f"{reads[0].lines:,} lines, {max(it.megabytes for it in reads):.0f} MB more memory at most"
        )


if __name__ == "__main__":
    main()
