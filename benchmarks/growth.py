"""How Farebox does as its ledger grows, and what a charge costs against merchants, connections, batches, processes.

A ledger of each size is filled through the store, its history spread over months, its usage summed up, as it would
have been. Each is then measured beside a ledger that is empty, in alternating rounds, and told relative to it.
"""

import contextlib
import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Final, Literal

import asyncpg
import uvloop
from msgspec import Struct, field

from benchmarks import apps, costs, footprint, ledgers, over_http
from benchmarks.costs import Bench, Cost
from benchmarks.ledgers import Acknowledged, Engine, Facts, WrongLedger
from benchmarks.over_http import Case, Sample, Subject, What
from benchmarks.rounds import Figure, figure
from benchmarks.serving import Server, running, serving
from benchmarks.workload import Population, charges, populate
from farebox.bootstrap import Farebox
from farebox.core import state
from farebox.core.decide import decide
from farebox.service.insight.usage import SUM_TRANSFERS_MAX, SUM_TRANSFERS_MIN

HISTORY_DAYS: Final = 90
FILL_BATCH: Final = 1_000
CONNECTIONS: Final = 64
WHATS: Final[tuple[tuple[What, Literal["spread", "hot"]], ...]] = (
    ("charge", "spread"),
    ("charge", "hot"),
    ("balance", "spread"),
    ("statement", "spread"),
    ("usage", "spread"),
)

MERCHANTS: Final = (100, 10_000, 100_000)
CONNECTIONS_TRIED: Final = (1, 8, 64, 256, 512)
PROCESSES: Final = (1, 2, 4)
BATCHES: Final = (1, 10, 100, 1_000)

_DAY_MICROS: Final = 86_400_000_000
_BOOKS_PAGE: Final = 500
_COST_PART: Final = 0.2

Along = Literal["merchants", "connections", "processes", "batch"]


class Size(Struct, frozen=True):
    """A ledger as it was filled: how many transfers, and what that took on the disk and of time, per transfer."""

    subject: str
    transfers: int
    bytes_each: float
    fill_us: float


class GrowthPoint(Struct, frozen=True):
    """One case on a ledger of one size; `relative` is to the empty ledger in the same round, more is better."""

    subject: str
    transfers: int
    what: str
    unit: str
    value: Figure
    relative: Figure


class Scaling(Struct, frozen=True):
    """Charges a second against one quantity, the others as in the standard run."""

    subject: str
    along: Along
    at: int
    per_second: Figure
    server_us: Figure
    database_us: Figure


class GrowthResults(Struct, frozen=True):
    """A whole run."""

    sizes: list[Size]
    points: list[GrowthPoint]
    scaling: list[Scaling]


class Filled(Struct):
    """A ledger, empty or filled, and all that its clients were told."""

    url: str
    population: Population
    facts: Facts
    size: Size
    acknowledged: Acknowledged = field(default_factory=Acknowledged)


class _Tried(Struct, frozen=True):
    along: Along
    at: int
    ledger: Filled
    connections: int
    processes: int = 1


