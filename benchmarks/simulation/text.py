"""The simulation's figures as text for people."""

from collections.abc import Iterator, Sequence

from benchmarks.simulation.model import Assumptions, Costs, Simulated
from benchmarks.tables import table
from benchmarks.workload import ZIPF_EXPONENT


def lines(costs: Costs, assumptions: Assumptions, simulated: Sequence[Simulated]) -> Iterator[str]:
    """Render the figures for people, what they rest on first."""
    yield (
        f"measured    a request {costs.request_us:.1f} us of its server beside its batch; a batch "
        f"{costs.server_batch_us:.0f} us of its server and {costs.database_batch_us:.0f} us of the database,"
    )
    yield (
        f"            each charge in it {costs.server_row_us:.1f} and {costs.database_row_us:.1f} us; "
        f"a write to the disk {costs.sync_us:.0f} us"
    )
    if costs.has_coordinator:
        yield (
            f"            through a coordinator: a batch {costs.coordinator_batch_us:.0f} us of it, each charge "
            f"{costs.coordinator_row_us:.1f}; {assumptions.groups} groups of merchants"
        )
    yield (
        f"assumed     {assumptions.shard_cores} cores and one disk per database, {assumptions.round_trip_us:.0f} us a "
        f"round trip, {assumptions.clients_per_server} clients per server with one request at a time,"
    )
    yield (
        f"            {assumptions.merchants:,} merchants by Zipf's law ({ZIPF_EXPONENT}), any of them at any server "
        "unless requests are routed by merchant; costs do not grow with load"
    )
    header = ("databases", "servers", "first limit", "a second", "mean batch", "p50 ms")
    yield from table(
        (*header, "server", "database", "disk", "lock", *(["coordinator"] if costs.has_coordinator else [])),
        [
            (
                *(f"{it.shards}, routed" if it.is_routed else str(it.shards), str(it.servers), it.first_limit),
                *(f"{it.per_second:,.0f}", f"{it.mean_batch:,.0f}", f"{it.p50_ms:.1f}"),
                *(f"{share:.2f}" for share in (it.server_share, it.database_share, it.disk_share, it.lock_share)),
                *([f"{it.coordinator_share:.2f}"] if costs.has_coordinator else []),
            )
            for it in simulated
        ],
    )
