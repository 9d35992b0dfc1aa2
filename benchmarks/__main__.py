"""Measures Farebox: `python -m benchmarks --help` says how. See docs/explanation/performance.md for what it means."""

import argparse
import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import uvloop
from msgspec import Struct

from benchmarks import (
    against,
    disk,
    document,
    gateways,
    growth,
    large,
    ledgers,
    measuring,
    pgbench,
    plots,
    report,
    results,
)
from benchmarks.growth import GrowthResults
from benchmarks.ledgers import ENGINES, Engine
from benchmarks.measuring import Seeded
from benchmarks.over_http import CONNECTIONS
from benchmarks.report import progress
from benchmarks.results import (
    AgainstResults,
    ClientResults,
    GatewaysResults,
    GrantsResults,
    LargeResults,
    Machine,
    MemoryResults,
    ObserveResults,
    Plan,
    PricesResults,
    Results,
    SavingsResults,
)
from benchmarks.simulation.costs import costs_of
from benchmarks.simulation.events import simulate_all
from benchmarks.simulation.model import Assumptions
from benchmarks.tigerbeetle import find_tigerbeetle
from benchmarks.workload import MERCHANTS_DEFAULT

RESULTS_FOLDER: Final = Path(__file__).parent / "results"
SUMMARY_PICTURES: Final = ("charges", "batches")
GROWTH_TRANSFERS: Final = 1_000_000
LARGE_TRANSFERS: Final = 100_000_000
MERCHANTS_QUICK: Final = 1_000

