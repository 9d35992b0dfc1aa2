"""How long a balance lasts of which a part was given: until it ends, in the order of spending, and no longer."""

import random
from collections.abc import Sequence
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.core.accounts import Account
from farebox.core.commands import Adjust, Charge, EndGrant, GiveCredit, Refund, TopUp
from farebox.core.credit.grants import Grant
from farebox.service.insight.burn_model import DAY
from farebox.service.insight.forecast import RUNWAY_MAX, RunwayState, runway_of
from farebox.service.insight.lots import GivenCredit, Lot, given_credit_of
from tests.service.conftest import ServiceParts
from tests.service.test_forecast import Book, expected_runway
from tests.support.burn import even_burn
from tests.support.ledger import ANN, NOW

UNIT: Final = 1_000_000


def _grant(number: int, left: int, days: float | None = None, *, priority: int = 0, types: str | None = None) -> Grant:
    end = None if days is None else NOW + round(days * DAY)
    return Grant(
        *(ANN, number, left, left, f"G-{number}", "r", f"grant G-{number}", bytes(8), priority),
        expires_at=end,
        types=types,
    )


def _credit(paid: int, limit: int, *grants: Grant) -> GivenCredit:
    given_micros = sum(grant.left for grant in grants)
    account = Account(ANN, "USD", wallet=paid + given_micros, given=given_micros, credit_limit=limit)
    return given_credit_of(account, sorted(grants, key=lambda grant: grant.order), NOW)


@pytest.mark.parametrize(
    ("paid", "limit", "grants", "days"),
    [
        pytest.param(50, 0, [_grant(1, 50)], 10, id="credit without an end counts in full"),
        pytest.param(50, 0, [_grant(1, 50, 30)], 10, id="so does credit that is spent before its end"),
        pytest.param(50, 0, [_grant(1, 50, 2)], 7, id="what is left at its end is lost"),
        pytest.param(0, 0, [_grant(1, 50, 2)], 2, id="credit alone lasts until its end"),
        pytest.param(50, 0, [_grant(1, 50, 2), _grant(2, 50, 4)], 9, id="the next one is spent from there on"),
        pytest.param(50, 0, [_grant(1, 50, 2, priority=1)], 5, id="after paid money it is over by then"),
        pytest.param(50, 0, [_grant(1, 50, 7, priority=1)], 7, id="after paid money it counts from there on"),
        pytest.param(50, 50, [_grant(1, 50, 20, priority=1)], 15, id="the limit is drawn last of all"),
        pytest.param(-20, 50, [_grant(1, 50, 2)], 5, id="a limit that is drawn on counts as far as it is not"),
        pytest.param(50, 0, [_grant(1, 50, 9, types="image")], 5, id="credit for some types is not counted on"),
        pytest.param(0, 0, [_grant(1, 50, 9, types="image")], 0, id="not even if nothing else is left"),
    ],
)
def test_credit_counts_in_the_order_of_spending_until_it_ends(
    paid: int, limit: int, grants: Sequence[Grant], days: int
) -> None:
    credit = _credit(paid, limit, *grants)
    runway = runway_of(
        even_burn(10), spendable=paid + limit + sum(grant.left for grant in grants), now=NOW, lots=credit.lots
    )
    assert NOW + days * DAY == runway.until


def test_what_ends_is_told_the_soonest_first_and_what_is_not_counted() -> None:
    grants = (_grant(1, 5, 9), _grant(2, 6, 3, types="image"), _grant(3, 7), _grant(4, 8, -1), _grant(5, 0, 1))
    credit = _credit(1, 0, *grants)
    assert [2, 1] == [grant.number for grant in credit.ending]
    assert 6 == credit.restricted
    assert credit.is_ending_counted
    assert not _credit(1, 0, _grant(2, 6, 3, types="image")).is_ending_counted


def _slowly(lots: Sequence[Lot], burn: int) -> int:
    """Spend a burn a day, a day at a time, and count the days that could be spent in full."""
    left, days = [lot.amount for lot in lots], 0
    while True:
        now, wanted = NOW + days * DAY, burn
        for place, lot in enumerate(lots):
            if lot.expires_at is None or lot.expires_at > now:
                taken = min(left[place], wanted)
                left[place], wanted = left[place] - taken, wanted - taken
        if wanted:
            return days
        days += 1


_LOTS: Final = st.lists(
    st.builds(
        lambda days_worth, ends: Lot(days_worth * 7, None if ends is None else NOW + ends * DAY),
        st.integers(0, 9),
        st.one_of(st.none(), st.integers(1, 30)),
    ),
    min_size=1,
    max_size=6,
)


@given(_LOTS)
def test_lots_last_as_long_as_a_day_by_day_spending_of_them(lots: list[Lot]) -> None:
    runway = runway_of(even_burn(7), spendable=sum(lot.amount for lot in lots), now=NOW, lots=lots)
    assert NOW + _slowly(lots, 7) * DAY == runway.until


