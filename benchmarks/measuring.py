"""The order of a run: ledgers are seeded, measured over HTTP and in process, and verified in the end."""

import contextlib
import os
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import uvloop
from msgspec import Struct

from benchmarks import apps, baseline, clients, costs, disk, footprint, grants, ledgers, over_http, pgbench, prices
from benchmarks.clients import ClientResult
from benchmarks.costs import Bench, Cost
from benchmarks.footprint import Memory, Started
from benchmarks.ledgers import Acknowledged, Engine, Facts
from benchmarks.over_http import BASELINE, OBSERVED, SAVINGS, Case, HttpResult, Subject, serving_ceiling
from benchmarks.pgbench import PgbenchResult
from benchmarks.report import progress
from benchmarks.results import LedgerResult, Machine, Plan, Results
from benchmarks.rounds import Figure, figure
from benchmarks.serving import running, serving
from benchmarks.shapes import ShapeResult
from benchmarks.tigerbeetle import TigerbeetleProgram, find_tigerbeetle, serving_tigerbeetle
from benchmarks.workload import Population, populate
from farebox.core.money import format_amount

_DISK_PART: Final = 0.2
_COST_PART: Final = 0.2
_MEMORY_PARTS: Final = 5
_MICROSECONDS: Final = 1e6


class Seeded(Struct):
    """A ledger with the workload's merchants, and all that clients were told about it."""

    name: str
    measured: str
    url: str
    folder: Path
    population: Population
    facts: Facts
    acknowledged: Acknowledged


def measure(
    plan: Plan, engines: Sequence[Engine], folder: Path, machine: Machine, *, pgbench_clients: Sequence[int]
) -> Results:
    """Measure the standard set on every engine; what it says of many servers is simulated afterwards."""
    peer = find_tigerbeetle()
    load_before = os.getloadavg()[0]
    synced = figure((disk.appends_per_second(folder, plan.seconds * _DISK_PART) for _ in range(plan.rounds)), digits=4)
    on_http = [uvloop.run(seed(engine, "over HTTP", plan)) for engine in engines]
    small = [
        footprint.measure_start(it.name, "small", it.url, transfers=plan.merchants, rounds=plan.rounds)
        for it in on_http
    ]
    http = _measure_http(on_http, engines, plan, peer)
    by_pgbench, note = _measure_pgbench(engines, plan, pgbench_clients)
    in_process = [uvloop.run(seed(engine, "in process", plan)) for engine in engines]
    found, replay_us = uvloop.run(_measure_costs(in_process, plan))
    memory, starts = _measure_footprint(on_http, plan)
    progress("verifying the ledgers")
    verified = [uvloop.run(verify(it)) for it in (*on_http, *in_process)]
    return Results(
        machine=machine,
        plan=plan,
        load_averages=(load_before, os.getloadavg()[0]),
        synced_appends_per_second=synced,
        http=http,
        pgbench=by_pgbench,
        pgbench_note=note,
        costs=found,
        replay_us=replay_us,
        starts=[*small, *starts],
        memory=memory,
        ledgers=verified,
        simulated=[],
        tigerbeetle="" if peer is None else peer.version,
    )


async def seed(engine: Engine, measured: str, plan: Plan) -> Seeded:
    """Make a ledger with the workload's merchants."""
    progress(f"seeding {engine.name}, to be measured {measured}")
    url = engine.create()
    async with ledgers.opened(url) as farebox:
        facts = await ledgers.facts(farebox)
        population = await populate(farebox, plan.merchants)
    return Seeded(engine.name, measured, url, engine.folder, population, facts, Acknowledged())


def _measure_http(
    seeded: Sequence[Seeded], engines: Sequence[Engine], plan: Plan, peer: TigerbeetleProgram | None
) -> list[HttpResult]:
    with contextlib.ExitStack() as stack:
        ceiling = stack.enter_context(serving_ceiling(seeded[0].url, seeded[0].population))
        subjects: list[Subject] = []
        for it in seeded:
            subjects.append(_subject(stack, it, it.name, apps.FAREBOX))
            if it.facts.pid is not None:
                subjects.append(_subject(stack, it, f"{it.name}, 2 processes", apps.FAREBOX, processes=2))
        subjects += stack.enter_context(_serving_baseline(seeded, engines))
        if peer is not None:
            subjects.append(stack.enter_context(serving_tigerbeetle(peer, seeded[0].population, seeded[0].folder)))
        progress(f"measuring {', '.join(it.name for it in subjects)} over HTTP")
        groups = list(over_http.cases(plan.connections))
        return over_http.measure(ceiling, subjects, groups, rounds=plan.rounds, seconds=plan.seconds)


