"""Measures Farebox: `python -m benchmarks --help` says how. See docs/explanation/performance.md for what it means."""

import argparse
import contextlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvloop
from msgspec import Struct

from benchmarks import apps, costs, disk, ledgers, over_http, report
from benchmarks.costs import Bench, Cost
from benchmarks.ledgers import ENGINES, Acknowledged, Engine, Facts
from benchmarks.over_http import CEILING, CONNECTIONS, SAVINGS, HttpResult, Subject
from benchmarks.report import LedgerResult, Plan, Results, progress
from benchmarks.rounds import Figure, figure
from benchmarks.serving import serving
from benchmarks.workload import MERCHANTS_DEFAULT, Population, populate
from farebox.core.money import format_amount

RESULTS_FOLDER: Final = Path(__file__).parent / "results"
_DISK_PART: Final = 0.2
_COST_PART: Final = 0.2
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
    load_before = os.getloadavg()[0]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="farebox-bench-", dir=options.folder)))
        engines = [stack.enter_context(ledgers.engine(name, folder)) for name in names]
        synced = figure(
            (disk.appends_per_second(folder, plan.seconds * _DISK_PART) for _ in range(plan.rounds)), digits=4
        )
        on_http = [uvloop.run(_seed(engine, "over HTTP", plan)) for engine in engines]
        http = _measure_http(on_http, plan, with_savings=options.savings)
        in_process = [uvloop.run(_seed(engine, "in process", plan)) for engine in engines]
        found, replay_us = uvloop.run(_measure_costs(in_process, plan))
        progress("verifying the ledgers")
        results = Results(
            machine=report.machine(disk.file_system(folder)),
            plan=plan,
            load_averages=(load_before, os.getloadavg()[0]),
            synced_appends_per_second=synced,
            http=http,
            costs=found,
            replay_us=replay_us,
            ledgers=[uvloop.run(_verify(it)) for it in (*on_http, *in_process)],
        )
    print(report.text(results))
    if options.results is not None:
        path = report.write(results, options.results, options.engine)
        progress(f"written to {os.path.relpath(path)}")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure Farebox on this machine.")
    parser.add_argument("--engine", choices=("all", *ENGINES), default="all", help="what to measure on")
    parser.add_argument("--quick", action="store_true", help="one round of 2 s, kept only if --results is given")
    parser.add_argument("--rounds", type=int, default=None, help="alternating rounds (3)")
    parser.add_argument("--seconds", type=float, default=None, help="how long each case is measured in a round (5)")
    parser.add_argument("--merchants", type=int, default=MERCHANTS_DEFAULT, help="how many merchants (%(default)s)")
    parser.add_argument(
        "--connections", type=int, nargs="+", default=CONNECTIONS, help="clients at once (64 256); reads use the first"
    )
    parser.add_argument("--savings", action="store_true", help="also measure Farebox without one of its savings each")
    parser.add_argument("--folder", type=Path, default=None, help="put SQLite's files below this folder, on its disk")
    parser.add_argument("--results", type=Path, default=None, help="where to keep the JSON (benchmarks/results)")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.seconds = options.seconds or (2.0 if options.quick else 5.0)
    if options.results is None and not options.quick:
        options.results = RESULTS_FOLDER
    return options


async def _seed(engine: Engine, measured: str, plan: Plan) -> _Seeded:
    progress(f"seeding {engine.name}, to be measured {measured}")
    url = engine.create()
    async with ledgers.opened(url) as farebox:
        facts = await ledgers.facts(farebox)
        population = await populate(farebox, plan.merchants)
    return _Seeded(engine.name, measured, url, population, facts, Acknowledged())


def _measure_http(seeded: Sequence[_Seeded], plan: Plan, *, with_savings: bool) -> list[HttpResult]:
    with contextlib.ExitStack() as stack:
        first = seeded[0]
        server = stack.enter_context(serving(apps.CEILING, first.url))
        ceiling = Subject(CEILING, server, first.population)
        subjects: list[Subject] = []
        for it in seeded:
            targets = {it.name: apps.FAREBOX}
            if with_savings:
                targets |= {f"{it.name}, {name}": target for name, target in SAVINGS.items()}
            for name, target in targets.items():
                server = stack.enter_context(serving(target, it.url))
                subjects.append(Subject(name, server, it.population, it.facts.pid, it.acknowledged))
        progress(f"measuring {', '.join(it.name for it in subjects)} over HTTP")
        groups = list(over_http.cases(plan.connections))
        return over_http.measure(ceiling, subjects, groups, rounds=plan.rounds, seconds=plan.seconds)


async def _measure_costs(seeded: Sequence[_Seeded], plan: Plan) -> tuple[list[Cost], Figure]:
    progress("measuring in process")
    async with contextlib.AsyncExitStack() as stack:
        benches = [
            Bench(it.name, await stack.enter_async_context(ledgers.opened(it.url)), it.population, it.acknowledged)
            for it in seeded
        ]
        found = await costs.measure(benches, rounds=plan.rounds, seconds=plan.seconds * _COST_PART)
        return found, await costs.measure_replay(benches[0], rounds=plan.rounds)


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
        verify_us=round(verified.seconds * _MICROSECONDS / verified.transfers, 1),
    )


if __name__ == "__main__":
    main()
