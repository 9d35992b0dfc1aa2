"""Measures Farebox: `python -m benchmarks --help` says how. See docs/explanation/performance.md for what it means."""

import argparse
import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import uvloop
from msgspec import Struct

from benchmarks import (
    apps,
    baseline,
    costs,
    disk,
    document,
    footprint,
    growth,
    ledgers,
    over_http,
    pgbench,
    plots,
    report,
    results,
    simulation,
)
from benchmarks.costs import Bench, Cost
from benchmarks.footprint import Memory, Started
from benchmarks.growth import GrowthResults
from benchmarks.ledgers import ENGINES, Acknowledged, Engine, Facts
from benchmarks.over_http import BASELINE, CEILING, CONNECTIONS, SAVINGS, Case, HttpResult, Subject
from benchmarks.pgbench import PgbenchResult
from benchmarks.report import progress
from benchmarks.results import LedgerResult, Machine, MemoryResults, Plan, Results, SavingsResults
from benchmarks.rounds import Figure, figure
from benchmarks.serving import serving
from benchmarks.simulation import Assumptions
from benchmarks.workload import MERCHANTS_DEFAULT, Population, populate
from farebox.core.money import format_amount

RESULTS_FOLDER: Final = Path(__file__).parent / "results"
GROWTH_TRANSFERS: Final = 1_000_000
MERCHANTS_QUICK: Final = 1_000
_DISK_PART: Final = 0.2
_COST_PART: Final = 0.2
_MEMORY_PARTS: Final = 5
_MICROSECONDS: Final = 1e6


