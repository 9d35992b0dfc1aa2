"""One PostgreSQL against Citus with one worker and with two, in one run: `python -m benchmarks.spread`.

All servers are of the programs of the coordinator that FAREBOX_TEST_CITUS_URL names, on this machine, with commits that
reach the disk; rounds alternate between them. Charges go through the committer, without HTTP. One machine's processors
are shared by all, so what it shows is what the way through a coordinator costs, and not what more machines bring: that
is for the simulation, which takes these costs.
"""

import argparse
import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from benchmarks import ledgers
from benchmarks.report import progress
from benchmarks.rounds import figure
from benchmarks.serving import tree_seconds
from benchmarks.simulation.model import SpreadCost
from benchmarks.tables import table
from benchmarks.workload import Population, Variant, charges, populate
from farebox.bootstrap import Farebox
from farebox.core.commands import Charge
from farebox.core.outcomes import Outcome
from tests.support.citus import URL, CitusCluster, programs_of
from tests.support.postgres import Databases, PostgresServer

CALLERS: Final = 64
BATCH: Final = 1_000
WORKERS: Final = (1, 2)
PLAIN: Final = "PostgreSQL"

CASES: Final[tuple[tuple[str, Variant, int], ...]] = (
    ("charges, spread", "spread", 1),
    ("charges, hot", "hot", 1),
    ("batches of 1,000, spread", "spread", BATCH),
)
"""The cases: whom charges are for, and how many a caller gives at a time."""

_MICROSECONDS: Final = 1e6


class Subject(Struct):
    """A ledger, open, and the first processes of all servers that it is on."""

    name: str
    farebox: Farebox
    population: Population
    pids: Sequence[int]


class Sample(Struct, frozen=True):
    """One case once: charges a second, charges in a batch, and processor time for each, in microseconds.

    `first_us` is that of the server that the program is connected to, `workers_us` that of those behind it.
    """

    per_second: float
    mean_batch: float
    program_us: float
    first_us: float
    workers_us: float


async def measure(subjects: Sequence[Subject], *, rounds: int, seconds: float) -> dict[tuple[str, str], list[Sample]]:
    """Measure every case on every ledger, in alternating rounds of `seconds` a case."""
    found: dict[tuple[str, str], list[Sample]] = {}
    sources = {
        (subject.name, variant): charges(subject.population, variant)
        for subject in subjects
        for variant in {variant for _, variant, _ in CASES}
    }
    for _ in range(rounds):
        for (case, variant, size), subject in itertools.product(CASES, subjects):
            sample = await _sample(subject, sources[subject.name, variant], size, seconds)
            found.setdefault((case, subject.name), []).append(sample)
    return found


async def _sample(subject: Subject, source: Iterator[Charge], size: int, seconds: float) -> Sample:
    committer = subject.farebox.committer
    callers = CALLERS if size == 1 else 2
    batches, commands = committer.batches_count, committer.commands_count
    databases, processor = [tree_seconds(pid) for pid in subject.pids], time.process_time()
    started = time.perf_counter()

    async def call() -> None:
        while time.perf_counter() - started < seconds:
            for result in await committer.submit_all(list(itertools.islice(source, size))):
                if not isinstance(result, Outcome) or not result.is_ok:
                    raise ledgers.WrongLedger(f"a charge was refused: {result}")

    await asyncio.gather(*[call() for _ in range(callers)])
    elapsed, count = time.perf_counter() - started, committer.commands_count - commands
    processor = time.process_time() - processor
    first, *workers = [tree_seconds(pid) - before for pid, before in zip(subject.pids, databases, strict=True)]
    return Sample(
        count / elapsed,
        count / (committer.batches_count - batches),
        *(spent * _MICROSECONDS / count for spent in (processor, first, sum(workers))),
    )


@contextlib.asynccontextmanager
async def opened(name: str, server: Databases, pids: Sequence[int], merchants: int) -> AsyncIterator[Subject]:
    """Make a ledger with the workload's merchants on a server, and lend it."""
    progress(f"seeding {name}")
    async with ledgers.opened(server.create_database()) as farebox:
        yield Subject(name, farebox, await populate(farebox, merchants), pids)
        await ledgers.verify(farebox)


async def run(merchants: int, rounds: int, seconds: float) -> list[SpreadCost]:
    """Measure on servers of its own; each ledger is verified in the end."""
    async with contextlib.AsyncExitStack() as stack:
        plain = stack.enter_context(PostgresServer(durable=True, programs=programs_of(URL)))
        subjects = [await stack.enter_async_context(opened(PLAIN, plain, [plain.pid], merchants))]
        for count in WORKERS:
            cluster = stack.enter_context(CitusCluster(count, durable=True))
            pids = [server.pid for server in (cluster.coordinator, *cluster.workers)]
            name = f"Citus, {count} worker{'' if count == 1 else 's'}"
            subjects.append(await stack.enter_async_context(opened(name, cluster, pids, merchants)))
        found = await measure(subjects, rounds=rounds, seconds=seconds)
    return [_cost(found, case, variant, subject) for case, variant, _ in CASES for subject in subjects]


def _cost(found: dict[tuple[str, str], list[Sample]], case: str, variant: Variant, subject: Subject) -> SpreadCost:
    samples = found[case, subject.name]
    # Rounds are compared one by one: what else the machine does is the same for both.
    share = figure(own.per_second / other.per_second for own, other in zip(samples, found[case, PLAIN], strict=True))

    def median(value: Callable[[Sample], float]) -> float:
        return figure(map(value, samples)).median

    return SpreadCost(
        *(case, variant, len(subject.pids) - 1, median(lambda it: it.per_second)),
        (share.median, share.lowest, share.highest),
        median(lambda it: it.mean_batch),
        *(median(lambda it: it.program_us), median(lambda it: it.first_us), median(lambda it: it.workers_us)),
    )


def lines(costs: Sequence[SpreadCost]) -> Iterator[str]:
    """Render the figures for people."""
    return table(
        ("", "workers", "a second", "of PostgreSQL", "mean batch", "program us", "first us", "workers us"),
        [
            (
                *(it.case, str(it.workers) if it.workers else PLAIN, f"{it.per_second:,.0f}"),
                "{:.2f} ({:.2f}-{:.2f})".format(*it.share),
                *(f"{value:,.0f}" for value in (it.mean_batch, it.program_us, it.first_us, it.workers_us)),
            )
            for it in costs
        ],
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spread", description="Measure a spread ledger.")
    parser.add_argument("--merchants", type=int, default=500, help="how many merchants (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="alternating rounds (%(default)s)")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each case takes in a round (%(default)s)")
    parser.add_argument("--results", type=Path, help="a file to write, which the simulation takes")
    options = parser.parse_args(arguments)
    if not URL:
        parser.error("FAREBOX_TEST_CITUS_URL names no database of a coordinator")
    costs = asyncio.run(run(options.merchants, options.rounds, options.seconds))
    for line in lines(costs):
        print(line)
    if options.results:
        options.results.write_bytes(msgspec.json.format(msgspec.json.encode(costs), indent=1))


if __name__ == "__main__":
    main()
