"""The balance as a line: it tells what a look at every transfer tells, on every engine, by few queries."""

import asyncio
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.core.accounts import Account, Kind
from farebox.core.commands import (
    Adjust,
    CaptureHold,
    Charge,
    Command,
    CreateHold,
    Payer,
    Refund,
    ReleaseHold,
    ReverseTopUp,
    TopUp,
)
from farebox.core.transfers import Transfer
from farebox.service.errors import Unavailable
from farebox.service.insight import history
from farebox.service.insight.forecast import Runway
from farebox.service.insight.history import Cone, History, HistoryReader, Mark, cone_of
from farebox.storage.postgres import PostgresConnector
from farebox.storage.sqlite import SqliteConnector
from farebox.storage.stores import Stores
from tests.service.books import memory_stores
from tests.support.effort import examples
from tests.support.ledger import ANN, NOW, UNIT, HeldClock, account_of, add_merchant, add_price, book, do
from tests.support.originals import copy_ledger
from tests.support.watched_stores import watched_stores

CENT: Final = UNIT // 100
HOUR: Final = 3_600_000_000
DAY: Final = 24 * HOUR
SIGNS: Final = {
    Kind.TOP_UP: 1,
    Kind.TOP_UP_REVERSAL: -1,
    Kind.CHARGE: -1,
    Kind.REFUND: 1,
    Kind.CAPTURE: -1,
    Kind.ADJUSTMENT_CREDIT: 1,
    Kind.ADJUSTMENT_DEBIT: -1,
}
"""What a kind of transfer adds to the posted balance, written down a second time."""
FUNDING: Final = {Kind.TOP_UP, Kind.TOP_UP_REVERSAL, Kind.ADJUSTMENT_CREDIT, Kind.ADJUSTMENT_DEBIT}


class CountingStores:
    """Stores that count what they are asked."""

    def __init__(self, stores: Stores) -> None:
        self.stores = watched_stores(stores, self._call)
        self.calls: Counter[str] = Counter()
        self.seqs_max = 0

    async def _call(self, name: str, method: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        self.calls[name] += 1
        if name == "transfers.at":
            self.seqs_max = max(self.seqs_max, len(args[1]))
        return await method(*args)


@pytest.fixture(params=["sqlite", "postgres"])
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stores]:
    """An empty ledger with Ann's account, on each engine in turn."""
    stores: Stores
    if request.param == "sqlite":
        stores = Stores.over(SqliteConnector(copy_ledger(tmp_path / "farebox.db")))
    else:
        stores = Stores.over(PostgresConnector(request.getfixturevalue("ledger_url")))
    await stores.connector.open()
    await set_up(stores)
    yield stores
    await stores.connector.close()


async def set_up(stores: Stores) -> None:
    await add_merchant(stores, credit_limit=10**6 * UNIT)
    await add_price(stores, request_type="call", unit_price=None)


def reader_at(stores: Stores, now: int, **fineness: int) -> HistoryReader:
    clock = HeldClock()
    clock.time = now
    return HistoryReader(stores.transfers, clock, **fineness)


async def read(stores: Stores, now: int, *, days: int = 30, **fineness: int) -> History:
    return await reader_at(stores, now, **fineness).read(await account_of(stores), days=days)


def charge(number: int, amount: int) -> Charge:
    return Charge(Payer(ANN), "call", 1, f"charge-{number}", amount)


# The slow model: every transfer is looked at


class Replayed:
    """A whole book, replayed by its kinds and amounts."""

    def __init__(self, transfers: Sequence[Transfer]) -> None:
        self.transfers = transfers
        self.times = [item.committed_at for item in transfers]
        self.posted = [0]
        for item in transfers:
            self.posted.append(self.posted[-1] + SIGNS.get(Kind(item.kind), 0) * item.amount)

    def posted_at(self, at: int) -> list[int]:
        """List the balances that there were at a time: before, between and after the transfers of that time."""
        return self.posted[bisect_left(self.times, at) : bisect_right(self.times, at) + 1]

    def between(self, start: int, end: int) -> Sequence[Transfer]:
        """List the transfers after one time and before another."""
        return self.transfers[bisect_right(self.times, start) : bisect_left(self.times, end)]

    def check(
        self,
        line: History,
        *,
        now: int,
        days: int,
        cells: int = history.CELLS,
        marks_max: int = history.MARKS_MAX,
    ) -> None:
        """Fail unless a line is true of the book."""
        start = now - days * DAY
        has_past = any(at <= start for at in self.times)
        begin = start if has_past else (self.times[0] if self.times else now)
        cell = (now - begin) // cells
        points = line.points
        assert (begin, now) == (points[0][0], points[-1][0])
        assert (self.posted[-1] if self.times else 0) == points[-1][1]
        assert len(points) <= 3 * cells + 4 * marks_max + 3
        inside = [item for item in self.transfers if item.committed_at > start]
        top_ups = [item for item in inside if item.kind == Kind.TOP_UP][-marks_max:]
        others = [item for item in inside if item.kind in FUNDING - {Kind.TOP_UP}][-marks_max:]
        assert tuple((it.committed_at, it.amount, self.posted[it.seq]) for it in top_ups) == tuple(
            (mark.at, mark.amount, mark.posted) for mark in line.marks
        )
        exact = {item.seq for item in (*top_ups, *others)}
        for at, posted in points:
            assert posted in self.posted_at(at)
        for (at, posted), (next_at, next_posted) in pairwise(points):
            assert (at, posted) != (next_at, next_posted)
            assert at <= next_at
            between = self.between(at, next_at)
            assert not exact & {item.seq for item in between}
            if next_at - at > cell:
                assert posted == next_posted
                assert not between
        steps = set(pairwise(points))
        for seq in exact:
            at = self.times[seq - 1]
            assert ((at, self.posted[seq - 1]), (at, self.posted[seq])) in steps


