"""How fast a ledger is copied between the engines while it is charged, and for how long nothing is at the switch.

`python -m benchmarks.moving --transfers 1000000` prints the figures that docs/how-to/move-to-postgresql.md has, into
PostgreSQL or, with `--to sqlite`, out of it. Processor time and memory are those of the command.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psutil

from benchmarks import ledgers
from benchmarks.filling import Filled, fill
from benchmarks.workload import charges
from farebox.core import state
from farebox.core.decide import decide
from farebox.storage.interface import LedgerMoved, StoreUnavailable

MERCHANTS: Final = 1_000
CHARGES_AT_ONCE: Final = 20
PAUSE_SECONDS: Final = 0.02
"""Between two batches of the client that charges meanwhile: about a thousand charges a second."""

WATCH_SECONDS: Final = 0.2


async def charge_until_moved(filled: Filled) -> tuple[int, float]:
    """Charge until the ledger has moved; tell how often, and the longest wait for an answer, in seconds."""
    source = charges(filled.population, "spread")
    count, longest = 0, 0.0
    async with ledgers.opened(filled.url) as farebox:
        while True:
            commands = list(itertools.islice(source, CHARGES_AT_ONCE))
            now, started = time.time_ns() // 1_000, time.monotonic()
            try:
                await farebox.stores.connector.transact(
                    state.reads(commands, now),
                    lambda met, commands=commands, now=now: decide(met, commands, now),  # type: ignore[misc]
                )
                count += len(commands)
            except LedgerMoved:
                return count, max(longest, time.monotonic() - started)
            except StoreUnavailable:
                pass
            longest = max(longest, time.monotonic() - started)
            await asyncio.sleep(PAUSE_SECONDS)


async def measure(transfers: int, to: ledgers.EngineName, folder: Path) -> None:
    """Fill a ledger, move it under load, and print what that took."""
    with ledgers.engine("sqlite", folder) as sqlite, ledgers.engine("postgres", folder) as postgres:
        source, target = (sqlite, postgres) if to == "postgres" else (postgres, sqlite)
        filled = await fill(source, transfers, MERCHANTS)
        client = asyncio.create_task(charge_until_moved(filled))
        processor_before = _processor_seconds()
        command = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "farebox", "copy", "--to", target.create(), "--switch", "--json"),
            env={**os.environ, "FAREBOX_DATABASE_URL": filled.url},
            stdout=subprocess.PIPE,
        )
        peaks = asyncio.create_task(_memory_peaks(command.pid))
        output, _ = await command.communicate()
        processor_seconds = _processor_seconds() - processor_before
        if command.returncode:
            client.cancel()
            raise SystemExit(command.returncode)
        copied = json.loads(output)
        count, longest = await client
    memory = ", ".join(f"{peak >> 20}" for peak in await peaks)
    print(
        f"to {to}: {copied['rows']:,} rows, {copied['tables']['transfer']:,} transfers: {copied['seconds']:.0f} s, "
        f"{copied['rows'] / copied['seconds']:,.0f} rows/s copied, compared and verified; {count:,} charges meanwhile; "
        f"nothing charged for {copied['frozenSeconds']:.2f} s, longest wait of a client {longest:.2f} s; "
        f"{processor_seconds:.0f} s of processor time, {processor_seconds / copied['rows'] * 1e6:.0f} us a row; "
        f"MB at most in each quarter of it: {memory}"
    )


def _processor_seconds() -> float:
    """Sum up what commands have spent that have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


async def _memory_peaks(pid: int) -> list[int]:
    """Watch what a process has resident until it ends; tell the most of each quarter of that time, in bytes."""
    seen: list[int] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        while process.status() != psutil.STATUS_ZOMBIE:
            seen.append(process.memory_info().rss)
            await asyncio.sleep(WATCH_SECONDS)
    quarter = max(len(seen) // 4, 1)
    return [max(seen[start : start + quarter]) for start in range(0, quarter * 4, quarter) if seen[start:]]


def main(words: Sequence[str] | None = None) -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.moving", description=__doc__)
    parser.add_argument("--transfers", type=int, default=1_000_000, help="how many there are before")
    parser.add_argument("--to", choices=ledgers.ENGINES, default="postgres", help="the engine it is copied into")
    chosen = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(chosen.transfers, chosen.to, Path(folder)))


if __name__ == "__main__":
    main()
