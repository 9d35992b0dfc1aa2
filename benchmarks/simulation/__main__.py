"""Simulates many servers from a file of results: `python -m benchmarks.simulation RESULTS.json`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks.costs import Cost
from benchmarks.over_http import HttpResult
from benchmarks.rounds import Figure
from benchmarks.simulation.costs import costs_of
from benchmarks.simulation.events import SERVERS, simulate_all
from benchmarks.simulation.model import Assumptions
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
    options = parser.parse_args(arguments)
    measured = msgspec.json.decode(options.results.read_bytes(), type=_Measured)
    costs = costs_of(measured.costs, measured.http, measured.synced_appends_per_second)
    if costs is None:
        parser.error("these results have no charges on PostgreSQL")
    assumptions = Assumptions(shard_cores=options.cores, round_trip_us=options.round_trip_us)
    for line in lines(costs, assumptions, simulate_all(costs, assumptions, options.servers)):
        print(line)


if __name__ == "__main__":
    main()