def sizes_up_to(transfers: int) -> tuple[int, ...]:
    """Name the sizes to measure: this one, a tenth and a hundredth of it."""
    return tuple(dict.fromkeys(max(transfers // part, 1) for part in (100, 10, 1)))


def measure(
    engine: Engine, *, transfers: int, merchants: int, rounds: int, seconds: float
) -> tuple[list[Size], list[GrowthPoint]]:
    """Measure ledgers of every size up to `transfers` beside an empty one, and verify all in the end.

    Raises:
        WrongLedger: a ledger is not what its clients were told.
    """
    empty = uvloop.run(fill(engine, 0, merchants))
    points: list[GrowthPoint] = []
    grown = [empty]
    for size in sizes_up_to(transfers):
        filled = uvloop.run(fill(engine, size, merchants))
        points += _compare(engine.name, empty, filled, size, rounds=rounds, seconds=seconds)
        grown.append(filled)
    for it in grown:
        uvloop.run(_verify(it))
    return [it.size for it in grown[1:]], points


async def fill(engine: Engine, transfers: int, merchants: int) -> Filled:
    """Make a ledger with so many charges beside its merchants' top-ups, spread evenly over HISTORY_DAYS up to now."""
    url = engine.create()
    now = time.time_ns() // 1_000
    start = now - HISTORY_DAYS * _DAY_MICROS
    told = Acknowledged()
    async with ledgers.opened(url, clock=ledgers.StoppedClock(start)) as farebox:
        facts = await ledgers.facts(farebox)
        population = await populate(farebox, merchants)
        source = charges(population, "spread")
        started = time.perf_counter()
        for done in range(0, transfers, FILL_BATCH):
            commands = list(itertools.islice(source, min(FILL_BATCH, transfers - done)))
            at = start + (now - start) * done // transfers
            decision = await farebox.store.transact(
                state.reads(commands, at),
                lambda met, commands=commands, at=at: decide(met, commands, at),  # type: ignore[misc]
            )
            costs.acknowledge(told, decision)
        fill_us = (time.perf_counter() - started) * 1e6 / max(transfers, 1)
        await _sum_up(farebox)
    size = Size(engine.name, transfers, round(await _bytes(url) / max(transfers, 1), 1), round(fill_us, 1))
    return Filled(url, population, facts, size, told)


def measure_scaling(engine: Engine, *, merchants: int, rounds: int, seconds: float) -> list[Scaling]:
    """Measure charges, spread, against one quantity at a time."""
    base = uvloop.run(fill(engine, 0, merchants))
    filled = {count: base if count == merchants else uvloop.run(fill(engine, 0, count)) for count in MERCHANTS}
    tried = [
        *(_Tried("merchants", count, filled[count], connections=CONNECTIONS) for count in MERCHANTS),
        *(_Tried("connections", count, base, connections=count) for count in CONNECTIONS_TRIED),
        *(_Tried("processes", count, base, connections=CONNECTIONS_TRIED[-2], processes=count) for count in PROCESSES),
    ]
    found = _measure_tried(engine.name, tried, rounds=rounds, seconds=seconds)
    found += uvloop.run(_measure_batches(engine.name, base, rounds=rounds, seconds=seconds))
    for it in filled.values():
        uvloop.run(_verify(it))
    return found


def _measure_tried(subject: str, tried: Sequence[_Tried], *, rounds: int, seconds: float) -> list[Scaling]:
    samples: list[list[Sample]] = [[] for _ in tried]
    cases = [Case("charge", "spread", it.connections) for it in tried]
    with contextlib.ExitStack() as stack:
        servers: dict[tuple[str, int], Server] = {}
        for it in tried:
            place = (it.ledger.url, it.processes)
            if place not in servers:
                servers[place] = stack.enter_context(serving(apps.FAREBOX, it.ledger.url, processes=it.processes))
        for _ in range(rounds):
            for it, case, found in zip(tried, cases, samples, strict=True):
                server, ledger = servers[it.ledger.url, it.processes], it.ledger
                measured = Subject(subject, server, ledger.population, ledger.facts.pid, ledger.acknowledged)
                found.append(over_http.sample(measured, case, seconds))
    results = [over_http.result(subject, case, found) for case, found in zip(cases, samples, strict=True)]
    return [
        Scaling(subject, it.along, it.at, result.per_second, result.server_us, result.database_us)
        for it, result in zip(tried, results, strict=True)
    ]


async def _measure_batches(subject: str, ledger: Filled, *, rounds: int, seconds: float) -> list[Scaling]:
    async with ledgers.opened(ledger.url) as farebox:
        bench = Bench(subject, farebox, ledger.population, ledger.acknowledged, ledger.facts.pid)
        found = await costs.measure([bench], rounds=rounds, seconds=seconds * _COST_PART, batches=BATCHES)
    return [
        Scaling(subject, "batch", it.batch, _per_second(it), it.processor_us, it.database_us)
        for it in found
        if it.variant == "spread"
    ]


def _per_second(it: Cost) -> Figure:
    cost = it.transact_us
    return figure((1e6 / cost.median, 1e6 / cost.highest, 1e6 / cost.lowest))


def _compare(
    subject: str, empty: Filled, filled: Filled, size: int, *, rounds: int, seconds: float
) -> list[GrowthPoint]:
    values: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with contextlib.ExitStack() as stack:
        pair = [
            Subject(subject, stack.enter_context(serving(apps.FAREBOX, it.url)), it.population, None, it.acknowledged)
            for it in (empty, filled)
        ]
        for _ in range(rounds):
            for what, variant in WHATS:
                case = Case(what, variant, CONNECTIONS)
                one, other = (over_http.sample(it, case, seconds) for it in pair)
                _expect_no_failures(case, one.failures, other.failures)
                name = f"{what}, {variant}" if what == "charge" else what
                values.setdefault((name, "a second"), []).append((one.per_second, other.per_second))
    for _ in range(rounds):
        one_start, other_start = (_start_seconds(it.url) for it in (empty, filled))
        values.setdefault(("start-up", "s"), []).append((one_start, other_start))
    return [
        GrowthPoint(
            subject=subject,
            transfers=size,
            what=what,
            unit=unit,
            value=figure((other for _, other in pairs), digits=4),
            relative=figure(
                (one / other if unit == "s" else other / one) if one and other else 0.0 for one, other in pairs
            ),
        )
        for (what, unit), pairs in values.items()
    ]


def _expect_no_failures(case: Case, *failures: dict[str, int]) -> None:
    if any(failures):
        raise WrongLedger(f"{case.what}, {case.variant}: {failures}")


def _start_seconds(url: str) -> float:
    with running(footprint.serve_arguments, url) as server:
        return server.start_seconds


async def _sum_up(farebox: Farebox) -> None:
    """Sum all usage up, as servers would have done by now."""
    after = 0
    while found := await farebox.store.books_to_roll_up(after, transfers_min=SUM_TRANSFERS_MIN, limit=_BOOKS_PAGE):
        for merchant_id in found:
            while await farebox.store.roll_up_usage(merchant_id, transfers_max=SUM_TRANSFERS_MAX) == SUM_TRANSFERS_MAX:
                pass
        after = found[-1]


async def _bytes(url: str) -> int:
    """Tell how large a database is, a PostgreSQL's once it is vacuumed, as it would have been by now."""
    path = ledgers.sqlite_path(url)
    if path is not None:
        return path.stat().st_size
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("VACUUM ANALYZE")
        return int(await connection.fetchval("SELECT pg_database_size(current_database())"))
    finally:
        await connection.close()


async def _verify(it: Filled) -> None:
    async with ledgers.opened(it.url) as farebox:
        ledgers.compare(await ledgers.verify(farebox), it.acknowledged)


def per_subject(points: Sequence[GrowthPoint]) -> Iterator[tuple[tuple[str, str], list[GrowthPoint]]]:
    """Group points by subject and case, in the order of size."""
    groups: dict[tuple[str, str], list[GrowthPoint]] = {}
    for point in points:
        groups.setdefault((point.subject, point.what), []).append(point)
    yield from groups.items()
