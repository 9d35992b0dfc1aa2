"""Ledgers of any size with a past: filled through the store, their usage summed up, as it would have been."""

import itertools
import time
from typing import Final

import asyncpg
from msgspec import Struct, field

from benchmarks import costs, ledgers
from benchmarks.ledgers import Acknowledged, Engine, Facts
from benchmarks.workload import Population, charges, populate
from farebox.bootstrap import Farebox
from farebox.core import state
from farebox.core.decide import decide
from farebox.service.insight.usage import ROLLUP_TRANSFERS_MAX, ROLLUP_TRANSFERS_MIN

HISTORY_DAYS: Final = 90
FILL_BATCH: Final = 1_000

_DAY_MICROS: Final = 86_400_000_000
_BOOKS_PAGE: Final = 500


class Size(Struct, frozen=True):
    """A ledger as it was filled: how many transfers, and what that took on the disk and of time, per transfer."""

    subject: str
    transfers: int
    bytes_each: float
    fill_us: float


class Filled(Struct):
    """A ledger, empty or filled, and all that its clients were told."""

    url: str
    population: Population
    facts: Facts
    size: Size
    acknowledged: Acknowledged = field(default_factory=Acknowledged)


async def fill(engine: Engine, transfers: int, merchants: int, *, at_once: int = FILL_BATCH) -> Filled:
    """Make a ledger with so many charges beside its merchants' top-ups, spread evenly over HISTORY_DAYS up to now.

    So many are charged `at_once`, each in one COMMIT.
    """
    url = engine.create()
    now = time.time_ns() // 1_000
    start = now - HISTORY_DAYS * _DAY_MICROS
    told = Acknowledged()
    async with ledgers.opened(url, clock=ledgers.StoppedClock(start)) as farebox:
        facts = await ledgers.facts(farebox)
        population = await populate(farebox, merchants)
        source = charges(population, "spread")
        started = time.perf_counter()
        for done in range(0, transfers, at_once):
            commands = list(itertools.islice(source, min(at_once, transfers - done)))
            at = start + (now - start) * done // transfers
            decision = await farebox.stores.connector.transact(
                state.reads(commands, at),
                lambda met, commands=commands, at=at: decide(met, commands, at),  # type: ignore[misc]
            )
            costs.acknowledge(told, decision)
        fill_us = (time.perf_counter() - started) * 1e6 / max(transfers, 1)
        await _roll_up(farebox)
    size = Size(engine.name, transfers, round(await _bytes(url) / max(transfers, 1), 1), round(fill_us, 1))
    return Filled(url, population, facts, size, told)


async def _roll_up(farebox: Farebox) -> None:
    """Roll all usage up, as servers would have done by now."""
    after = 0
    while books := await farebox.stores.usage.books_to_roll_up(
        after, transfers_min=ROLLUP_TRANSFERS_MIN, limit=_BOOKS_PAGE
    ):
        for merchant_id in books:
            while (
                await farebox.stores.usage.roll_up(merchant_id, transfers_max=ROLLUP_TRANSFERS_MAX)
                == ROLLUP_TRANSFERS_MAX
            ):
                pass
        after = books[-1]


async def _bytes(url: str) -> int:
    """Tell how large a database is, a PostgreSQL's once it is vacuumed, as it would have been by now."""
    path = ledgers.sqlite_path(url)
    if path is not None:
        return path.stat().st_size
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("VACUUM ANALYZE")
        return int(await connection.fetchval("SELECT pg_database_size(current_database())"))
    finally:
        await connection.close()


async def verify(filled: Filled) -> None:
    """Hold a ledger to its own rules and to what its clients were told.

    Raises:
        WrongLedger: it is not what they were told.
    """
    async with ledgers.opened(filled.url) as farebox:
        ledgers.compare(await ledgers.verify(farebox), filled.acknowledged)
