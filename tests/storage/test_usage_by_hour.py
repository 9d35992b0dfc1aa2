"""The sums of hours are exact: spending that is kept by hour is that of a scan of all transfers, on every engine."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.core.accounts import Kind
from farebox.core.money import AMOUNT_MICROS_MAX
from farebox.core.transfers import Transfer
from farebox.storage import sql
from farebox.storage.interface import NotFound
from farebox.storage.stores import Stores
from tests.storage.engines import Engine
from tests.storage.rolling_up import write_roll_up_and_look
from tests.support.effort import examples
from tests.support.ledger import ANN, BEN, NOW, UNIT, add_merchant, add_price, book, charge, do
from tests.support.revenue_books import RevenueWriter, seeded_writer

HOUR: Final = 3_600_000_000
START: Final = NOW // HOUR * HOUR
TAKING: Final = (Kind.CHARGE, Kind.CAPTURE)

GAPS: Final = st.sampled_from([0, 1, HOUR // 4, HOUR, 30 * HOUR, -1, -2])
"""How long after the last one a transfer comes; -1 is the next hour's first moment, -2 the last one ahead of it."""

MOVES: Final = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([ANN, BEN]), st.sampled_from(list(Kind)), st.integers(1, 9 * UNIT), GAPS),
        st.tuples(
            st.sampled_from([ANN, BEN]),
            st.sampled_from(["roll up", "elsewhere", "look"]),
            st.integers(1, 4),
            st.just(0),
        ),
    ),
    min_size=1,
    max_size=40,
)


def scanned(transfers: Sequence[Transfer], first_hour: int, last_hour: int) -> dict[int, int]:
    """Read every transfer of a book, and sum up what its hours came to; hours without spending are absent."""
    spent: dict[int, int] = {}
    for transfer in transfers:
        hour = transfer.committed_at // HOUR
        if first_hour <= hour <= last_hour and transfer.kind in (*TAKING, Kind.REFUND):
            sign = 1 if transfer.kind in TAKING else -1
            spent[hour] = spent.get(hour, 0) + sign * transfer.amount
    return spent


