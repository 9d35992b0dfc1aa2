"""Revenue is exact and reconciled: what is kept by month is what a scan of all transfers comes to, on every engine.

Transfers are written as they are, not asked for: what is summed up must not depend on which of them commands make.
"""

from collections.abc import Iterable
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.core.accounts import EFFECTS, Kind
from farebox.core.money import AMOUNT_MICROS_MAX
from farebox.storage.months import Month
from farebox.storage.records import BalanceSum, MonthSum, RevenueSums
from farebox.storage.stores import Stores
from tests.service.books import keep_given_book
from tests.storage.engines import Engine, every_store
from tests.storage.rolling_up import write_roll_up_and_look
from tests.support.effort import examples
from tests.support.ledger import ANN, BEN, NOBODY, UNIT, book
from tests.support.revenue_books import CURRENCIES, TYPED, RevenueWriter, seeded_writer
from tests.support.revenue_scan import given_part, month_of, scanned

JAN: Final = Month(2027, 1)
FEB: Final = Month(2027, 2)
JANUARY: Final = JAN.starts_at
FEBRUARY: Final = FEB.starts_at


async def _roll_up(stores: Stores, transfers_max: int = 1_000) -> None:
    for number in CURRENCIES:
        while await stores.usage.roll_up(number, transfers_max=transfers_max):
            pass


def assert_identity(sums: RevenueSums) -> None:
    """What merchants had, and all that moved, is what they have: of paid money and of given credit."""
    for currency in {*sums.opening, *sums.closing, *(line.currency for line in sums.moved)}:
        opening, closing = sums.opening.get(currency, BalanceSum()), sums.closing.get(currency, BalanceSum())
        paid, given = opening.paid - opening.drawn, opening.given
        for line in sums.moved:
            if line.currency == currency:
                effect = EFFECTS[Kind(line.kind)]
                sign = effect.wallet + effect.held
                paid, given = paid + sign * (line.amount - line.given), given + sign * line.given
        assert (closing.paid - closing.drawn, closing.given) == (paid, given)


GAPS: Final = st.sampled_from([0, 0, 1, 3_600_000_000, 9 * 86_400_000_000, 40 * 86_400_000_000, -1, -2])
"""How long after the last one a transfer comes; -1 is the next month's first moment, -2 the last one ahead of it."""

MOVES: Final = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(list(CURRENCIES)),
            st.sampled_from(list(Kind)),
            st.integers(1, 9 * UNIT),
            st.sampled_from(["image", "scan"]),
            GAPS,
        ),
        st.tuples(st.just(0), st.sampled_from(["roll up", "look"]), st.integers(1, 4), st.just(""), st.just(0)),
    ),
    min_size=1,
    max_size=30,
)


