"""What a run leaves behind: one small JSON file per kind of machine."""

import importlib.metadata
import os
import platform
import re
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec
import psutil
from msgspec import Struct

from benchmarks.clients import ClientResult
from benchmarks.costs import Cost
from benchmarks.footprint import Memory, Started
from benchmarks.large import Large
from benchmarks.over_http import HttpResult
from benchmarks.pgbench import PgbenchResult
from benchmarks.rounds import Figure
from benchmarks.shapes import ShapeResult
from benchmarks.simulation.model import Simulated

PACKAGES: Final = ("apsw", "asyncpg", "fastapi", "granian", "httptools", "msgspec", "starlette", "uvloop")
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
        """Six characters that differ between kinds of machine."""
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

    `verify_us` is what `farebox verify` takes per transfer by the clock, `verify_processor_us` of processor time.
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
    verify_processor_us: float


class Results(Struct, frozen=True):
    """A whole run. `load_averages` are the machine's for the last minute before it began and when it ended.

    `pgbench_note` says why there is nothing of pgbench, if there is nothing.
    """

    machine: Machine
    plan: Plan
    load_averages: tuple[float, float]
    synced_appends_per_second: Figure
    http: list[HttpResult]
    pgbench: list[PgbenchResult]
    pgbench_note: str
    costs: list[Cost]
    replay_us: Figure
    starts: list[Started]
    memory: list[Memory]
    ledgers: list[LedgerResult]
    simulated: list[Simulated]
    tigerbeetle: str = ""
    """The version of TigerBeetle that was measured in the same rounds; empty if none was."""


class SavingsResults(Struct, frozen=True):
    """Farebox, and Farebox without one of its savings each."""

    machine: Machine
    plan: Plan
    http: list[HttpResult]


class ObserveResults(Struct, frozen=True):
    """Farebox, and Farebox while it is observed in each way."""

    machine: Machine
    plan: Plan
    http: list[HttpResult]


class PricesResults(Struct, frozen=True):
    """Charges by a unit price, and by rules of several kinds."""

    machine: Machine
    plan: Plan
    prices: list[ShapeResult]


class ClientResults(Struct, frozen=True):
    """Charges through the Python client, and over as many connections."""

    machine: Machine
    plan: Plan
    clients: list[ClientResult]
    tigerbeetle: str = ""
    """As in `Results`."""


class GrantsResults(Struct, frozen=True):
    """Charges to merchants without given credit, and with ever more grants."""

    machine: Machine
    plan: Plan
    grants: list[ShapeResult]


class AgainstResult(Struct, frozen=True):
    """One case on both; `per_second`, `server_us` and `p50` are ratios of this to the other in the same round."""

    engine: str
    this: HttpResult
    other: HttpResult
    per_second: Figure
    server_us: Figure
    p50: Figure
    p99_of_p50: Figure
    """How many times its own p50 this checkout's p99 is."""


class ReadResult(Struct, frozen=True):
    """Whole books read by this checkout, in process: lines for each second of processor time, and memory beside."""

    engine: str
    what: str
    lines: int
    per_second: Figure
    megabytes: float


class Comparison(Struct, frozen=True):
    """Two checkouts in the same rounds, and what else this one is held to on the same ledgers."""

    against: list[AgainstResult]
    clients: list[ClientResult]
    reads: list[ReadResult]


class AgainstResults(Struct, frozen=True):
    """This checkout against another one, which `other` names by its commit."""

    machine: Machine
    plan: Plan
    other: str
    against: list[AgainstResult]
    clients: list[ClientResult] = []
    reads: list[ReadResult] = []
    tigerbeetle: str = ""
    """As in `Results`."""


class GatewayResult(Struct, frozen=True):
    """One kind of request through one proxy; times are in milliseconds, and `added` is beside the proxy alone."""

    proxy: str
    version: str
    what: str
    p50: Figure
    p99: Figure
    added_p50: Figure | None = None
    added_p99: Figure | None = None


class GatewaysResults(Struct, frozen=True):
    """What a gate adds behind each proxy."""

    machine: Machine
    plan: Plan
    gateways: list[GatewayResult]


class LargeResults(Struct, frozen=True):
    """A very large ledger beside an empty one and a small one."""

    machine: Machine
    plan: Plan
    large: Large


class MemoryResults(Struct, frozen=True):
    """Memory over a long time of full load, and how many charges that was."""

    machine: Machine
    plan: Plan
    memory: list[Memory]
    charges: list[int]
    """Of each of `memory`."""


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


def write(results: Struct, folder: Path, name: str) -> Path:
    """Write results as JSON; the name says which kind of machine they are of."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    return path


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()