def measure_savings(seeded: Sequence[Seeded], plan: Plan) -> list[HttpResult]:
    """Measure Farebox, and Farebox without one of its savings each."""
    with contextlib.ExitStack() as stack:
        ceiling = stack.enter_context(serving_ceiling(seeded[0].url, seeded[0].population))
        subjects: list[Subject] = []
        for it in seeded:
            subjects.append(_subject(stack, it, it.name, apps.FAREBOX))
            subjects += [_subject(stack, it, f"{it.name}, {name}", target) for name, target in SAVINGS.items()]
        progress(f"measuring {', '.join(it.name for it in subjects)}")
        count = plan.connections[min(1, len(plan.connections) - 1)]
        groups = [[Case("charge", "spread", count)], [Case("balance", "spread", count)]]
        return over_http.measure(ceiling, subjects, groups, rounds=plan.rounds, seconds=plan.seconds)


def measure_observed(seeded: Sequence[Seeded], plan: Plan) -> list[HttpResult]:
    """Measure Farebox, and Farebox while it is observed in each way."""
    with contextlib.ExitStack() as stack:
        ceiling = stack.enter_context(serving_ceiling(seeded[0].url, seeded[0].population))
        subjects: list[Subject] = []
        for it in seeded:
            subjects.append(_subject(stack, it, it.name, apps.FAREBOX))
            subjects += [_subject(stack, it, f"{it.name}, {name}", target) for name, target in OBSERVED.items()]
        progress(f"measuring {', '.join(it.name for it in subjects)}")
        count = plan.connections[min(1, len(plan.connections) - 1)]
        return over_http.measure(
            ceiling, subjects, [[Case("charge", "spread", count)]], rounds=plan.rounds, seconds=plan.seconds
        )


def measure_prices(seeded: Sequence[Seeded], plan: Plan) -> list[ShapeResult]:
    """Measure charges by a unit price and by rules, on each engine alone."""
    return [result for it in seeded for result in _measure_shapes(it, plan, _set_prices, prices.measure)]


def measure_grants(seeded: Sequence[Seeded], plan: Plan) -> list[ShapeResult]:
    """Measure charges to merchants with more or less given credit, on each engine alone."""
    return [result for it in seeded for result in _measure_shapes(it, plan, _give_credit, grants.measure)]


def measure_clients(seeded: Sequence[Seeded], plan: Plan, peer: TigerbeetleProgram | None) -> list[ClientResult]:
    """Measure callers of the Python client, and of the peer's, against as many connections, on each engine alone."""
    found: list[ClientResult] = []
    for it in seeded:
        with contextlib.ExitStack() as stack:
            subject = _subject(stack, it, it.name, apps.FAREBOX)
            other: Subject | None = None
            if peer is not None:
                other = stack.enter_context(serving_tigerbeetle(peer, it.population, it.folder))
            progress(f"measuring on {it.name}")
            count = plan.connections[min(1, len(plan.connections) - 1)]
            found += clients.measure(subject, other, callers=count, rounds=plan.rounds, seconds=plan.seconds)
    return found


async def _set_prices(it: Seeded) -> None:
    async with ledgers.opened(it.url) as farebox:
        await prices.set_prices(farebox)


async def _give_credit(it: Seeded) -> None:
    async with ledgers.opened(it.url) as farebox:
        await grants.give_credit(farebox, it.population)


class _Measure(Protocol):
    def __call__(self, subject: Subject, *, connections: int, rounds: int, seconds: float) -> list[ShapeResult]: ...


def _measure_shapes(
    it: Seeded, plan: Plan, prepare: Callable[[Seeded], Coroutine[Any, Any, None]], measure: _Measure
) -> list[ShapeResult]:
    uvloop.run(prepare(it))
    with contextlib.ExitStack() as stack:
        subject = _subject(stack, it, it.name, apps.FAREBOX)
        progress(f"measuring on {it.name}")
        count = plan.connections[min(1, len(plan.connections) - 1)]
        return measure(subject, connections=count, rounds=plan.rounds, seconds=plan.seconds)