class Mover:
    """Writes transfers of any kind that a book can have: no more is given back or captured than there is."""

    def __init__(self, writer: RevenueWriter) -> None:
        self.now = START
        self._writer = writer
        self._left: Counter[tuple[int, str]] = Counter()

    async def move(self, merchant_id: int, kind: Kind, amount: int, gap: int) -> None:
        """Let time go by, and write a transfer, if there is what it moves."""
        ahead = (self.now // HOUR + 1) * HOUR
        self.now = ahead if gap == -1 else max(self.now, ahead - 1) if gap == -2 else self.now + gap
        takes = {
            Kind.CAPTURE: "held",
            Kind.RELEASE: "held",
            Kind.EXPIRE: "held",
            Kind.REFUND: "revenue",
            Kind.TOP_UP_REVERSAL: "funding",
            Kind.GRANT_EXPIRY: "given",
        }
        puts = {
            Kind.HOLD: "held",
            Kind.CHARGE: "revenue",
            Kind.CAPTURE: "revenue",
            Kind.TOP_UP: "funding",
            Kind.GRANT: "given",
        }
        if kind in takes:
            amount = min(amount, self._left[merchant_id, takes[kind]])
            self._left[merchant_id, takes[kind]] -= amount
        if kind in puts:
            self._left[merchant_id, puts[kind]] += amount
        parts = f"1:{amount}" if kind in (Kind.GRANT, Kind.GRANT_EXPIRY) else None
        if amount:
            await self._writer.write(merchant_id, kind, amount, self.now, given=parts)


async def by_hour(stores: Stores, merchant_id: int, first_hour: int = 0, last_hour: int = 2**40) -> Mapping[int, int]:
    return await stores.usage.spent_by_hour(merchant_id, first_hour=first_hour, last_hour=last_hour)


@examples(25)
@given(moves=MOVES)
async def test_what_is_spent_by_hour_is_what_a_scan_of_all_transfers_comes_to_rolled_up_or_not(
    engine: Engine, stores: Stores, moves: list[tuple[int, Kind | str, int, int]]
) -> None:
    await engine.clear()
    await stores.connector.close()
    await stores.connector.open()
    other = engine.stores()
    await other.connector.open()
    mover = Mover(await seeded_writer(stores))

    async def assert_exact() -> None:
        start, end = START // HOUR, mover.now // HOUR
        for merchant_id in (ANN, BEN):
            transfers = await book(stores, merchant_id)
            for first, last in ((start, end), (start + 1, end), (start, end - 1), (end, end), (end + 1, end + 9)):
                assert scanned(transfers, first, last) == await by_hour(other, merchant_id, first, last)

    for merchant_id, what, amount, gap in moves:
        if isinstance(what, Kind):
            await mover.move(merchant_id, what, amount, gap)
        elif what == "look":
            await assert_exact()
        else:
            await (other if what == "elsewhere" else stores).usage.roll_up(merchant_id, transfers_max=amount)
    await assert_exact()
    for merchant_id in (ANN, BEN):
        while await stores.usage.roll_up(merchant_id, transfers_max=3):
            pass
    await assert_exact()
    kept = await engine.execute("SELECT merchant_id, hour, spent FROM usage_hour ORDER BY merchant_id, hour")
    for merchant_id in (ANN, BEN):
        expected = scanned(await book(stores, merchant_id), 0, 2**40)
        assert expected == {hour: spent for number, hour, spent in kept if number == merchant_id}
    await other.connector.close()


async def test_an_hour_ends_at_its_last_microsecond(stores: Stores) -> None:
    writer = await seeded_writer(stores)
    await writer.write(ANN, Kind.CHARGE, 5 * UNIT, START - 1)
    await writer.write(ANN, Kind.CHARGE, 2 * UNIT, START)
    await writer.write(ANN, Kind.REFUND, 4 * UNIT, START + HOUR - 1)
    hour = START // HOUR
    for _ in range(2):
        assert {hour - 1: 5 * UNIT, hour: -2 * UNIT} == await by_hour(stores, ANN)
        assert {hour: -2 * UNIT} == await by_hour(stores, ANN, hour, hour)
        assert {hour - 1: 5 * UNIT} == await by_hour(stores, ANN, hour - 9, hour - 1)
        await stores.usage.roll_up(ANN, transfers_max=9)


async def test_an_hour_has_what_is_left_of_the_largest_charges_that_were_given_back(stores: Stores) -> None:
    writer = await seeded_writer(stores)
    for _ in range(9):
        await writer.write(ANN, Kind.TOP_UP, AMOUNT_MICROS_MAX, START)
        await writer.write(ANN, Kind.CHARGE, AMOUNT_MICROS_MAX, START)
        await writer.write(ANN, Kind.REFUND, AMOUNT_MICROS_MAX - 1, START)
        await writer.write(ANN, Kind.TOP_UP_REVERSAL, AMOUNT_MICROS_MAX - 1, START)
    for transfers_max in (0, 7, 99):
        await stores.usage.roll_up(ANN, transfers_max=transfers_max)
        assert {START // HOUR: 9} == await by_hour(stores, ANN)


async def test_hours_are_rolled_up_by_themselves_where_an_earlier_server_rolled_up_the_rest(
    engine: Engine, stores: Stores
) -> None:
    """One that knows no hours moves the marks of all it knows; its books are listed, and none of it is lost."""
    await add_merchant(stores, funds=1_000)
    await add_price(stores)
    await do(stores, *[charge(1, f"before {number}") for number in range(5)])
    await stores.usage.roll_up(ANN, transfers_max=99)
    await do(stores, *[charge(1, f"meanwhile {number}") for number in range(9)])
    for table in ("usage_mark", "usage_key_mark", "revenue_mark"):
        await engine.execute(f"UPDATE {table} SET seq = 15 WHERE merchant_id = {ANN}")
    spent = {NOW // HOUR: 14 * UNIT}
    assert spent == await by_hour(stores, ANN)
    assert [ANN] == list(await stores.usage.books_to_roll_up(-1, transfers_min=9, limit=9))
    assert [4, 4, 1, 0] == [await stores.usage.roll_up(ANN, transfers_max=4) for _ in range(4)]
    assert [] == list(await stores.usage.books_to_roll_up(-1, transfers_min=1, limit=9))
    assert spent == await by_hour(stores, ANN)


async def test_what_is_spent_by_hour_is_never_counted_twice_or_lost_while_it_is_rolled_up(
    engine: Engine, stores: Stores
) -> None:
    await add_merchant(stores, funds=1_000)
    await add_price(stores)

    async def look(reader: Stores) -> int:
        return sum((await by_hour(reader, ANN)).values()) // UNIT

    charged = await write_roll_up_and_look(
        engine, write=lambda number: do(stores, charge(1, f"k{number}")), look=look, rolling_up=2
    )
    assert {NOW // HOUR: charged * UNIT} == await by_hour(stores, ANN)


async def test_a_book_that_is_not_there_has_no_mark(engine: Engine, stores: Stores) -> None:
    with pytest.raises(NotFound):
        await stores.usage.roll_up(ANN, transfers_max=4)
    assert [] == await engine.execute("SELECT * FROM usage_hour_mark")


def test_sqlite_looks_hours_up_by_their_keys_and_sorts_none_of_them() -> None:
    connection = apsw.Connection(":memory:")
    for _, script in sql.migrations("sqlite"):
        connection.execute(script)
    plan = connection.execute(f"EXPLAIN QUERY PLAN {sql.statements('sqlite')['spent_by_hour']}", (1, 2, 3)).fetchall()
    steps = [str(step[-1]) for step in plan]
    connection.close()
    assert [
        "SEARCH usage_hour USING PRIMARY KEY (merchant_id=? AND hour>? AND hour<?)",
        "SEARCH transfer USING INDEX sqlite_autoindex_transfer_1 (merchant_id=? AND seq>?)",
    ] == [step for step in steps if " USING " in step and "usage_hour_mark" not in step and "TEMP" not in step]
    assert ["USE TEMP B-TREE FOR GROUP BY"] == [step for step in steps if "TEMP B-TREE" in step]