@given(_LOTS)
def test_what_ends_unspent_and_what_is_burned_are_all_there_was(lots: list[Lot]) -> None:
    spendable = sum(lot.amount for lot in lots)
    runway = runway_of(even_burn(7), spendable=spendable, now=NOW, lots=lots)
    assert spendable == (runway.until - NOW) // DAY * 7 + sum(amount for _, amount in runway.losses)
    assert sorted(runway.losses) == list(runway.losses)
    assert all(NOW < at <= runway.until for at, _ in runway.losses if at != runway.until)


def test_each_pace_loses_what_it_leaves() -> None:
    lots = [Lot(50, NOW + 2 * DAY), Lot(50)]
    runway = runway_of(even_burn(20, fast=30, slow=10), spendable=100, now=NOW, lots=lots)
    end = NOW + 2 * DAY
    assert ((), ((end, 10),), ((end, 30),)) == (runway.losses_low, runway.losses, runway.losses_high)


@given(st.integers(0, 10**15), st.integers(1, 10**12))
def test_one_lot_without_an_end_is_money_as_it_was(amount: int, burn: int) -> None:
    model = even_burn(burn)
    assert runway_of(model, spendable=amount, now=NOW) == runway_of(
        model, spendable=amount, now=NOW, lots=[Lot(amount)]
    )


def test_without_a_burn_credit_lasts_until_its_end_at_the_slowest_pace() -> None:
    end = NOW + 40 * DAY
    runway = runway_of(even_burn(10, fast=20, slow=0), spendable=100, now=NOW, lots=[Lot(100, end)])
    assert end == runway.until_high
    runway = runway_of(even_burn(10, fast=20, slow=0), spendable=101, now=NOW, lots=[Lot(100, end), Lot(1)])
    assert NOW + RUNWAY_MAX == runway.until_high


async def _spend_for_days(book: Book, days: int) -> None:
    for _ in range(days):
        await book.spend(10 * UNIT)
        book.clock.move(micros=DAY)


def _gift(book: Book, units: int, days: int | None, **more: Any) -> GiveCredit:
    expires_at = None if days is None else book.clock.now() + days * DAY
    return GiveCredit(book.merchant_id, units * UNIT, book.key(), "trial", None, expires_at, **more)


async def test_a_books_forecast_counts_given_credit_until_it_ends(ledger: ServiceParts) -> None:
    book = await Book.create(ledger, balance="100")
    await _spend_for_days(book, 5)
    plain = await book.read()
    assert plain is not None
    # It is charged once a day, now next.
    assert 4 == plain.whole_days(plain.until)
    await book.do(_gift(book, 50, 2))
    forecast = await book.forecast()
    assert forecast.runway is not None
    assert 6 == forecast.runway.whole_days(forecast.runway.until)
    await book.do(_gift(book, 1000, None, types="image"))
    forecast = await book.forecast()
    assert forecast.runway is not None
    assert 6 == forecast.runway.whole_days(forecast.runway.until)
    assert (1000 * UNIT, RunwayState.KNOWN) == (forecast.given.restricted, forecast.state)


async def test_neither_a_grant_nor_its_end_is_burned(ledger: ServiceParts) -> None:
    book = await Book.create(ledger, balance="1000")
    dice = random.Random(1)
    for step in range(80):
        (charge,) = await book.spend(dice.randrange(1, 30 * UNIT))
        if step % 3 == 0:
            types = "image" if dice.random() < 0.3 else None
            await book.do(_gift(book, dice.randrange(1, 40), dice.choice((1, 2, None)), types=types))
        if step % 7 == 0:
            await book.do(Refund(book.merchant_id, charge, book.key()))
        if step % 11 == 0:
            account = await book.account()
            open_grants = await book.stores.grants.open(book.merchant_id, 1)
            if open_grants:
                await book.do(EndGrant(book.merchant_id, open_grants[0].number, "by hand"))
            assert account.grants_count
        await book.do(TopUp(book.merchant_id, 20 * UNIT, book.key()))
        await book.do(Adjust(book.merchant_id, UNIT, False, book.key(), "by hand"))
        book.clock.move(micros=dice.randrange(DAY // 2))
        expected = expected_runway(await book.transfers(), 1, book.clock.now())
        runway = await book.read()
        assert (None if expected is None else expected.burn_per_day) == (
            None if runway is None else runway.burn_per_day
        )


async def test_a_merchant_with_credit_alone_was_not_left_without(ledger: ServiceParts) -> None:
    book = await Book.create(ledger, balance=None)
    await book.do(_gift(book, 20, 5))
    assert RunwayState.TOO_EARLY == (await book.forecast()).state
    await book.do(Charge(book.payer, "call", 1, book.key(), 20 * UNIT))
    book.clock.move(micros=DAY)
    assert RunwayState.USED_UP == (await book.forecast()).state