def _subject(stack: contextlib.ExitStack, it: Seeded, name: str, target: str, processes: int = 1) -> Subject:
    server = stack.enter_context(serving(target, it.url, processes=processes))
    subject = Subject(name, server, it.population, it.facts.pid, it.acknowledged, over_http.FAREBOX_WHATS)
    # Two processes have nothing to share for one client.
    subject.connections_min = processes
    return subject


@contextlib.contextmanager
def _serving_baseline(seeded: Sequence[Seeded], engines: Sequence[Engine]) -> Iterator[list[Subject]]:
    """Serve the baseline if there is a PostgreSQL for it, and verify it in the end."""
    for it, engine in zip(seeded, engines, strict=True):
        if it.facts.pid is None:
            continue
        url = engine.create()
        uvloop.run(baseline.seed(url, it.population))
        with running(lambda port: ["-m", "benchmarks.serve_by_granian", baseline.TARGET, str(port)], url) as server:
            told = Acknowledged()
            yield [Subject(BASELINE, server, it.population, it.facts.pid, told, over_http.BASELINE_WHATS)]
        uvloop.run(baseline.verify(url, told))
        return
    yield []


def _measure_pgbench(engines: Sequence[Engine], plan: Plan, clients: Sequence[int]) -> tuple[list[PgbenchResult], str]:
    engine = next((it for it in engines if it.name == "postgres"), None)
    if engine is None:
        return [], "not measured, it needs PostgreSQL"
    program = pgbench.find_program()
    if program is None:
        return [], "not measured, this PostgreSQL was installed without it"
    progress("measuring the baseline's statement in pgbench")
    seeded = [uvloop.run(pgbench.seed(program, engine.create(), plan.merchants))]
    if checkout := os.environ.get(pgbench.PGLEDGER_VARIABLE):
        seeded.append(uvloop.run(pgbench.seed_pgledger(program, engine.create(), plan.merchants, Path(checkout))))
    found = pgbench.measure(seeded, clients=clients, rounds=plan.rounds, seconds=plan.seconds)
    for each in seeded:
        uvloop.run(pgbench.verify(each))
    return found, ""


async def _measure_costs(seeded: Sequence[Seeded], plan: Plan) -> tuple[list[Cost], Figure]:
    progress("measuring in process")
    async with contextlib.AsyncExitStack() as stack:
        benches = [
            Bench(
                it.name,
                await stack.enter_async_context(ledgers.opened(it.url)),
                it.population,
                it.acknowledged,
                it.facts.pid,
            )
            for it in seeded
        ]
        found = await costs.measure(benches, rounds=plan.rounds, seconds=plan.seconds * _COST_PART)
        return found, await costs.measure_replay(benches[0], rounds=plan.rounds)


def _measure_footprint(seeded: Sequence[Seeded], plan: Plan) -> tuple[list[Memory], list[Started]]:
    """Measure memory, and then start-up on the ledgers that all that load has left."""
    progress("measuring memory and start-up")
    memory = [watch_memory(it, plan, plan.seconds * _MEMORY_PARTS) for it in seeded]
    starts = [
        footprint.measure_start(
            it.name,
            "large",
            it.url,
            transfers=it.acknowledged.charges + len(it.population.members),
            rounds=plan.rounds,
        )
        for it in seeded
    ]
    return memory, starts


def watch_memory(seeded: Seeded, plan: Plan, seconds: float) -> Memory:
    """Watch a server's memory while it charges at full load."""
    return footprint.measure_memory(
        seeded.name,
        seeded.url,
        seeded.population,
        seeded.acknowledged,
        connections=max(plan.connections),
        seconds=seconds,
    )


async def verify(it: Seeded) -> LedgerResult:
    """Hold a ledger to its own rules and to what its clients were told."""
    async with ledgers.opened(it.url) as farebox:
        verified = await ledgers.verify(farebox)
    told = it.acknowledged
    ledgers.compare(verified, told)
    return LedgerResult(
        subject=it.name,
        measured=it.measured,
        engine=it.facts.engine,
        durability=it.facts.durability,
        transfers=verified.transfers,
        charges=verified.charges,
        acknowledged_charges=told.charges,
        charged=format_amount(verified.charged_micros),
        acknowledged=format_amount(told.micros),
        verify_us=round(verified.seconds * _MICROSECONDS / verified.transfers, 2),
        verify_processor_us=round(verified.processor_seconds * _MICROSECONDS / verified.transfers, 2),
    )
