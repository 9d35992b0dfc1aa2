"""How fast a ledger is copied between the engines while a server charges it, and for how long nothing is at the switch.

`python -m benchmarks.moving --transfers 1000000` prints the figures that docs/how-to/move-to-postgresql.md has, into
PostgreSQL or, with `--to sqlite`, out of it. With `--kills 2` the command is killed twice on its way and run again. In
the end the copy is served, is charged what was refused meanwhile, and is held to what the clients were told.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
from msgspec import Struct, field

from benchmarks import ledgers
from benchmarks.filling import Filled, fill, verify
from benchmarks.footprint import serve_arguments
from benchmarks.keys import TimeOrderedKeys
from benchmarks.serving import ServerFailed, running
from benchmarks.workload import charge_body, draws
from farebox.moving.database import Database, MoveRow
from farebox.moving.databases import database_at
from farebox.service.parsing import parse_amount
from farebox.storage.interface import StorageError
from tests.support import plain_http

MERCHANTS: Final = 1_000
PER_SECOND: Final = 50
CLIENTS: Final = 8
RETRY_SECONDS: Final = 0.05
ANSWER_SECONDS_MAX: Final = 60

WATCH_SECONDS: Final = 0.2
PARTS: Final = 10
"""Into so many parts with as many rows each the copying is divided, to tell whether it slows down."""


class Watched(Struct):
    """One run of the command until it ended."""

    seconds: float = 0.0
    processor_seconds: float = 0.0
    bytes_max: int = 0


class Copying(Struct):
    """All its runs, and when the copy had how many rows, by a clock that stands still between runs."""

    runs: list[Watched] = field(default_factory=list)
    rows: list[tuple[float, int]] = field(default_factory=list)
    is_copied: bool = False

    @property
    def seconds(self) -> float:
        """How long all runs took."""
        return sum(run.seconds for run in self.runs)

    def rates(self) -> list[float]:
        """Tell the rows a second in each part of the copying."""
        parts: list[float] = []
        started, first = 0.0, 0
        whole = self.rows[-1][1]
        for at, done in self.rows:
            if done >= whole * (len(parts) + 1) / PARTS and done > first:
                parts.append((done - first) / (at - started))
                started, first = at, done
        return parts


class Charging(Struct):
    """Clients that charge wherever the ledger is served, under the same key until it went through."""

    filled: Filled
    port: int
    charged: asyncio.Event = field(default_factory=asyncio.Event)
    """A charge went through."""
    is_over: bool = False
    refused: int = 0
    went_through: list[float] = field(default_factory=list)
    """When, by the clock of time.monotonic."""
    longest_seconds: float = 0.0
    """The longest wait for an answer, whatever it was."""

    async def run(self, per_second: float) -> None:
        """Charge until it is over."""
        members, keys = self.filled.population.members, TimeOrderedKeys()
        source = itertools.cycle(draws(len(members), "spread"))
        headers = {"x-api-key": self.filled.population.service_key, "content-type": "application/json"}

        async def client(connection: httpx.AsyncClient) -> None:
            while not self.is_over:
                draw = next(source)
                start, end = charge_body(members[draw.place], draw.request_type)
                await self._charge(connection, start + keys.make() + end)
                await asyncio.sleep(CLIENTS / per_second)

        async with plain_http.async_client(headers=headers, timeout=ANSWER_SECONDS_MAX) as connection:
            await asyncio.gather(*(client(connection) for _ in range(CLIENTS)))

    async def _charge(self, connection: httpx.AsyncClient, body: str) -> None:
        while True:
            started = time.monotonic()
            try:
                answer = await connection.post(f"http://127.0.0.1:{self.port}/api/charges", content=body)
            except httpx.TransportError:
                answer = None
            ended = time.monotonic()
            self.longest_seconds = max(self.longest_seconds, ended - started)
            if answer is not None and answer.status_code == httpx.codes.OK:
                self.went_through.append(ended)
                self.charged.set()
                self.filled.acknowledged.charges += 1
                self.filled.acknowledged.micros += parse_amount(answer.json()["data"]["cost"])
                return
            self.refused += 1
            await asyncio.sleep(RETRY_SECONDS)

    def gap(self) -> float:
        """Tell the longest time in which no charge went through, in seconds."""
        return max(after - before for before, after in itertools.pairwise(sorted(self.went_through)))


async def move(filled: Filled, target_url: str, *, kills: int, per_second: float) -> None:
    """Move a ledger under load, and print what that took.

    Raises:
        WrongLedger: what the clients were told is not in the copy.
    """
    with contextlib.ExitStack() as servers:
        server = await asyncio.to_thread(servers.enter_context, running(serve_arguments, filled.url))
        charging = Charging(filled, server.port)
        clients = asyncio.create_task(charging.run(per_second))
        copying, copied = await _copy(filled.url, target_url, kills)
        server = await asyncio.to_thread(servers.enter_context, running(serve_arguments, target_url))
        charging.port = server.port
        charging.charged.clear()
        await charging.charged.wait()
        charging.is_over = True
        await clients
    _print(copying, copied, charging)
    filled.url = target_url
    await verify(filled)


async def _copy(source_url: str, target_url: str, kills: int) -> tuple[Copying, dict[str, Any]]:
    """Run the command, again after each kill, and watch how far it comes; tell what it says in the end."""
    source = _database(source_url)
    await source.open()
    rows = sum([await source.count(table) for table in await source.tables()])
    await source.close()
    copying = Copying()
    while True:
        kill_at = rows * (len(copying.runs) + 1) // (kills + 1) if len(copying.runs) < kills else None
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "farebox", "copy", "--to", target_url, "--switch", "--json"),
            env={**os.environ, "FAREBOX_DATABASE_URL": source_url},
            stdout=subprocess.PIPE,
        )
        await _watch(process, copying, target_url, kill_at)
        output, _ = await process.communicate()
        if process.returncode == -signal.SIGKILL and kill_at is not None:
            continue
        if process.returncode:
            raise ServerFailed(f"the command ended with {process.returncode}: {output.decode()}")
        return copying, json.loads(output)


async def _watch(process: asyncio.subprocess.Process, copying: Copying, target_url: str, kill_at: int | None) -> None:
    """Watch one run until it ends, or until the copy has so many rows."""
    watched, before, started = Watched(), copying.seconds, time.monotonic()
    copying.runs.append(watched)
    seen = psutil.Process(process.pid)
    target: Database | None = None
    try:
        while process.returncode is None:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                watched.bytes_max = max(watched.bytes_max, seen.memory_info().rss)
                watched.processor_seconds = sum(seen.cpu_times()[:2])
            watched.seconds = time.monotonic() - started
            target = target or await _opened(target_url)
            row = None if target is None or copying.is_copied else await _move_row(target)
            if row is not None:
                copying.is_copied = row.table_name is None
                if not copying.rows or row.rows_done > copying.rows[-1][1]:
                    copying.rows.append((before + watched.seconds, row.rows_done))
                if kill_at is not None and row.rows_done >= kill_at:
                    process.kill()
                    return
            await asyncio.sleep(WATCH_SECONDS)
    finally:
        if target is not None:
            await target.close()


def _database(url: str) -> Database:
    return database_at(url, ledgers.sqlite_path(url))


async def _opened(url: str) -> Database | None:
    """Open the target once the command has made it."""
    path = ledgers.sqlite_path(url)
    if path is not None and not path.exists():
        return None
    database = _database(url)
    await database.open()
    return database


async def _move_row(target: Database) -> MoveRow | None:
    with contextlib.suppress(StorageError):
        return await target.move_row()
    return None


def _print(copying: Copying, copied: dict[str, Any], charging: Charging) -> None:
    rows, until_copied = copied["rows"], copying.rows[-1][0]
    processor_seconds = sum(run.processor_seconds for run in copying.runs)
    print(
        f"{rows:,} rows, {copied['tables']['transfer']:,} transfers: {copying.seconds:.0f} s in {len(copying.runs)} "
        f"runs, {rows / copying.seconds:,.0f} rows/s; copied in {until_copied:.0f} s, rows/s in each tenth of it: "
        f"{', '.join(f'{rate:,.0f}' for rate in copying.rates())}; compared and verified in "
        f"{copying.seconds - until_copied:.0f} s"
    )
    print(
        f"{len(charging.went_through):,} charges meanwhile; nothing charged for {copied['frozenSeconds']:.2f} s by the "
        f"command, for {charging.gap():.2f} s until a new server charged; longest wait for an answer "
        f"{charging.longest_seconds:.2f} s; {charging.refused} refused and asked again"
    )
    print(
        f"{processor_seconds:.0f} s of the command's processor time, {processor_seconds / rows * 1e6:.0f} us a row; "
        f"MB at most in each run: {', '.join(str(run.bytes_max >> 20) for run in copying.runs)}"
    )


async def measure(options: argparse.Namespace, folder: Path) -> None:
    """Fill a ledger, and move it."""
    with ledgers.engine("sqlite", folder) as sqlite, ledgers.engine("postgres", folder) as postgres:
        source, target = (sqlite, postgres) if options.to == "postgres" else (postgres, sqlite)
        filled = await fill(source, options.transfers, options.merchants)
        await move(filled, target.create(), kills=options.kills, per_second=options.per_second)


def main(words: Sequence[str] | None = None) -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.moving", description=__doc__)
    parser.add_argument("--transfers", type=int, default=1_000_000, help="how many there are before")
    parser.add_argument("--merchants", type=int, default=MERCHANTS, help="whose they are")
    parser.add_argument("--to", choices=ledgers.ENGINES, default="postgres", help="the engine it is copied into")
    parser.add_argument("--kills", type=int, default=0, help="how often the command is killed while rows are copied")
    parser.add_argument("--per-second", type=float, default=PER_SECOND, help="how often clients charge meanwhile")
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(options, Path(folder)))


if __name__ == "__main__":
    main()