STEPS = st.lists(
    st.tuples(
        # Some at the same microsecond, some after long idle times.
        st.sampled_from([0, 0, 1, 1, 60, 3_600, 40_000, 90_000, 400_000]).map(lambda seconds: seconds * 1_000_000),
        st.sampled_from(
            [*["charge"] * 6, "top up", "reverse", "credit", "debit", "refund", "hold", "capture", "release"]
        ),
        st.integers(1, 5_000 * UNIT),
    ),
    max_size=60,
)


def command_of(action: str, amount: int, number: int, transfers: Sequence[Transfer]) -> Command:
    """Make a command, which may well be refused."""
    key = f"key-{number}"
    seqs = {item.kind: item.seq for item in transfers}
    match action:
        case "charge":
            return charge(number, amount)
        case "top up":
            return TopUp(ANN, max(amount // CENT, 1) * CENT, key)
        case "reverse":
            return ReverseTopUp(ANN, seqs.get(Kind.TOP_UP, 1), key, "by mistake")
        case "refund":
            return Refund(ANN, seqs.get(Kind.CHARGE, 1), key)
        case "hold":
            return CreateHold(Payer(ANN), "call", 1, key, amount)
        case "capture":
            return CaptureHold(ANN, seqs.get(Kind.HOLD, 1), key)
        case "release":
            return ReleaseHold(ANN, seqs.get(Kind.HOLD, 1), key)
    return Adjust(ANN, max(amount // CENT, 1) * CENT, action == "credit", key, "by hand")


@examples(150)
@given(STEPS, st.integers(0, 40 * DAY), st.sampled_from([1, 7, 30]))
def test_a_line_is_true_of_the_book(steps: list[tuple[int, str, int]], idle: int, days: int) -> None:
    async def check() -> None:
        stores, now = memory_stores(), NOW
        await stores.connector.open()
        await set_up(stores)
        for number, (pause, action, amount) in enumerate(steps):
            now += pause
            await do(stores, command_of(action, amount, number, await book(stores)), now=now)
        now += idle
        # Few cells and marks, so that a short book has to be thinned out.
        fineness = {"cells": 6, "marks_max": 3}
        Replayed(await book(stores)).check(
            await read(stores, now, days=days, **fineness), now=now, days=days, **fineness
        )

    asyncio.run(check())


async def test_a_long_book_is_drawn_truly_and_alike_by_every_engine(stores: Stores) -> None:
    memory = memory_stores()
    await memory.connector.open()
    await set_up(memory)
    now = NOW
    for number in range(400):
        # Days of steady traffic, with nights and three idle days.
        now += 10 * HOUR if number % 40 == 0 else HOUR // 4
        now += 3 * DAY if number == 200 else 0
        commands: list[Command] = [charge(10 * number + each, UNIT + each) for each in range(6)]
        if number % 70 == 0:
            commands.append(TopUp(ANN, 3_000 * UNIT, f"INV-{number}"))
        for each in (stores, memory):
            await do(each, *commands, now=now)
    transfers = await book(stores)
    assert 2_400 < len(transfers)
    for later in (0, DAY, 28 * DAY, 50 * DAY):
        for days in (2, 30):
            line = await read(stores, now + later, days=days)
            Replayed(transfers).check(line, now=now + later, days=days)
            assert await read(memory, now + later, days=days) == line


async def test_an_empty_book_is_one_point_at_nothing(stores: Stores) -> None:
    assert History(((NOW, 0),), ()) == await read(stores, NOW)


async def test_a_book_that_began_just_now_is_its_first_step(stores: Stores) -> None:
    await do(stores, TopUp(ANN, 5 * UNIT, "INV-1"))
    mark = Mark(NOW, 5 * UNIT, 5 * UNIT)
    assert History(((NOW, 0), (NOW, 5 * UNIT)), (mark,)) == await read(stores, NOW)
    assert History(((NOW, 0), (NOW, 5 * UNIT), (NOW + 1, 5 * UNIT)), (mark,)) == await read(stores, NOW + 1)


async def test_a_time_without_transfers_is_flat(stores: Stores) -> None:
    await do(stores, TopUp(ANN, 5 * UNIT, "INV-1"))
    now = NOW + 31 * DAY
    assert History(((now - 30 * DAY, 5 * UNIT), (now, 5 * UNIT)), ()) == await read(stores, now)


async def test_a_charge_after_an_idle_time_is_a_step(stores: Stores) -> None:
    await do(stores, TopUp(ANN, 100 * UNIT, "INV-1"))
    await do(stores, charge(1, 30 * UNIT), now=NOW + 20 * DAY)
    assert (
        (NOW, 0),
        (NOW, 100 * UNIT),
        (NOW + 20 * DAY, 100 * UNIT),
        (NOW + 20 * DAY, 70 * UNIT),
        (NOW + 25 * DAY, 70 * UNIT),
    ) == (await read(stores, NOW + 25 * DAY)).points


async def test_the_newest_top_ups_are_marks(stores: Stores) -> None:
    count = history.MARKS_MAX + 20
    for number in range(count):
        await do(stores, TopUp(ANN, UNIT, f"INV-{number}"), now=NOW + number * HOUR)
    now = NOW + count * HOUR
    line = await read(stores, now)
    assert [number * UNIT for number in range(21, count + 1)] == [mark.posted for mark in line.marks]
    Replayed(await book(stores)).check(line, now=now, days=30)


async def test_a_book_of_many_adjustments_is_drawn_by_no_more_points() -> None:
    stores = memory_stores()
    await stores.connector.open()
    await set_up(stores)
    for number in range(600):
        await do(stores, Adjust(ANN, UNIT, number % 2 == 0, f"key-{number}", "by hand"), now=NOW + number * HOUR)
    line = await read(stores, NOW + 600 * HOUR)
    assert len(line.points) <= history.POINTS_MAX
    Replayed(await book(stores)).check(line, now=NOW + 600 * HOUR, days=30)


async def test_what_comes_while_it_is_read_changes_nothing(stores: Stores) -> None:
    await do(stores, TopUp(ANN, 100 * UNIT, "INV-1"))
    account, reader = await account_of(stores), reader_at(stores, NOW + DAY)
    before = await reader.read(account)
    await do(stores, charge(1, UNIT), TopUp(ANN, 7 * UNIT, "INV-2"), now=NOW + HOUR)
    assert before == await reader.read(account)


async def test_a_clock_that_was_set_back_behind_the_book_harms_nothing(stores: Stores) -> None:
    await do(stores, TopUp(ANN, 100 * UNIT, "INV-1"))
    await do(stores, charge(1, UNIT), now=NOW + DAY)
    line = await read(stores, NOW - DAY)
    assert (NOW + DAY, 99 * UNIT) == line.points[-1]
    Replayed(await book(stores)).check(line, now=NOW + DAY, days=30)


@pytest.mark.parametrize("count", [1, 2, 180, 181, 5_000])
async def test_the_number_of_queries_grows_as_the_logarithm_of_the_book(count: int) -> None:
    stores = memory_stores()
    await stores.connector.open()
    await set_up(stores)
    for number in range(count):
        await do(stores, charge(number, UNIT), now=NOW + number * (40 * DAY // count))
    account = await account_of(stores)
    counting = CountingStores(stores)
    line = await reader_at(counting.stores, NOW + 40 * DAY).read(account)
    assert {"transfers.at", "transfers.funding_after"} >= set(counting.calls)
    assert counting.calls.total() <= 4 + 2 * account.seq.bit_length()
    assert counting.seqs_max <= history.CELLS + 1
    assert len(line.points) <= history.POINTS_MAX


async def test_a_database_that_is_away_is_told(stores: Stores) -> None:
    await do(stores, charge(1, UNIT))
    account: Account = await account_of(stores)
    await stores.connector.close()
    with pytest.raises(Unavailable):
        await reader_at(stores, NOW).read(account)


# The cone


def runway(days: int, low: int, high: int, *, hours: int = 0) -> Runway:
    return Runway(
        now=NOW,
        until=NOW + days * DAY + hours * HOUR,
        until_low=NOW + low * DAY,
        until_high=NOW + high * DAY,
        burn_per_day=UNIT,
    )


def test_a_cone_ends_where_the_runway_does_at_each_pace() -> None:
    expected = Cone(NOW, 9 * UNIT, 0, NOW + 4 * DAY, NOW + 5 * DAY + 6 * HOUR, NOW + 7 * DAY)
    assert expected == cone_of(runway(5, 4, 7, hours=6), posted=9 * UNIT, credit_limit=0, now=NOW)


def test_a_cone_goes_down_to_the_credit_limit() -> None:
    cone = cone_of(runway(5, 4, 7), posted=-UNIT, credit_limit=2 * UNIT, now=NOW)
    assert cone is not None
    assert (-UNIT, -2 * UNIT) == (cone.posted, cone.floor)


@pytest.mark.parametrize(
    ("found", "posted", "credit_limit"),
    [
        (None, UNIT, 0),
        (runway(0, 0, 0), UNIT, 0),
        (runway(5, 4, 7), 0, 0),
        (runway(5, 4, 7), -UNIT, 0),
        (runway(5, 4, 7), -UNIT, UNIT),
    ],
)
def test_what_does_not_run_out_has_no_cone(found: Runway | None, posted: int, credit_limit: int) -> None:
    assert cone_of(found, posted=posted, credit_limit=credit_limit, now=NOW) is None