class _Seeded(Struct):
    """A ledger with the workload's merchants, and all that clients were told about it."""

    name: str
    measured: str
    url: str
    population: Population
    facts: Facts
    acknowledged: Acknowledged


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmarks that the command line asks for."""
    options = _options(arguments)
    plan = Plan(options.merchants, options.rounds, options.seconds, tuple(options.connections))
    names = ENGINES if options.engine == "all" else (options.engine,)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="farebox-bench-", dir=options.folder)))
        engines = [stack.enter_context(ledgers.engine(name, folder)) for name in names]
        machine = results.machine(disk.file_system(folder))
        if options.growth:
            _run_growth(options, plan, engines, machine)
        elif options.savings:
            _run_savings(options, plan, engines, machine)
        elif options.memory:
            _run_memory(options, plan, engines, machine)
        else:
            _run_standard(options, plan, engines, folder, machine)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure Farebox on this machine.")
    parser.add_argument("--engine", choices=("all", *ENGINES), default="all", help="what to measure on")
    parser.add_argument("--quick", action="store_true", help="one short round, kept only if --results is given")
    parser.add_argument("--rounds", type=int, default=None, help="alternating rounds (5)")
    parser.add_argument("--seconds", type=float, default=None, help="how long each case is measured in a round (2.5)")
    parser.add_argument("--merchants", type=int, default=None, help=f"how many merchants ({MERCHANTS_DEFAULT})")
    parser.add_argument(
        "--connections", type=int, nargs="+", default=CONNECTIONS, help="clients at once (1 64 256); reads use the 2nd"
    )
    parser.add_argument(
        "--savings", action="store_true", help="measure Farebox without one of its savings each instead"
    )
    parser.add_argument(
        "--memory", type=float, default=0.0, metavar="SECONDS", help="watch memory under charges for so long instead"
    )
    parser.add_argument("--growth", action="store_true", help="measure ledgers of growing size instead")
    parser.add_argument(
        "--transfers", type=int, default=GROWTH_TRANSFERS, help="the largest ledger of --growth (%(default)s)"
    )
    parser.add_argument("--no-scaling", action="store_true", help="leave --growth at sizes")
    parser.add_argument("--folder", type=Path, default=None, help="put SQLite's files below this folder, on its disk")
    parser.add_argument("--results", type=Path, default=None, help="where to keep the JSON (benchmarks/results)")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.seconds = options.seconds or (0.3 if options.quick else 2.5)
    options.merchants = options.merchants or (MERCHANTS_QUICK if options.quick else MERCHANTS_DEFAULT)
    # Only what was measured in full, on both engines, and kept where it belongs, is what the document tells.
    options.is_for_document = options.results is None and not options.quick and options.engine == "all"
    if options.results is None and not options.quick:
        options.results = RESULTS_FOLDER
    return options


def _run_standard(
    options: argparse.Namespace, plan: Plan, engines: Sequence[Engine], folder: Path, machine: Machine
) -> None:
    found = _measure(plan, engines, folder, machine)
    print(report.text(found, _growth_of(machine)))
    name = f"{options.engine}-{machine.short_id}"
    _keep(options, found, name, "figures", report.parts(found, _growth_of(machine)), plots.draw(found))


def _run_savings(options: argparse.Namespace, plan: Plan, engines: Sequence[Engine], machine: Machine) -> None:
    seeded = [uvloop.run(_seed(engine, "over HTTP", plan)) for engine in engines]
    found = SavingsResults(machine, plan, _measure_savings(seeded, plan))
    for it in seeded:
        uvloop.run(_verify(it))
    print(report.savings_text(found))
    _keep(options, found, f"savings-{machine.short_id}", "savings", report.savings_parts(found), iter(()))


def _run_memory(options: argparse.Namespace, plan: Plan, engines: Sequence[Engine], machine: Machine) -> None:
    seeded = [uvloop.run(_seed(engine, "over HTTP", plan)) for engine in engines]
    progress(f"charging each for {options.memory:g} s")
    memory = [_watch_memory(it, plan, options.memory) for it in seeded]
    for it in seeded:
        uvloop.run(_verify(it))
    found = MemoryResults(machine, plan, memory, [it.acknowledged.charges for it in seeded])
    print(report.memory_text(found))
    name = f"memory-{machine.short_id}"
    _keep(options, found, name, "memory", report.memory_parts(found), plots.draw_memory(memory))


def _run_growth(options: argparse.Namespace, plan: Plan, engines: Sequence[Engine], machine: Machine) -> None:
    found = GrowthResults([], [], [])
    for engine in engines:
        progress(f"growing {engine.name} to {options.transfers:,} transfers")
        sizes, points = growth.measure(
            engine,
            transfers=options.transfers,
            merchants=plan.merchants,
            rounds=plan.rounds,
            seconds=plan.seconds,
        )
        found.sizes.extend(sizes)
        found.points.extend(points)
        if not options.no_scaling:
            progress(f"scaling {engine.name}")
            found.scaling.extend(
                growth.measure_scaling(engine, merchants=plan.merchants, rounds=plan.rounds, seconds=plan.seconds)
            )
    print(report.growth_text(machine, found))
    name = _growth_name(machine)
    _keep(options, found, name, "growth", report.growth_parts(machine, found), plots.draw_growth(found))
    standard = RESULTS_FOLDER / f"all-{machine.short_id}.json"
    if options.is_for_document and standard.exists():
        # Its table of targets asks for growth.
        kept = msgspec.json.decode(standard.read_bytes(), type=Results)
        pictures = plots.write(plots.draw(kept), RESULTS_FOLDER, standard.stem)
        document.rewrite("figures", document.block(report.parts(kept, found), pictures))


def _keep(
    options: argparse.Namespace,
    found: Struct,
    name: str,
    block: str,
    tables: Iterable[Iterable[str]],
    drawn: Iterator[tuple[str, str]],
) -> None:
    """Keep results and their pictures where they are wanted, and put them into the document if they belong there."""
    if options.results is None:
        return
    path = results.write(found, options.results, name)
    pictures = plots.write(drawn, options.results, name)
    progress(f"written to {os.path.relpath(path)}")
    if options.is_for_document:
        document.rewrite(block, document.block(tables, pictures))


def _growth_name(machine: Machine) -> str:
    return f"growth-{machine.short_id}"


def _growth_of(machine: Machine) -> GrowthResults | None:
    """Read what an earlier run of growth on this kind of machine has left."""
    path = RESULTS_FOLDER / f"{_growth_name(machine)}.json"
    return msgspec.json.decode(path.read_bytes(), type=GrowthResults) if path.exists() else None


def _measure(plan: Plan, engines: Sequence[Engine], folder: Path, machine: Machine) -> Results:
    load_before = os.getloadavg()[0]
    synced = figure((disk.appends_per_second(folder, plan.seconds * _DISK_PART) for _ in range(plan.rounds)), digits=4)
    on_http = [uvloop.run(_seed(engine, "over HTTP", plan)) for engine in engines]
    small = [
        footprint.measure_start(it.name, "small", it.url, transfers=plan.merchants, rounds=plan.rounds)
        for it in on_http
    ]
    http = _measure_http(on_http, engines, plan)
    by_pgbench, note = _measure_pgbench(engines, plan)
    in_process = [uvloop.run(_seed(engine, "in process", plan)) for engine in engines]
    found, replay_us = uvloop.run(_measure_costs(in_process, plan))
    memory, starts = _measure_footprint(on_http, plan)
    progress("verifying the ledgers")
    verified = [uvloop.run(_verify(it)) for it in (*on_http, *in_process)]
    progress("simulating many servers")
    shares = simulation.costs_of(found, http, synced)
    assumptions = Assumptions(merchants=plan.merchants)
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
        simulated=[] if shares is None else simulation.simulate_all(shares, assumptions),
    )


async def _seed(engine: Engine, measured: str, plan: Plan) -> _Seeded:
    progress(f"seeding {engine.name}, to be measured {measured}")
    url = engine.create()
    async with ledgers.opened(url) as farebox:
        facts = await ledgers.facts(farebox)
        population = await populate(farebox, plan.merchants)
    return _Seeded(engine.name, measured, url, population, facts, Acknowledged())


def _measure_http(seeded: Sequence[_Seeded], engines: Sequence[Engine], plan: Plan) -> list[HttpResult]:
    with contextlib.ExitStack() as stack:
        ceiling = _ceiling(stack, seeded[0])
        subjects: list[Subject] = []
        for it in seeded:
            subjects.append(_subject(stack, it, it.name, apps.FAREBOX))
            if it.facts.pid is not None:
                subjects.append(_subject(stack, it, f"{it.name}, 2 processes", apps.FAREBOX, processes=2))
        subjects += stack.enter_context(_serving_baseline(seeded, engines))
        progress(f"measuring {', '.join(it.name for it in subjects)} over HTTP")
        groups = list(over_http.cases(plan.connections))
        return over_http.measure(ceiling, subjects, groups, rounds=plan.rounds, seconds=plan.seconds)


def _measure_savings(seeded: Sequence[_Seeded], plan: Plan) -> list[HttpResult]:
    with contextlib.ExitStack() as stack:
        ceiling = _ceiling(stack, seeded[0])
        subjects: list[Subject] = []
        for it in seeded:
            subjects.append(_subject(stack, it, it.name, apps.FAREBOX))
            subjects += [_subject(stack, it, f"{it.name}, {name}", target) for name, target in SAVINGS.items()]
        progress(f"measuring {', '.join(it.name for it in subjects)}")
        count = plan.connections[min(1, len(plan.connections) - 1)]
        groups = [[Case("charge", "spread", count)], [Case("balance", "spread", count)]]
        return over_http.measure(ceiling, subjects, groups, rounds=plan.rounds, seconds=plan.seconds)


def _ceiling(stack: contextlib.ExitStack, it: _Seeded) -> Subject:
    server = stack.enter_context(serving(apps.CEILING, it.url))
    return Subject(CEILING, server, it.population, whats=frozenset({"balance", "charge"}))


def _subject(stack: contextlib.ExitStack, it: _Seeded, name: str, target: str, processes: int = 1) -> Subject:
    server = stack.enter_context(serving(target, it.url, processes=processes))
    subject = Subject(name, server, it.population, it.facts.pid, it.acknowledged, over_http.FAREBOX_WHATS)
    # Two processes have nothing to share for one client.
    subject.connections_min = processes
    return subject


@contextlib.contextmanager
def _serving_baseline(seeded: Sequence[_Seeded], engines: Sequence[Engine]) -> Iterator[list[Subject]]:
    """Serve the baseline if there is a PostgreSQL for it, and verify it in the end."""
    for it, engine in zip(seeded, engines, strict=True):
        if it.facts.pid is None:
            continue
        url = engine.create()
        uvloop.run(baseline.seed(url, it.population))
        with serving(baseline.TARGET, url) as server:
            told = Acknowledged()
            yield [Subject(BASELINE, server, it.population, it.facts.pid, told, over_http.BASELINE_WHATS)]
        uvloop.run(baseline.verify(url, told))
        return
    yield []


def _measure_pgbench(engines: Sequence[Engine], plan: Plan) -> tuple[list[PgbenchResult], str]:
    engine = next((it for it in engines if it.name == "postgres"), None)
    if engine is None:
        return [], "not measured, it needs PostgreSQL"
    program = pgbench.find_program()
    if program is None:
        return [], "not measured, this PostgreSQL was installed without it"
    progress("measuring the baseline's statement in pgbench")
    seeded = uvloop.run(pgbench.seed(program, engine.create(), plan.merchants))
    found = pgbench.measure(seeded, rounds=plan.rounds, seconds=plan.seconds)
    uvloop.run(pgbench.verify(seeded))
    return found, ""


async def _measure_costs(seeded: Sequence[_Seeded], plan: Plan) -> tuple[list[Cost], Figure]:
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


def _measure_footprint(seeded: Sequence[_Seeded], plan: Plan) -> tuple[list[Memory], list[Started]]:
    """Measure memory, and then start-up on the ledgers that all that load has left."""
    progress("measuring memory and start-up")
    memory = [_watch_memory(it, plan, plan.seconds * _MEMORY_PARTS) for it in seeded]
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


def _watch_memory(it: _Seeded, plan: Plan, seconds: float) -> Memory:
    connections = max(plan.connections)
    return footprint.measure_memory(
        it.name, it.url, it.population, it.acknowledged, connections=connections, seconds=seconds
    )


async def _verify(it: _Seeded) -> LedgerResult:
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


if __name__ == "__main__":
    main()
