"""What comes out of a run: an aligned table for people, and one small JSON file to keep."""

import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec
import psutil
from msgspec import Struct

from benchmarks.costs import Cost
from benchmarks.over_http import CEILING, HttpResult
from benchmarks.rounds import Figure

PACKAGES: Final = ("apsw", "asyncpg", "granian", "litestar", "msgspec", "uvloop")
_MACHINE_ID_BYTES: Final = 3
_GIBIBYTE: Final = 1 << 30


class Machine(Struct, frozen=True):
    """The machine and the programs that the figures are about; nothing that names it."""

    processor: str
    cores: int
    memory_gib: int
    system: str
    file_system: str
    python: str
    packages: dict[str, str]

    @property
    def short_id(self) -> str:
        """Six letters that differ between kinds of machine."""
        kind = f"{self.processor} {self.cores} {self.memory_gib} {self.system}"
        return blake2b(kind.encode(), digest_size=_MACHINE_ID_BYTES).hexdigest()


class Plan(Struct, frozen=True):
    """How much was measured."""

    merchants: int
    rounds: int
    seconds: float
    connections: tuple[int, ...]


class LedgerResult(Struct, frozen=True):
    """A ledger after all that was measured on it: replayed without a fault, and equal to what its clients were told.

    `verify_us` is what reading and replaying it takes, per transfer.
    """

    subject: str
    measured: str
    engine: str
    durability: str
    transfers: int
    charges: int
    acknowledged_charges: int
    charged: str
    acknowledged: str
    verify_us: float


class Results(Struct, frozen=True):
    """A whole run. `load_averages` are the machine's for the last minute before it began and when it ended."""

    machine: Machine
    plan: Plan
    load_averages: tuple[float, float]
    synced_appends_per_second: Figure
    http: list[HttpResult]
    costs: list[Cost]
    replay_us: Figure
    ledgers: list[LedgerResult]


def machine(file_system: str) -> Machine:
    """Describe this machine."""
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        memory_gib=round(psutil.virtual_memory().total / _GIBIBYTE),
        system=platform.system(),
        file_system=file_system,
        python=platform.python_version(),
        packages={name: importlib.metadata.version(name) for name in PACKAGES},
    )


def write(results: Results, folder: Path, name: str) -> Path:
    """Write the results as JSON, one file per kind of machine and choice of engines."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{results.machine.short_id}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    return path


def text(results: Results) -> str:
    """Render the results for people."""
    return "\n".join([*_head(results), "", *_http(results), "", *_costs(results.costs), "", *_tail(results)])


def progress(line: str) -> None:
    """Tell a person who waits what is being done."""
    print(line, file=sys.stderr, flush=True)


def _head(results: Results) -> Iterator[str]:
    machine, plan = results.machine, results.plan
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    yield f"machine     {machine.cores} x {machine.processor}, {machine.memory_gib} GiB, {machine.system}"
    yield f"programs    Python {machine.python}, {packages}"
    for engine, durability in dict.fromkeys((it.engine, it.durability) for it in results.ledgers):
        yield f"engine      {engine}: {durability}"
    yield (
        f"workload    {plan.merchants:,} merchants; medians of {plan.rounds} x {plan.seconds:g} s (lowest to highest); "
        f"load average {results.load_averages[0]:.2f} before, {results.load_averages[1]:.2f} after"
    )
    disk = results.synced_appends_per_second
    yield f"disk        {_range(disk)} appends of 4 KiB with fdatasync a second, {machine.file_system}"


def _http(results: Results) -> Iterator[str]:
    header = (
        *("requests over HTTP", "conns", "on", "a second", "of ceiling", "server us", "database us"),
        *("p50 ms", "p95 ms", "p99 ms", "server cpu", "load cpu", "others cpu", "not 200"),
    )
    yield from _table(
        header,
        [
            (
                it.what if it.subject == CEILING or it.what == "balance" else f"{it.what}, {it.variant}",
                str(it.connections),
                it.subject,
                _range(it.per_second),
                "" if it.subject == CEILING else f"{it.of_ceiling.median:.2f}",
                f"{it.server_us.median:.1f}",
                f"{it.database_us.median:.1f}" if it.database_us.median else "",
                *(f"{latency.median:.1f}" for latency in (it.p50_ms, it.p95_ms, it.p99_ms)),
                *(f"{share.median:.2f}" for share in (it.server_share, it.load_share, it.others_share)),
                " ".join(f"{status}: {count}" for status, count in it.failures.items()) or "none",
            )
            for it in results.http
        ],
    )


def _costs(costs: Sequence[Cost]) -> Iterator[str]:
    yield from _table(
        ("us per charge in process", "batch", "on", "transact", "its own cpu", "decide alone"),
        [
            (
                f"charge, {it.variant}",
                f"{it.batch:,}",
                it.subject,
                _range(it.transact_us),
                f"{it.processor_us.median:.1f}",
                f"{it.decide_us.median:.1f}",
            )
            for it in costs
        ],
    )


def _tail(results: Results) -> Iterator[str]:
    yield f"replay alone: {_range(results.replay_us)} us per transfer"
    for it in results.ledgers:
        yield (
            f"verified ({it.subject}, {it.measured}): {it.transfers:,} transfers without a fault, "
            f"{it.verify_us:.1f} us each; {it.charges:,} charges of {it.charged} in all, as acknowledged"
        )


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        # Words stand to the left, numbers to the right.
        cells[0], cells[2] = row[0].ljust(widths[0]), row[2].ljust(widths[2])
        yield "  ".join(cells).rstrip()


def _range(it: Figure) -> str:
    return f"{_number(it.median)} ({_number(it.lowest)} to {_number(it.highest)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()
