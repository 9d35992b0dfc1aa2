"""How Farebox does as its ledger grows, and what a charge costs against merchants, connections, batches, processes.

A ledger of each size is made with a past of months. Each is then measured beside a ledger that is empty, in alternating
rounds, and told relative to it.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Final, Literal

import uvloop
from msgspec import Struct

from benchmarks import apps, costs, footprint, ledgers, over_http
from benchmarks.costs import Bench, Cost
from benchmarks.filling import Filled, Size, fill, verify
from benchmarks.ledgers import Engine, WrongLedger
from benchmarks.over_http import Case, Sample, Subject, What
from benchmarks.rounds import Figure, figure
from benchmarks.serving import Server, running, serving

CONNECTIONS: Final = 64
WHATS: Final[tuple[tuple[What, Literal["spread", "hot"]], ...]] = (
    ("charge", "spread"),
    ("charge", "hot"),
    ("balance", "spread"),
    ("statement", "spread"),
    ("usage", "spread"),
)

BATCHES: Final = (1, 10, 100, 1_000)

_COST_PART: Final = 0.2

Along = Literal["merchants", "connections", "processes", "batch"]


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


class ScalingPlan(Struct, frozen=True):
    """Against how many merchants, connections and processes charges are measured."""

    merchants: tuple[int, ...]
    connections: tuple[int, ...]
    processes: tuple[int, ...]


SCALING: Final = ScalingPlan((100, 10_000, 100_000), (1, 8, 64, 256, 512), (1, 2, 4))
SCALING_QUICK: Final = ScalingPlan((3,), (2, 4), (1,))


class GrowthResults(Struct, frozen=True):
    """A whole run."""

    sizes: list[Size]
    points: list[GrowthPoint]
    scaling: list[Scaling]


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
        uvloop.run(verify(it))
    return [it.size for it in grown[1:]], points


def measure_scaling(engine: Engine, plan: ScalingPlan, *, merchants: int, rounds: int, seconds: float) -> list[Scaling]:
    """Measure charges, spread, against one quantity at a time."""
    base = uvloop.run(fill(engine, 0, merchants))
    filled = {count: base if count == merchants else uvloop.run(fill(engine, 0, count)) for count in plan.merchants}
    tried = [
        *(_Tried("merchants", count, filled[count], connections=CONNECTIONS) for count in plan.merchants),
        *(_Tried("connections", count, base, connections=count) for count in plan.connections),
        *(
            _Tried("processes", count, base, connections=plan.connections[-2], processes=count)
            for count in plan.processes
        ),
    ]
    found = _measure_tried(engine.name, tried, rounds=rounds, seconds=seconds)
    found += uvloop.run(_measure_batches(engine.name, base, rounds=rounds, seconds=seconds))
    for it in filled.values():
        uvloop.run(verify(it))
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
                expect_no_failures(case, one.failures, other.failures)
                name = f"{what}, {variant}" if what == "charge" else what
                values.setdefault((name, "a second"), []).append((one.per_second, other.per_second))
    for _ in range(rounds):
        one_start, other_start = (start_seconds(it.url) for it in (empty, filled))
        values.setdefault(("start-up", "s"), []).append((one_start, other_start))
    return [
        GrowthPoint(
            subject=subject,
            transfers=size,
            what=what,
            unit=unit,
            value=figure((other for _, other in pairs), digits=4),
            relative=relative(unit, pairs),
        )
        for (what, unit), pairs in values.items()
    ]


def relative(unit: str, pairs: Sequence[tuple[float, float]]) -> Figure:
    """Tell how good the second of each pair is beside the first; more is better, but of seconds (`s`) less is."""
    return figure((one / other if unit == "s" else other / one) if one and other else 0.0 for one, other in pairs)


def expect_no_failures(case: Case, *failures: dict[str, int]) -> None:
    """Hold answers to having been what was asked for.

    Raises:
        WrongLedger: some failed, with a history that no charge can be refused on.
    """
    if any(failures):
        raise WrongLedger(f"{case.what}, {case.variant}: {failures}")


def start_seconds(url: str) -> float:
    """Start `farebox serve` on a ledger, and tell how long it took to its first answer."""
    with running(footprint.serve_arguments, url) as server:
        return server.start_seconds


def per_subject(points: Sequence[GrowthPoint]) -> Iterator[tuple[tuple[str, str], list[GrowthPoint]]]:
    """Group points by subject and case, in the order of size."""
    groups: dict[tuple[str, str], list[GrowthPoint]] = {}
    for point in points:
        groups.setdefault((point.subject, point.what), []).append(point)
    yield from groups.items()