_Results = TypeVar("_Results", bound=Struct)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmarks that the command line asks for."""
    options = _options(arguments)
    plan = Plan(options.merchants, options.rounds, options.seconds, tuple(options.connections))
    if options.rewrite:
        for path in RESULTS_FOLDER.glob("all-*.json"):
            _rewrite(path.stem)
        return
    if options.gateways:
        _run_gateways(options, plan)
        return
    if options.large:
        _run_large(options, plan)
        return
    names = ENGINES if options.engine == "all" else (options.engine,)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="farebox-bench-", dir=options.folder)))
        engines = [stack.enter_context(ledgers.engine(name, folder)) for name in names]
        machine = results.machine(disk.file_system(folder))
        if options.growth:
            _run_growth(options, plan, engines, machine)
        elif asked := [comparison for comparison in _COMPARISONS if getattr(options, comparison.name)]:
            _run_comparison(asked[0], options, plan, engines, machine)
        elif options.client:
            _run_client(options, plan, engines, machine)
        elif options.against:
            _run_against(options, plan, engines, machine)
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
    parser.add_argument("--observe", action="store_true", help="measure what metrics cost charges instead")
    parser.add_argument("--prices", action="store_true", help="measure charges by prices of several kinds instead")
    parser.add_argument(
        "--grants", action="store_true", help="measure charges to merchants with more or less given credit instead"
    )
    parser.add_argument(
        "--client", action="store_true", help="measure callers of the Python client against connections instead"
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="PATH",
        help="install another checkout of Farebox, and alternate between it and this one instead",
    )
    parser.add_argument("--gateways", action="store_true", help="measure what the gate adds behind each proxy instead")
    parser.add_argument(
        "--memory", type=float, default=0.0, metavar="SECONDS", help="watch memory under charges for so long instead"
    )
    parser.add_argument("--growth", action="store_true", help="measure ledgers of growing size instead")
    parser.add_argument(
        "--transfers", type=int, default=None, help=f"the largest ledger of --growth ({GROWTH_TRANSFERS})"
    )
    parser.add_argument(
        "--large",
        type=Path,
        metavar="FOLDER",
        help=f"measure a ledger of {LARGE_TRANSFERS:,} transfers, or --transfers, on SQLite instead; FOLDER keeps it",
    )
    parser.add_argument("--no-scaling", action="store_true", help="leave --growth at sizes")
    parser.add_argument(
        "--rewrite", action="store_true", help="measure nothing: write the pages again from the results that are kept"
    )
    parser.add_argument("--folder", type=Path, default=None, help="put SQLite's files below this folder, on its disk")
    parser.add_argument("--results", type=Path, default=None, help="where to keep the JSON (benchmarks/results)")
    options = parser.parse_args(arguments)
    options.transfers = options.transfers or (LARGE_TRANSFERS if options.large else GROWTH_TRANSFERS)
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
    clients = pgbench.CLIENTS_QUICK if options.quick else pgbench.CLIENTS
    found = _with_simulation(measuring.measure(plan, engines, folder, machine, pgbench_clients=clients))
    name = f"{options.engine}-{machine.short_id}"
    growth = _growth_of(machine)
    _tell(options, found, name, "figures", report.parts(found, growth), plots.draw(found))
    if options.is_for_document:
        _sum_up(found, growth, name)


def _sum_up(found: Results, growth: GrowthResults | None, name: str) -> None:
    """Put what matters of a standard run onto the page that people read first."""
    shown = [RESULTS_FOLDER / f"{name}-{picture}.svg" for picture in SUMMARY_PICTURES]
    document.put(document.SUMMARY, report.summary_parts(found, growth), shown)


class _Comparison(Struct, frozen=True):
    """Charges on the same servers in several ways, in turn: asked for, kept and put into the document by one name."""

    name: str
    way: str
    measure: Callable[[Sequence[Seeded], Plan], list[Any]]
    results: Callable[[Machine, Plan, list[Any]], Struct]
    parts: Callable[[Any], list[Iterator[str]]]


_COMPARISONS: Final = (
    _Comparison("savings", "over HTTP", measuring.measure_savings, SavingsResults, report.savings_parts),
    _Comparison("observe", "while observed", measuring.measure_observed, ObserveResults, report.observe_parts),
    _Comparison("prices", "by prices", measuring.measure_prices, PricesResults, report.prices_parts),
    _Comparison("grants", "with grants", measuring.measure_grants, GrantsResults, report.grants_parts),
)


def _run_comparison(
    comparison: _Comparison, options: argparse.Namespace, plan: Plan, engines: Sequence[Engine], machine: Machine
) -> None:
    with _seeded(engines, comparison.way, plan) as seeded:
        found = comparison.results(machine, plan, comparison.measure(seeded, plan))
    name = comparison.name
    _tell(options, found, f"{name}-{machine.short_id}", name, comparison.parts(found), iter(()))


@contextlib.contextmanager
def _seeded(engines: Sequence[Engine], way: str, plan: Plan) -> Iterator[list[Seeded]]:
    """Lend a ledger of each engine, to be measured in this way, and verify them after it."""
    seeded = [uvloop.run(measuring.seed(engine, way, plan)) for engine in engines]
    yield seeded
    for it in seeded:
        uvloop.run(measuring.verify(it))


def _run_client(options: argparse.Namespace, plan: Plan, engines: Sequence[Engine], machine: Machine) -> None:
    peer = find_tigerbeetle()
    with _seeded(engines, "through the client", plan) as seeded:
        measured = measuring.measure_clients(seeded, plan, peer)
    found = ClientResults(machine, plan, measured, "" if peer is None else peer.version)
    _tell(options, found, f"client-{machine.short_id}", "client", report.clients_parts(found), iter(()))


def _run_against(options: argparse.Namespace, plan: Plan, engines: Sequence[Engine], machine: Machine) -> None:
    peer = find_tigerbeetle()
    other = against.install(options.against)
    measured = against.measure(
        other,
        engines,
        merchants=plan.merchants,
        connections=plan.connections,
        rounds=plan.rounds,
        seconds=plan.seconds,
        peer=peer,
    )
    found = AgainstResults(
        machine=machine,
        plan=plan,
        other=other.commit(),
        against=measured.against,
        clients=measured.clients,
        reads=measured.reads,
        tigerbeetle="" if peer is None else peer.version,
    )
    kept = _kept(f"large-{machine.short_id}", LargeResults)
    parts = report.against_parts(found, None if kept is None else kept.large)
    _tell(options, found, f"against-{machine.short_id}", "against", parts, iter(()))


def _run_gateways(options: argparse.Namespace, plan: Plan) -> None:
    """Measure by SQLite alone, and by one merchant: what is added is the way of a request, not the ledger's work."""
    found = GatewaysResults(
        results.machine(disk.file_system(Path(tempfile.gettempdir()))),
        plan,
        gateways.measure(rounds=plan.rounds, seconds=plan.seconds),
    )
    name = f"gateways-{found.machine.short_id}"
    _tell(options, found, name, "gateways", report.gateways_parts(found), iter(()))


