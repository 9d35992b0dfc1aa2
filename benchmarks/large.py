"""A very large ledger on SQLite, beside an empty one and a small one: requests, start-up, backup and verification.

The ledgers are kept in a folder, since filling one of 100 million transfers takes an hour, and used again if they are
there. A note with each tells what was charged to it, while it was measured too, so that it can be held to that.
"""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import msgspec
import uvloop
from msgspec import Struct

from benchmarks import apps, ledgers, over_http
from benchmarks.filling import Filled, Size, fill
from benchmarks.growth import CONNECTIONS, expect_no_failures, relative, start_seconds
from benchmarks.ledgers import Engine, Verified
from benchmarks.over_http import Case, Subject, What
from benchmarks.rounds import Figure, figure
from benchmarks.serving import Server, serving
from benchmarks.workload import Variant

SUBJECT: Final = "sqlite"
SMALL_PART: Final = 100
"""The small ledger has one transfer for so many of the large one."""

FILL_BATCH: Final = 20_000
"""Charges at once while a ledger is filled."""

_MEGABYTE: Final = 1_000_000
_CASES: Final[tuple[tuple[What, Variant, bool], ...]] = (
    ("charge", "spread", False),
    ("charge", "hot", False),
    ("balance", "spread", False),
    ("statement", "spread", True),
    ("statement", "hot", True),
)
"""Requests of whom, and whether the small ledger is their measure: an empty one has no statements to show."""


class LargePoint(Struct, frozen=True):
    """One case; `relative` is to the ledger of `base` transfers in the same round, more is better."""

    what: str
    base: int
    unit: str
    value: Figure
    relative: Figure


class Copied(Struct, frozen=True):
    """A backup, as `farebox backup` makes it."""

    megabytes: int
    seconds: float


class Large(Struct, frozen=True):
    """All that was measured of one ledger."""

    size: Size
    file_megabytes: int
    points: list[LargePoint]
    copied: Copied
    verified: Verified


def measure(folder: Path, *, transfers: int, merchants: int, rounds: int, seconds: float) -> Large:
    """Measure a ledger of so many transfers; those that `folder` has not are made there.

    Raises:
        WrongLedger: a ledger is not what its clients were told.
    """
    sizes = (0, max(transfers // SMALL_PART, 1), transfers)
    empty, small, large = (_kept(folder, size, merchants) for size in sizes)
    try:
        points = _compare(empty, small, large, rounds=rounds, seconds=seconds)
    finally:
        for it in (empty, small, large):
            _keep(folder, it, merchants)
    verified = [uvloop.run(_verified(it)) for it in (empty, small, large)]
    file = ledgers.sqlite_path(large.url)
    megabytes = 0 if file is None else file.stat().st_size // _MEGABYTE
    return Large(large.size, megabytes, points, _copied(large.url, folder / "copy.db"), verified[-1])


def _place(folder: Path, transfers: int, merchants: int) -> Path:
    return folder / f"{SUBJECT}-{transfers}-{merchants}"


def _kept(folder: Path, transfers: int, merchants: int) -> Filled:
    place = _place(folder, transfers, merchants)
    if not place.with_suffix(".json").exists():
        place.mkdir(parents=True)
        engine = Engine(SUBJECT, lambda: f"sqlite:///{place.resolve() / 'farebox.db'}", place)
        _keep(folder, uvloop.run(fill(engine, transfers, merchants, at_once=FILL_BATCH)), merchants)
    return msgspec.json.decode(place.with_suffix(".json").read_bytes(), type=Filled)


def _keep(folder: Path, it: Filled, merchants: int) -> None:
    _place(folder, it.size.transfers, merchants).with_suffix(".json").write_bytes(msgspec.json.encode(it))


def _compare(empty: Filled, small: Filled, large: Filled, *, rounds: int, seconds: float) -> list[LargePoint]:
    values: dict[tuple[str, int, str], list[tuple[float, float]]] = {}
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(serving(apps.FAREBOX, it.url)) for it in (empty, small, large)]
        for round_number in range(rounds):
            for what, variant, is_of_small in _CASES:
                base = (small, servers[1]) if is_of_small else (empty, servers[0])
                # Neither is always the first.
                pair = (base, (large, servers[2]))[:: -1 if round_number % 2 else 1]
                rates = {
                    it.size.transfers: _rate(it, server, Case(what, variant, CONNECTIONS), seconds)
                    for it, server in pair
                }
                place = (f"{what}, {variant}", base[0].size.transfers, "a second")
                values.setdefault(place, []).append((rates[base[0].size.transfers], rates[large.size.transfers]))
    for _ in range(rounds):
        one, other = start_seconds(empty.url), start_seconds(large.url)
        values.setdefault(("start-up", 0, "s"), []).append((one, other))
    return [
        LargePoint(
            what=what,
            base=base,
            unit=unit,
            value=figure((other for _, other in pairs), digits=4),
            relative=relative(unit, pairs),
        )
        for (what, base, unit), pairs in values.items()
    ]


def _rate(it: Filled, server: Server, case: Case, seconds: float) -> float:
    subject = Subject(SUBJECT, server, it.population, None, it.acknowledged)
    sample = over_http.sample(subject, case, seconds)
    expect_no_failures(case, sample.failures)
    return sample.per_second


def _copied(url: str, copy: Path) -> Copied:
    """Back a ledger up with the command that an operator uses; the copy is not kept."""
    started = time.perf_counter()
    environment = {**os.environ, "FAREBOX_DATABASE_URL": url}
    try:
        subprocess.run([sys.executable, "-m", "farebox", "backup", str(copy.resolve())], check=True, env=environment)
        return Copied(copy.stat().st_size // _MEGABYTE, round(time.perf_counter() - started, 2))
    finally:
        copy.unlink(missing_ok=True)


async def _verified(it: Filled) -> Verified:
    async with ledgers.opened(it.url) as farebox:
        verified = await ledgers.verify(farebox)
    ledgers.compare(verified, it.acknowledged)
    return verified
