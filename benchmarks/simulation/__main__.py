"""Simulates many servers from a file of results: `python -m benchmarks.simulation RESULTS.json`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks.costs import Cost
from benchmarks.over_http import HttpResult
from benchmarks.rounds import Figure
from benchmarks.simulation.costs import costs_of, spread_costs_of
from benchmarks.simulation.events import SERVERS, simulate_all, simulate_spread
from benchmarks.simulation.model import Assumptions, SpreadCost
from benchmarks.simulation.text import lines


class _Measured(Struct):
    """What of a file of results is needed here."""

    http: list[HttpResult]
    costs: list[Cost]
    synced_appends_per_second: Figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate from a file of results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulation", description="Simulate many servers.")
    parser.add_argument("results", type=Path, help="what `make bench` has left in benchmarks/results")
    parser.add_argument("--cores", type=int, default=Assumptions().shard_cores, help="of a database server (16)")
    parser.add_argument("--round-trip-us", type=float, default=Assumptions().round_trip_us, help="between them (200)")
    parser.add_argument("--servers", type=int, nargs="+", default=SERVERS)
    parser.add_argument("--merchants", type=int, default=Assumptions().merchants, help="how many (%(default)s)")
    parser.add_argument(
        "--spread", type=Path, help="what `python -m benchmarks.spread` has left: simulate Citus instead"
    )
    parser.add_argument("--groups", type=int, default=64, help="Citus's shards, over all workers (%(default)s)")
    options = parser.parse_args(arguments)
    measured = msgspec.json.decode(options.results.read_bytes(), type=_Measured)
    costs = costs_of(measured.costs, measured.http, measured.synced_appends_per_second)
    if costs is None:
        parser.error("these results have no charges on PostgreSQL")
    assumptions = Assumptions(
        shard_cores=options.cores,
        round_trip_us=options.round_trip_us,
        merchants=options.merchants,
        groups=options.groups if options.spread else 0,
    )
    simulate = simulate_all
    if options.spread:
        costs = spread_costs_of(costs, msgspec.json.decode(options.spread.read_bytes(), type=list[SpreadCost]))
        simulate = simulate_spread
        if costs is None:
            parser.error("these results have no two sizes of batches on Citus")
    for line in lines(costs, assumptions, simulate(costs, assumptions, options.servers)):
        print(line)


if __name__ == "__main__":
    main()