class Mover:
    """Makes transfers up that a book can have, whatever made them: no more is given back or taken than there is."""

    def __init__(self, writer: RevenueWriter) -> None:
        self.now = JANUARY + 12 * 86_400_000_000
        self._writer = writer
        self._left: dict[tuple[int, str], int] = {}

    def pass_time(self, gap: int) -> None:
        """Let time go by."""
        ahead = month_of(self.now).plus(1).starts_at
        self.now = ahead if gap == -1 else max(self.now, ahead - 1) if gap == -2 else self.now + gap

    def _take(self, merchant_id: int, what: str, most: int) -> int:
        taken = min(most, self._left.get((merchant_id, what), 0))
        self._put(merchant_id, what, -taken)
        return taken

    def _put(self, merchant_id: int, what: str, amount: int) -> None:
        self._left[merchant_id, what] = self._left.get((merchant_id, what), 0) + amount

    async def move(self, merchant_id: int, kind: Kind, amount: int, request_type: str) -> None:
        """Write a transfer, if there is what it moves."""
        given, uncollected, is_payment = 0, None, False
        if kind in (Kind.CAPTURE, Kind.RELEASE, Kind.EXPIRE):
            amount = self._take(merchant_id, "held", amount)
            given = min(amount, self._take(merchant_id, "given held", amount))
        elif kind in (Kind.CHARGE, Kind.HOLD):
            given = self._take(merchant_id, "given wallet", amount // 2 if amount % 2 else amount)
        elif kind == Kind.REFUND:
            amount = self._take(merchant_id, "revenue", amount)
            given = self._take(merchant_id, "given revenue", amount)
        elif kind == Kind.TOP_UP_REVERSAL:
            is_payment = amount % 2 == 0 and self._left.get((merchant_id, "owed"), 0) > 0
            amount = self._take(merchant_id, "owed" if is_payment else "funding", amount)
        elif kind == Kind.GRANT:
            given = amount
        elif kind == Kind.GRANT_EXPIRY:
            amount = given = self._take(merchant_id, "given wallet", amount)
        if not amount:
            return
        if kind == Kind.HOLD:
            self._put(merchant_id, "held", amount)
            self._put(merchant_id, "given held", given)
        elif kind in (Kind.CHARGE, Kind.CAPTURE):
            self._put(merchant_id, "revenue", amount)
            self._put(merchant_id, "given revenue", given)
        elif kind in (Kind.RELEASE, Kind.EXPIRE, Kind.REFUND, Kind.GRANT):
            self._put(merchant_id, "given wallet", given)
        elif kind == Kind.TOP_UP:
            self._put(merchant_id, "funding", amount)
        if kind in (Kind.CHARGE, Kind.CAPTURE, Kind.TOP_UP_REVERSAL) and amount % 3 == 0 and not is_payment:
            uncollected = 7 * amount
            self._put(merchant_id, "owed", uncollected if kind == Kind.TOP_UP_REVERSAL else 0)
        await self._writer.write(
            merchant_id,
            kind,
            amount,
            self.now,
            given=_parts(kind, given) if given else None,
            uncollected=uncollected,
            request_type=request_type if kind in TYPED else None,
            is_payment=is_payment,
        )


def _parts(kind: Kind, given: int) -> str:
    """Write a given part as core does: of one grant, of two where it can be halved, with the terms of a new one."""
    if kind == Kind.GRANT:
        return f"1:{given};priority=5;types=a b"
    return f"1:{given}" if given < 2 or kind == Kind.GRANT_EXPIRY else f"12:{given // 2},4:{given - given // 2}"


@every_store
@examples(15)
@given(moves=MOVES)
async def test_revenue_is_what_a_scan_of_all_transfers_comes_to_rolled_up_or_not(
    engine: Engine, stores: Stores, moves: list[tuple[int, Kind | str, int, str, int]]
) -> None:
    await engine.clear()
    if engine.name != "memory":
        await stores.connector.close()
        await stores.connector.open()
    writer = await seeded_writer(stores)
    mover = Mover(writer)
    months = [JAN.plus(-1), JAN]

    async def assert_exact(ranges: Iterable[tuple[Month, Month]]) -> None:
        books = await writer.books()
        for first, last in ranges:
            found = await stores.revenue.months(first, last)
            assert scanned(books, first=first, last=last) == found
            assert_identity(found)

    for merchant_id, what, amount, request_type, gap in moves:
        if isinstance(what, Kind):
            mover.pass_time(gap)
            while months[-1] < month_of(mover.now):
                months.append(months[-1].plus(1))
            await mover.move(merchant_id, what, amount, request_type)
        elif what == "roll up":
            for number in CURRENCIES:
                await stores.usage.roll_up(number, transfers_max=amount)
        else:
            # Each month by itself is for the end alone: there may be forty, and as many looks as moves.
            earlier = months[-min(amount, len(months))]
            await assert_exact({(months[0], months[-1]), (earlier, months[-1]), (earlier, earlier)})
    months.append(months[-1].plus(1))
    ranges = [(months[0], months[-1]), *((month, month) for month in months)]
    await assert_exact(ranges)
    await _roll_up(stores, transfers_max=3)
    await assert_exact(ranges)


@every_store
async def test_a_month_ends_at_its_last_microsecond(stores: Stores) -> None:
    writer = await seeded_writer(stores)
    await writer.write(ANN, Kind.TOP_UP, 5 * UNIT, FEBRUARY - 1)
    await writer.write(ANN, Kind.CHARGE, 2 * UNIT, FEBRUARY)
    for _ in range(2):
        january, february = await stores.revenue.months(JAN, JAN), await stores.revenue.months(FEB, FEB)
        assert [MonthSum(JAN, "USD", Kind.TOP_UP, None, 5 * UNIT, 0, 0)] == january.moved
        assert [MonthSum(FEB, "USD", Kind.CHARGE, "image", 2 * UNIT, 0, 0)] == february.moved
        assert {"USD": BalanceSum(paid=5 * UNIT)} == january.closing == february.opening
        assert {"USD": BalanceSum(paid=3 * UNIT)} == february.closing
        await _roll_up(stores)


@every_store
async def test_what_comes_later_leaves_a_closed_month_as_it_was(stores: Stores) -> None:
    writer = await seeded_writer(stores)
    await writer.write(ANN, Kind.GRANT, 4 * UNIT, JANUARY, given=f"1:{4 * UNIT}")
    await writer.write(ANN, Kind.TOP_UP, 5 * UNIT, JANUARY)
    await writer.write(ANN, Kind.CHARGE, 6 * UNIT, FEBRUARY - 1, given=f"1:{4 * UNIT}")
    closed = await stores.revenue.months(JAN, JAN)
    later = [
        (Kind.REFUND, 6 * UNIT, f"1:{4 * UNIT}"),
        (Kind.GRANT_EXPIRY, 4 * UNIT, f"1:{4 * UNIT}"),
        (Kind.TOP_UP_REVERSAL, 5 * UNIT, None),
    ]
    for number, (kind, amount, parts) in enumerate(later):
        await writer.write(ANN, kind, amount, FEBRUARY + number, given=parts)
        assert closed == await stores.revenue.months(JAN, JAN)
        await _roll_up(stores)
        assert closed == await stores.revenue.months(JAN, JAN)
    assert {} == (await stores.revenue.months(FEB, FEB)).closing


@every_store
async def test_what_some_have_and_what_others_have_drawn_on_credit_are_told_apart(stores: Stores) -> None:
    writer = await seeded_writer(stores)
    await writer.write(ANN, Kind.TOP_UP, 5 * UNIT, JANUARY)
    await writer.write(NOBODY, Kind.HOLD, 3 * UNIT, JANUARY)
    await writer.write(NOBODY, Kind.CAPTURE, 2 * UNIT, JANUARY)
    for _ in range(2):
        assert {"USD": BalanceSum(paid=5 * UNIT, drawn=2 * UNIT)} == (await stores.revenue.months(JAN, JAN)).closing
        await _roll_up(stores)


@every_store
async def test_sums_go_beyond_64_bits(stores: Stores) -> None:
    """Ten of the largest top-ups, each taken back, are more than a database's number holds."""
    writer = await seeded_writer(stores)
    for _ in range(10):
        await writer.write(ANN, Kind.TOP_UP, AMOUNT_MICROS_MAX, JANUARY)
        await writer.write(ANN, Kind.TOP_UP_REVERSAL, AMOUNT_MICROS_MAX, JANUARY)
    for _ in range(2):
        found = await stores.revenue.months(JAN, JAN)
        assert [10 * AMOUNT_MICROS_MAX] * 2 == [line.amount for line in found.moved]
        assert {} == found.closing
        await _roll_up(stores, transfers_max=7)


async def test_a_book_that_stands_still_over_months_keeps_what_it_has(stores: Stores) -> None:
    writer = await seeded_writer(stores)
    await writer.write(ANN, Kind.TOP_UP, 5 * UNIT, Month(2026, 3).starts_at)
    await _roll_up(stores)
    await writer.write(BEN, Kind.TOP_UP, UNIT, FEBRUARY)
    found = await stores.revenue.months(JAN.plus(-1), JAN)
    assert ([], {"USD": BalanceSum(5 * UNIT)}) == (found.moved, found.opening)
    assert found.opening == found.closing
    assert (await stores.revenue.months(Month(2026, 2), Month(2026, 2))).closing == {}


async def test_servers_of_before_that_roll_usage_up_leave_no_gap(engine: Engine, stores: Stores) -> None:
    """They know of usage alone; its mark is ahead then, and months are caught up by the next roll-ups."""
    writer = await seeded_writer(stores)
    for number in range(5):
        await writer.write(ANN, Kind.TOP_UP, UNIT, JANUARY + number)
    await stores.usage.roll_up(ANN, transfers_max=1)
    await stores.connector.close()
    await engine.execute(f"UPDATE usage_mark SET seq = 5 WHERE merchant_id = {ANN}")
    await stores.connector.open()
    expected = scanned(await writer.books(), first=JAN, last=JAN)
    assert [ANN] == list(await stores.usage.books_to_roll_up(-1, transfers_min=4, limit=9))
    assert [2, 2, 0] == [await stores.usage.roll_up(ANN, transfers_max=2) for _ in range(3)]
    assert expected == await stores.revenue.months(JAN, JAN)
    assert [] == list(await stores.usage.books_to_roll_up(-1, transfers_min=1, limit=9))


@pytest.mark.parametrize("parts", ["1:5", "1:2,2:3", "7:1,9:1,11:3", "3:5;priority=1;expires=99;types=a b"])
async def test_given_parts_are_summed_up_as_core_writes_them(stores: Stores, parts: str) -> None:
    writer = await seeded_writer(stores)
    await writer.write(ANN, Kind.GRANT, 5, JANUARY, given=parts)
    for _ in range(2):
        (line,) = (await stores.revenue.months(JAN, JAN)).moved
        assert (5, 5) == (line.given, given_part((await book(stores))[0]))
        await _roll_up(stores)


async def test_revenue_is_never_counted_twice_or_lost_while_it_is_rolled_up(engine: Engine, stores: Stores) -> None:
    """What one store reads while others write and roll up is reconciled, never less than before."""
    writer = await seeded_writer(stores)

    async def look(reader: Stores) -> int:
        found = await reader.revenue.months(JAN, JAN)
        assert_identity(found)
        return sum(line.amount for line in found.moved) // UNIT

    written = await write_roll_up_and_look(
        engine, write=lambda number: writer.write(ANN, Kind.TOP_UP, UNIT, JANUARY + number - 1), look=look
    )
    assert written * UNIT == (await stores.revenue.months(JAN, JAN)).closing["USD"].paid


@every_store
async def test_books_that_commands_made_are_summed_up_as_a_scan_does(stores: Stores) -> None:
    """All kinds of transfers, with given credit that is used, held, refunded and ends."""
    await keep_given_book(stores)
    month = month_of((await book(stores))[0].committed_at)
    expected = scanned([("USD", await book(stores))], first=month, last=month)
    assert {Kind.GRANT, Kind.GRANT_EXPIRY} <= {line.kind for line in expected.moved}
    for transfers_max in (3, 99):
        found = await stores.revenue.months(month, month)
        assert expected == found
        assert_identity(found)
        await stores.usage.roll_up(ANN, transfers_max=transfers_max)
    assert expected == await stores.revenue.months(month, month)
