"""The costs that the simulation rests on, taken from what was measured."""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from benchmarks.costs import Cost
from benchmarks.over_http import HttpResult
from benchmarks.rounds import Figure
from benchmarks.simulation.model import Costs, SpreadCost

_SECOND: Final = 1e-6
_SUBJECT: Final = "postgres"


def costs_of(found: Sequence[Cost], http: Sequence[HttpResult], synced_appends_per_second: Figure) -> Costs | None:
    """Take the costs from results; None if they have none of PostgreSQL, or of one size of batch alone."""
    batches = sorted((it for it in found if (it.subject, it.variant) == (_SUBJECT, "spread")), key=lambda it: it.batch)
    charges = [it for it in http if (it.subject, it.what, it.variant) == (_SUBJECT, "charge", "spread")]
    if len(batches) < 2 or not charges:
        return None
    server_batch, server_row = _line(batches, lambda it: it.processor_us.median)
    database_batch, database_row = _line(batches, lambda it: it.database_us.median)
    most = max(charges, key=lambda it: it.connections)
    # About half of the clients wait for one batch while the others' requests gather for the next.
    in_batches = server_row + server_batch / max(most.connections / 2, 1)
    return Costs(
        request_us=max(most.server_us.median - in_batches, 0.0),
        server_batch_us=server_batch,
        server_row_us=server_row,
        database_batch_us=database_batch,
        database_row_us=database_row,
        sync_us=1 / (synced_appends_per_second.median * _SECOND),
    )


def spread_costs_of(costs: Costs, found: Sequence[SpreadCost]) -> Costs | None:
    """Put what Citus costs with the most workers in place of one PostgreSQL's; None if that was not measured."""
    spread = sorted((it for it in found if it.workers), key=lambda it: it.mean_batch)
    most = [it for it in spread if it.workers == max(other.workers for other in spread) and it.variant == "spread"]
    if len(most) < 2:
        return None
    (worker_batch, worker_row), (first_batch, first_row) = [
        _through(most[0].mean_batch, small, most[-1].mean_batch, large)
        for small, large in ((most[0].workers_us, most[-1].workers_us), (most[0].first_us, most[-1].first_us))
    ]
    return replace(
        costs,
        database_batch_us=worker_batch,
        database_row_us=worker_row,
        coordinator_batch_us=first_batch,
        coordinator_row_us=first_row,
    )


def _line(found: Sequence[Cost], microseconds: Callable[[Cost], float]) -> tuple[float, float]:
    """Put a line through the smallest and the largest batch: what a batch costs, and what each row in it."""
    small, large = found[0], found[-1]
    return _through(small.batch, microseconds(small), large.batch, microseconds(large))


def _through(small: float, small_us: float, large: float, large_us: float) -> tuple[float, float]:
    row = max((large * large_us - small * small_us) / (large - small), 0.0)
    return max((small_us - row) * small, 0.0), row