def _run_large(options: argparse.Namespace, plan: Plan) -> None:
    progress(f"measuring {options.transfers:,} transfers on SQLite")
    measured = large.measure(
        options.large,
        transfers=options.transfers,
        merchants=plan.merchants,
        rounds=plan.rounds,
        seconds=plan.seconds,
    )
    found = LargeResults(results.machine(disk.file_system(options.large)), plan, measured)
    _tell(options, found, f"large-{found.machine.short_id}", "large", report.large_parts(found), iter(()))


def _run_memory(options: argparse.Namespace, plan: Plan, engines: Sequence[Engine], machine: Machine) -> None:
    with _seeded(engines, "over HTTP", plan) as seeded:
        progress(f"charging each for {options.memory:g} s")
        memory = [measuring.watch_memory(it, plan, options.memory) for it in seeded]
    found = MemoryResults(machine, plan, memory, [it.acknowledged.charges for it in seeded])
    name = f"memory-{machine.short_id}"
    _tell(options, found, name, "memory", report.memory_parts(found), plots.draw_memory(memory))


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
            scaling = growth.SCALING_QUICK if options.quick else growth.SCALING
            found.scaling.extend(
                growth.measure_scaling(
                    engine, scaling, merchants=plan.merchants, rounds=plan.rounds, seconds=plan.seconds
                )
            )
    name = _growth_name(machine)
    _tell(options, found, name, "growth", report.growth_parts(machine, found), plots.draw_growth(found))
    standard = RESULTS_FOLDER / f"all-{machine.short_id}.json"
    if options.is_for_document and standard.exists():
        # Its table of targets asks for growth.
        _rewrite(standard.stem)


def _rewrite(name: str) -> None:
    """Write the pages of a standard run again, from what it has left."""
    kept = msgspec.json.decode((RESULTS_FOLDER / f"{name}.json").read_bytes(), type=Results)
    growth = _growth_of(kept.machine)
    document.put("figures", report.parts(kept, growth), plots.write(plots.draw(kept), RESULTS_FOLDER, name))
    _sum_up(kept, growth, name)


def _tell(
    options: argparse.Namespace,
    found: Struct,
    name: str,
    block: str,
    parts: Iterable[Iterable[str]],
    drawn: Iterator[tuple[str, str]],
) -> None:
    """Print results, keep them and their pictures where they are wanted, and put them into the document if they belong.

    The pages have them in the block of this name.
    """
    tables = [list(part) for part in parts]
    print("\n\n".join("\n".join(table) for table in tables))
    if options.results is None:
        return
    path = results.write(found, options.results, name)
    pictures = plots.write(drawn, options.results, name)
    progress(f"written to {os.path.relpath(path)}")
    if options.is_for_document:
        document.put(block, tables, pictures)


def _growth_name(machine: Machine) -> str:
    return f"growth-{machine.short_id}"


def _growth_of(machine: Machine) -> GrowthResults | None:
    """Read what an earlier run of growth on this kind of machine has left."""
    return _kept(_growth_name(machine), GrowthResults)


def _kept(name: str, kind: type[_Results]) -> _Results | None:
    path = RESULTS_FOLDER / f"{name}.json"
    return msgspec.json.decode(path.read_bytes(), type=kind) if path.exists() else None


def _with_simulation(measured: Results) -> Results:
    """Add what many servers would do, simulated from what was measured of one."""
    progress("simulating many servers")
    costs = costs_of(measured.costs, measured.http, measured.synced_appends_per_second)
    if costs is None:
        return measured
    simulated = simulate_all(costs, Assumptions(merchants=measured.plan.merchants))
    return msgspec.structs.replace(measured, simulated=simulated)


if __name__ == "__main__":
    main()
