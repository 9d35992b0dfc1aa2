"""What a charge costs in process, without HTTP: the rules alone, a batch through the store, and its replay."""

import contextlib
import gc
import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct, field
from msgspec.structs import astuple

from benchmarks.ledgers import Acknowledged, WrongLedger
from benchmarks.rounds import Figure, figure
from benchmarks.serving import tree_seconds
from benchmarks.workload import VARIANTS, Population, Variant, charges
from farebox.bootstrap import Farebox
from farebox.core import state
from farebox.core.commands import Charge
from farebox.core.decide import decide
from farebox.core.replaying.books import Replay
from farebox.core.replaying.plain_charges import Row
from farebox.core.state import BatchState, Decision
from farebox.server import GC_THRESHOLD

BATCHES: Final = (1, 60, 1_000)
_REPLAYED: Final = 5_000
_DECIDE_PART: Final = 0.2
_MICROSECONDS: Final = 1e6


class Bench(Struct):
    """An open ledger to charge in process, and the charges that come next."""

    name: str
    farebox: Farebox
    population: Population
    acknowledged: Acknowledged = field(default_factory=Acknowledged)
    database_pid: int | None = None


class Cost(Struct, frozen=True):
    """One case over all rounds, in microseconds per charge: by the clock, and of processor time.

    `processor_us` is this process's own, `database_us` that of the database's processes. `decide_us` is that of
    `decide` alone, on the state that the store had loaded for such a batch.
    """

    subject: str
    variant: Variant
    batch: int
    transact_us: Figure
    processor_us: Figure
    database_us: Figure
    decide_us: Figure


async def measure(
    benches: Sequence[Bench], *, rounds: int, seconds: float, batches: Sequence[int] = BATCHES
) -> list[Cost]:
    """Measure batches of each size, spread and hot, on each ledger, in alternating rounds of `seconds` a case."""
    with _settled_collector():
        return await _measure(benches, rounds=rounds, seconds=seconds, batches=batches)


async def _measure(benches: Sequence[Bench], *, rounds: int, seconds: float, batches: Sequence[int]) -> list[Cost]:
    samples: dict[tuple[str, Variant, int], list[_Sample]] = {}
    sources = {(bench.name, variant): charges(bench.population, variant) for bench in benches for variant in VARIANTS}
    for _ in range(rounds):
        for variant, batch in itertools.product(VARIANTS, batches):
            for bench in benches:
                sample = await _sample(bench, sources[bench.name, variant], batch, seconds)
                samples.setdefault((bench.name, variant, batch), []).append(sample)
    return [
        Cost(
            subject=name,
            variant=variant,
            batch=batch,
            transact_us=figure(it.transact_us for it in found),
            processor_us=figure(it.processor_us for it in found),
            database_us=figure(it.database_us for it in found),
            decide_us=figure(it.decide_us for it in found),
        )
        for (name, variant, batch), found in samples.items()
    ]


async def measure_replay(bench: Bench, *, rounds: int) -> Figure:
    """Measure the replay of transfers that are in memory already, in microseconds per transfer."""
    transfers = await bench.farebox.stores.transfers.page(
        bench.population.members[0].merchant_id, first_seq=1, last_seq=_REPLAYED, limit=_REPLAYED, newest_first=False
    )
    rows = [astuple(transfer) for transfer in transfers]
    return figure(_replay_us(rows) for _ in range(rounds))


class _Sample(Struct, frozen=True):
    transact_us: float
    processor_us: float
    database_us: float
    decide_us: float


async def _sample(bench: Bench, source: Iterator[Charge], batch: int, seconds: float) -> _Sample:
    """Charge batch after batch for `seconds`, the time to make the commands not counted."""
    clock, processor, count = 0.0, 0.0, 0
    stores, now_of = bench.farebox.stores, bench.farebox.clock.now
    commands: list[Charge] = []
    met = BatchState()
    now = 0

    def decide_batch(batch_state: BatchState) -> Decision:
        nonlocal met
        met = batch_state
        return decide(batch_state, commands, now)

    database = _database_seconds(bench)
    while clock < seconds:
        commands = list(itertools.islice(source, batch))
        clock_started, processor_started = time.perf_counter(), time.process_time()
        now = now_of()
        decision = await stores.connector.transact(state.reads(commands, now), decide_batch)
        clock += time.perf_counter() - clock_started
        processor += time.process_time() - processor_started
        count += batch
        acknowledge(bench.acknowledged, decision)
    return _Sample(
        clock * _MICROSECONDS / count,
        processor * _MICROSECONDS / count,
        (_database_seconds(bench) - database) * _MICROSECONDS / count,
        _decide_us(met, commands, now, seconds * _DECIDE_PART),
    )


def _decide_us(met: BatchState, commands: Sequence[Charge], now: int, seconds: float) -> float:
    """Time `decide` alone; it is pure, so it may decide the same batch again and again."""
    count = 0
    started = time.process_time()
    while (elapsed := time.process_time() - started) < seconds:
        decide(met, commands, now)
        count += len(commands)
    return elapsed * _MICROSECONDS / max(count, 1)


def _database_seconds(bench: Bench) -> float:
    return 0.0 if bench.database_pid is None else tree_seconds(bench.database_pid)


def _replay_us(rows: Sequence[Row]) -> float:
    started = time.perf_counter()
    for fault in Replay(rows[0][0]).feed_rows(rows):
        raise WrongLedger(fault)
    return (time.perf_counter() - started) * _MICROSECONDS / len(rows)


def acknowledge(acknowledged: Acknowledged, decision: Decision) -> None:
    """Note the charges of a batch; none may have been refused."""
    for outcome in decision.outcomes:
        if outcome.transfer is None:
            raise WrongLedger(f"a charge was refused: {outcome.message}")
        acknowledged.charges += 1
        acknowledged.micros += outcome.transfer.amount


@contextlib.contextmanager
def _settled_collector() -> Iterator[None]:
    """Set the garbage collector as a server does, and back again."""
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
