"""How fast a ledger is copied into PostgreSQL while it is charged, and for how long nothing is charged at the switch.

`python -m benchmarks.moving --transfers 1000000` prints the figures that docs/how-to/move-to-postgresql.md has.
"""

import argparse
import asyncio
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

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


async def measure(transfers: int, folder: Path) -> None:
    """Fill a ledger, move it under load, and print what that took."""
    with ledgers.engine("sqlite", folder) as sqlite, ledgers.engine("postgres", folder) as postgres:
        filled = await fill(sqlite, transfers, MERCHANTS)
        target = postgres.create()
        client = asyncio.create_task(charge_until_moved(filled))
        command = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "farebox", "copy", "--to", target, "--switch", "--json"),
            env={**os.environ, "FAREBOX_DATABASE_URL": filled.url},
            stdout=subprocess.PIPE,
        )
        output, _ = await command.communicate()
        if command.returncode:
            client.cancel()
            raise SystemExit(command.returncode)
        copied = json.loads(output)
        count, longest = await client
    print(
        f"{copied['rows']:,} rows, {copied['tables']['transfer']:,} transfers: {copied['seconds']:.0f} s, "
        f"{copied['rows'] / copied['seconds']:,.0f} rows/s copied, compared and verified; {count:,} charges meanwhile; "
        f"nothing charged for {copied['frozenSeconds']:.2f} s, longest wait of a client {longest:.2f} s"
    )


def main(words: Sequence[str] | None = None) -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.moving", description=__doc__)
    parser.add_argument("--transfers", type=int, default=1_000_000, help="how many there are before")
    chosen = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(chosen.transfers, Path(folder)))


if __name__ == "__main__":
    main()
