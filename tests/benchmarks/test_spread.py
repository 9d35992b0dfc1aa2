"""Benchmarks of spread ledgers and of servers beside each other, and what the simulation makes of their figures."""

import msgspec

from benchmarks import routing, spread
from benchmarks.simulation.costs import spread_costs_of
from benchmarks.simulation.events import simulate
from benchmarks.simulation.model import Assumptions, Costs, SpreadCost
from benchmarks.simulation.text import lines

PLAIN = Costs(
    request_us=20, server_batch_us=500, server_row_us=20, database_batch_us=700, database_row_us=15, sync_us=200
)
ASSUMED = Assumptions(merchants=1_000, seconds=0.1, groups=8, shard_cores=4)


def measured(case: str, workers: int, mean_batch: float, first_us: float, workers_us: float) -> SpreadCost:
    return SpreadCost(case, "spread", workers, 1_000, (0.5, 0.4, 0.6), mean_batch, 90, first_us, workers_us)


def test_a_batch_costs_a_fixed_part_and_one_for_each_charge() -> None:
    """10 charges at 60 are 600, and 100 at 15 are 1,500: 500 for the batch, and 10 for each."""
    found = [measured("a", 0, 5, 9, 0), measured("b", 2, 10, 60, 110), measured("c", 2, 100, 15, 20)]
    costs = spread_costs_of(PLAIN, found)
    assert costs is not None
    assert (500, 10) == (round(costs.coordinator_batch_us), round(costs.coordinator_row_us))
    assert (1_000, 10) == (round(costs.database_batch_us), round(costs.database_row_us))
    assert costs.has_coordinator
    assert not PLAIN.has_coordinator
    assert spread_costs_of(PLAIN, found[:2]) is None


def test_a_slow_coordinator_is_what_saturates_first() -> None:
    costs = msgspec.structs.replace(PLAIN, coordinator_batch_us=50_000.0)
    found = simulate(costs, ASSUMED, servers=8, shards=4, is_routed=True)
    assert "coordinator processor" == found.first_limit
    quick = simulate(PLAIN, ASSUMED, servers=8, shards=4, is_routed=True)
    assert 0.0 == quick.coordinator_share
    assert found.per_second < quick.per_second
    assert any("through a coordinator" in line for line in lines(costs, ASSUMED, [found]))
    assert not any("coordinator" in line for line in lines(PLAIN, ASSUMED, [quick]))


def test_what_was_measured_on_citus_is_shown_beside_postgresql() -> None:
    shown = "\n".join(spread.lines([measured("charges", 0, 5, 9, 0), measured("charges", 2, 10, 60, 110)]))
    assert "0.50 (0.40-0.60)" in shown
    assert spread.PLAIN in shown


async def test_servers_are_measured_in_both_ways() -> None:
    found = await routing.run(merchants=20, rounds=1, seconds=0.4)
    assert list(routing.SERVERS) == [it.servers for it in found]
    assert all(it.any_per_second.median > 0 and it.routed_per_second.median > 0 for it in found)
    assert len(found) + 2 <= len(list(routing.lines(found))) + 1
