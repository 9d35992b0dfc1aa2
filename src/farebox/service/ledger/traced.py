"""Deciding a batch of which some commands are of traced requests: alerts that these cause name the traces."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from farebox.core.commands import Command
from farebox.core.decide import Batch
from farebox.core.outcomes import Outcome
from farebox.core.state import BatchState, Decision


def decide_traced(state: BatchState, commands: Sequence[Command], now: int, traces: Mapping[int, str]) -> Decision:
    """Decide as `decide` does, and let alerts name the traces that they come from.

    Args:
        state: what the database has of `state.reads(commands, now)`.
        commands: in the order in which they came.
        now: the commit time, microseconds since 1970.
        traces: the `traceparent` of each command that is traced, by its place in `commands`.
    """
    batch = Batch(state, now)
    outcomes = [
        _decide(batch, command, traces[place]) if place in traces else batch.decide(command)
        for place, command in enumerate(commands)
    ]
    return batch.decision(outcomes)


def _decide(batch: Batch, command: Command, traceparent: str) -> Outcome:
    book = batch.books.get(command.merchant_id)
    before = None if book is None else len(book.alerts)
    outcome = batch.decide(command)
    book = batch.books.get(command.merchant_id)
    if book is not None:
        # Credit that ends by the clock is ended by whichever command comes next, which is not what caused that.
        before = book.clock_alerts_count if before is None else before
        book.alerts[before:] = [replace(alert, traceparent=traceparent) for alert in book.alerts[before:]]
    return outcome
