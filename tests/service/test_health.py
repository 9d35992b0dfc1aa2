"""Readiness, and the log's lines about the database."""

import asyncio
import logging
from typing import Any, Final

import pytest

from farebox.core.prices import CLOCK_LAG_MICROS_MAX, Price
from farebox.service.ledger.committer import Committer, CommitterLimits
from farebox.service.operator.database_watch import DatabaseWatch
from farebox.service.operator.health import HealthCheck, NotReady, Readiness
from farebox.storage.interface import StorageError, StoreFull, StoreReadOnly, StoreReplaced, StoreUnavailable
from tests.support.ledger import HeldClock
from tests.support.memory import MemoryConnector

MEGABYTE: Final = 1 << 20


class TroubledConnector(MemoryConnector):
    """A database that is in trouble when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.trouble: StorageError | None = None
        self.write_trouble: StorageError | None = None
        self.free_bytes: int | None = None
        self.writes_count = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def check(self) -> None:
        if self.trouble is not None:
            raise self.trouble

    async def check_writable(self) -> None:
        self.writes_count += 1
        await self.gate.wait()
        if self.write_trouble is not None:
            raise self.write_trouble

    def disk_free_bytes(self) -> int | None:
        return self.free_bytes


@pytest.fixture
def connector() -> TroubledConnector:
    return TroubledConnector()


def health_check(connector: TroubledConnector, *, queue_commands_max: int = 10) -> HealthCheck:
    committer = Committer(connector, HeldClock(), limits=CommitterLimits(queue_commands_max=queue_commands_max))
    return HealthCheck(connector.stores, committer, HeldClock(), probe_seconds_max=0.2)


@pytest.mark.parametrize(
    ("trouble", "write_trouble", "expected"),
    [
        (None, None, None),
        (StoreReplaced("x"), None, NotReady.DATABASE_REPLACED),
        (StoreUnavailable("x"), None, NotReady.DATABASE_UNAVAILABLE),
        (None, StoreReplaced("x"), NotReady.DATABASE_REPLACED),
        (None, StoreReadOnly("x"), NotReady.DATABASE_READ_ONLY),
        (None, StoreFull("x"), NotReady.DISK_FULL),
        (None, StorageError("x"), NotReady.DATABASE_UNAVAILABLE),
    ],
)
async def test_a_process_is_ready_if_a_write_is_taken(
    connector: TroubledConnector,
    trouble: StorageError | None,
    write_trouble: StorageError | None,
    expected: NotReady | None,
) -> None:
    connector.trouble, connector.write_trouble = trouble, write_trouble
    assert Readiness(expected is None, expected) == await health_check(connector).readiness()


async def test_a_full_queue_and_a_stop_are_told_without_asking_the_database(connector: TroubledConnector) -> None:
    full = health_check(connector, queue_commands_max=0)
    assert Readiness(False, NotReady.OVERLOADED) == await full.readiness()
    await full._committer.close()
    assert Readiness(False, NotReady.STOPPING) == await full.readiness()
    assert 0 == connector.writes_count


async def test_many_who_ask_cause_one_write_and_it_is_not_waited_for_long(connector: TroubledConnector) -> None:
    check = health_check(connector)
    connector.gate.clear()
    slow = Readiness(False, NotReady.DATABASE_UNAVAILABLE)
    assert [slow] * 20 == await asyncio.gather(*[check.readiness() for _ in range(20)])
    # The write is still under way: no other is begun beside it.
    assert slow == await check.readiness()
    connector.gate.set()
    assert Readiness(True) == await check.readiness()
    assert 1 == connector.writes_count


async def test_a_clock_behind_the_making_of_a_price_is_not_ready(connector: TroubledConnector) -> None:
    now = HeldClock().now()
    await connector.stores.prices.add(Price(1, "image", 1, now), now + CLOCK_LAG_MICROS_MAX)
    assert Readiness(True) == await health_check(connector).readiness()
    await connector.stores.prices.add(Price(2, "call", 1, now), now + CLOCK_LAG_MICROS_MAX + 1)
    assert Readiness(False, NotReady.CLOCK_BEHIND) == await health_check(connector).readiness()


def _lines(caplog: Any) -> list[str]:
    lines = [record.getMessage() for record in caplog.records if record.name == "farebox.database"]
    caplog.clear()
    return lines


async def test_a_replaced_database_is_logged_once_and_so_is_its_return(
    connector: TroubledConnector, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("farebox"), "propagate", True)
    watch = DatabaseWatch(connector)
    await watch.look()
    assert [] == _lines(caplog)
    connector.trouble = StoreReplaced("the file is gone")
    for _ in range(3):
        await watch.look()
    assert ["nothing is read, charged or acknowledged any more: the file is gone"] == _lines(caplog)
    # Another trouble in between is no return.
    connector.trouble = StoreUnavailable("away")
    await watch.look()
    connector.trouble = None
    for _ in range(3):
        await watch.look()
    assert ["the database is as it was again; work goes on"] == _lines(caplog)


async def test_a_nearly_full_disk_is_warned_of_once_for_each_time_it_runs_low(
    connector: TroubledConnector, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("farebox"), "propagate", True)
    watch = DatabaseWatch(connector, disk_free_bytes_min=100 * MEGABYTE)
    lines = []
    for free in (None, 100, 99, 50, 100, 109, 99, 110, 99):
        connector.free_bytes = None if free is None else free * MEGABYTE
        await watch.look()
        lines.append([line.partition(":")[2] for line in _lines(caplog)])
    low = " 99 MB are free, less than 100 MB; once it is full nothing can be charged"
    assert [[], [], [low], [], [], [], [], [" 110 MB are free"], [low]] == lines
