"""Several servers over one PostgreSQL, charges sent to any of them or by merchant: `python -m benchmarks.routing`.

Each server is a committer with connections of its own; all run in this process, without HTTP, so what differs is how
long their batches wait for one another's accounts, and how large they are. Rounds alternate between the two ways.
"""

import argparse
import asyncio
import contextlib
import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from benchmarks import ledgers
from benchmarks.report import progress
from benchmarks.rounds import Figure, figure
from benchmarks.tables import table
from benchmarks.workload import Population, charges, populate
from farebox.bootstrap import Farebox
from farebox.core.commands import Charge
from tests.support.postgres import PostgresServer

SERVERS: Final = (2, 4)
CALLERS: Final = 64
"""How many callers each server has; each waits for its answer."""


class Routed(Struct, frozen=True):
    """What so many servers did: charges a second sent to any and by merchant, their ratio, and charges in a batch."""

    servers: int
    any_per_second: Figure
    routed_per_second: Figure
    gain: Figure
    any_batch: Figure
    routed_batch: Figure


async def measure(farebox: Sequence[Farebox], population: Population, *, rounds: int, seconds: float) -> Routed:
    """Charge in both ways, in alternating rounds of `seconds` each."""
    shared = charges(population, "spread")
    found: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    for _ in range(rounds):
        for is_routed in (False, True):
            sources = _by_server(shared, population, len(farebox)) if is_routed else [shared] * len(farebox)
            found[is_routed].append(await _sample(farebox, sources, seconds))
    (any_rates, any_batches), (routed_rates, routed_batches) = (zip(*found[way], strict=True) for way in (False, True))
    gains = [routed / plain for plain, routed in zip(any_rates, routed_rates, strict=True)]
    columns = (any_rates, routed_rates, gains, any_batches, routed_batches)
    return Routed(len(farebox), *map(figure, columns))


def _by_server(source: Iterator[Charge], population: Population, count: int) -> list[Iterator[Charge]]:
    """Divide charges by merchant: each server has its own, as a proxy's consistent hash does it, and none has none."""
    server_of = {member.merchant_id: place % count for place, member in enumerate(population.members)}

    def own(number: int, copy: Iterator[Charge]) -> Iterator[Charge]:
        return (charge for charge in copy if server_of[charge.merchant_id] == number)

    return [own(number, copy) for number, copy in enumerate(itertools.tee(source, count))]


async def _sample(
    farebox: Sequence[Farebox], sources: Sequence[Iterator[Charge]], seconds: float
) -> tuple[float, float]:
    committers = [each.committer for each in farebox]
    commands = sum(each.commands_count for each in committers)
    batches = sum(each.batches_count for each in committers)
    started = time.perf_counter()

    async def call(number: int) -> None:
        while time.perf_counter() - started < seconds:
            outcome = await committers[number].submit(next(sources[number]))
            if not outcome.is_ok:
                raise ledgers.WrongLedger(f"a charge was refused: {outcome}")

    await asyncio.gather(*[call(number) for number in range(len(farebox)) for _ in range(CALLERS)])
    elapsed = time.perf_counter() - started
    count = sum(each.commands_count for each in committers) - commands
    return count / elapsed, count / (sum(each.batches_count for each in committers) - batches)


async def run(merchants: int, rounds: int, seconds: float) -> list[Routed]:
    """Measure on a PostgreSQL of its own, whose ledger is verified in the end."""
    found = []
    with PostgresServer(durable=True) as server:
        url = server.create_database()
        async with contextlib.AsyncExitStack() as stack:
            farebox = [await stack.enter_async_context(ledgers.opened(url)) for _ in range(max(SERVERS))]
            population = await populate(farebox[0], merchants)
            for count in SERVERS:
                progress(f"{count} servers")
                found.append(await measure(farebox[:count], population, rounds=rounds, seconds=seconds))
            await ledgers.verify(farebox[0])
    return found


def lines(found: Sequence[Routed]) -> Iterator[str]:
    """Render the figures for people."""
    return table(
        ("servers", "any: a second", "by merchant: a second", "gain", "any: mean batch", "by merchant: mean batch"),
        [
            (
                *(str(it.servers), f"{it.any_per_second.median:,.0f}", f"{it.routed_per_second.median:,.0f}"),
                f"{it.gain.median:.2f} ({it.gain.lowest:.2f}-{it.gain.highest:.2f})",
                *(f"{it.any_batch.median:,.1f}", f"{it.routed_batch.median:,.1f}"),
            )
            for it in found
        ],
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print what came of it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.routing", description="Measure servers beside each other."
    )
    parser.add_argument("--merchants", type=int, default=1_000, help="how many merchants (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds (%(default)s)")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each way takes in a round (%(default)s)")
    options = parser.parse_args(arguments)
    for line in lines(asyncio.run(run(options.merchants, options.rounds, options.seconds))):
        print(line)


if __name__ == "__main__":
    main()
