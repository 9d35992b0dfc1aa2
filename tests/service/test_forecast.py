"""How long a balance lasts: the arithmetic, the words, and what is read of a book for it."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
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
from farebox.core.outcomes import Outcome
from farebox.core.transfers import Transfer
from farebox.service.insight.burn_model import DAY, HOUR, learn
from farebox.service.insight.forecast import (
    IDLE_DAYS,
    RUNWAY_DAYS_MAX,
    RUNWAY_MAX,
    WINDOW_DAYS,
    BurnModels,
    Forecast,
    Runway,
    RunwayState,
    read_forecast,
    runway_at,
    runway_of,
    spending_history,
)
from farebox.service.insight.forecast import even_burn as even_burn_of
from farebox.storage.interface import StoreUnavailable
from tests.service.conftest import ServiceParts
from tests.support.burn import even_burn
from tests.support.ledger import NOW, HeldClock
from tests.support.watched_stores import watched_stores

UNIT: Final = 1_000_000
CENT: Final = UNIT // 100
CAP: Final = RUNWAY_DAYS_MAX
SPENDING: Final = {Kind.CHARGE: 1, Kind.CAPTURE: 1, Kind.REFUND: -1}
"""What a kind of transfer adds to what was burned, written down a second time and without balances."""


def days_of(runway: Runway) -> tuple[int | None, int | None, int | None]:
    """Count the whole days until each end: the likely one, the early and the late one."""
    ends = (runway.until, runway.until_low, runway.until_high)
    usual, low, high = (runway.whole_days(end) for end in ends)
    return usual, low, high


@pytest.mark.parametrize(
    ("burns", "spendable", "days", "low", "high"),
    [
        pytest.param((10, 10, 10), 100, 10, 10, 10, id="no doubt"),
        pytest.param((10, 20, 5), 100, 10, 5, 20, id="a range"),
        pytest.param((10, 10, 10), 109, 10, 10, 10, id="days are rounded down"),
        pytest.param((10, 10, 10), 9, 0, 0, 0, id="less than a day"),
        pytest.param((10, 20, 5), 0, 0, 0, 0, id="nothing lasts no time"),
        pytest.param((10, 20, 5), -50, 0, 0, 0, id="overspent lasts no time"),
        pytest.param((10, 20, 0), 100, 10, 5, None, id="it may have stopped"),
        pytest.param((1, 1, 1), CAP, CAP, CAP, CAP, id="a year"),
        pytest.param((1, 1, 1), CAP + 1, None, None, None, id="over a year"),
        pytest.param((1, 1, 1), 4 * 10**18, None, None, None, id="the largest balance there is"),
        pytest.param((10**18, 10**18, 10**18), 4 * 10**18, 4, 4, 4, id="the largest burn there is"),
    ],
)
def test_a_runway_ends_where_what_can_be_spent_is_burned(
    burns: tuple[int, int, int], spendable: int, days: int | None, low: int | None, high: int | None
) -> None:
    usual, fast, slow = burns
    runway = runway_of(even_burn(usual, fast=fast, slow=slow), spendable=spendable, now=NOW)
    assert (days, low, high) == days_of(runway)
    assert usual == runway.burn_per_day


@pytest.mark.parametrize(
    ("burn", "available", "lasts"),
    [(7, 10, 123_428_571_428), (3, 10, 288_000_000_000), (10, 0, 0), (10, -9, 0), (1, 10**18, RUNWAY_MAX)],
)
def test_until_is_rounded_down_to_the_microsecond(burn: int, available: int, lasts: int) -> None:
    assert NOW + lasts - 1 <= runway_of(even_burn(burn), spendable=available, now=NOW).until <= NOW + lasts


@given(st.lists(st.integers(-(10**12), 10**12), max_size=24 * 20), st.integers(-(10**18), 10**18))
def test_a_likely_range_holds_what_is_likely(spent: list[int], available: int) -> None:
    model = learn(spent, NOW // HOUR - len(spent))
    if model is None:
        days = [sum(spent[max(end - 24, 0) : end]) for end in range(len(spent), 0, -24)]
        assert len(spent) < 24 or not any(day > 0 for day in days)
    else:
        runway = runway_of(model, spendable=available, now=NOW)
        assert NOW <= runway.until_low <= runway.until <= runway.until_high <= NOW + RUNWAY_MAX
        assert runway.burn_per_day >= 1


@given(st.integers(1, 10**12), st.integers(1, 10**15))
def test_an_even_burn_lasts_as_long_as_the_forecast_says(burn: int, spendable: int) -> None:
    runway = runway_of(even_burn(burn), spendable=spendable, now=NOW)
    even = runway_at(even_burn_of(runway, spendable), spendable=spendable, now=NOW)
    assert abs(even.until - runway.until) <= max((runway.until - NOW) // 1000, DAY // spendable + 1) or (
        runway.until - NOW >= RUNWAY_MAX - DAY
    )


@pytest.mark.parametrize(
    ("by_hour", "first", "spent"),
    [
        pytest.param({}, 1000, [], id="nothing"),
        pytest.param({1000: 5}, 1000, [], id="what has not ended does not count"),
        pytest.param({997: 5, 999: 7}, 997, [5, 0, 7], id="from the first on"),
        pytest.param({990: -5, 997: 5, 998: -3}, 997, [5, -3, 0], id="a refund alone begins nothing"),
        pytest.param({1000 - 336: 5}, 1000 - 336, [5, *[0] * 335], id="two weeks ago"),
        pytest.param({1000 - 337: 5}, 1000, [], id="longer ago is forgotten"),
        pytest.param({100: 5, 998: 1}, 998, [1, 0], id="what was before a long rest is forgotten"),
    ],
)
def test_the_past_that_tells_of_what_comes(by_hour: dict[int, int], first: int, spent: list[int]) -> None:
    assert (first, spent) == spending_history(by_hour, 1000)


class Book:
    """One merchant's book, written by the committer at the time of the clock."""

    def __init__(self, ledger: ServiceParts, merchant_id: int) -> None:
        self.clock: HeldClock = ledger.clock
        self.stores = ledger.stores
        self.merchant_id = merchant_id
        self.payer = Payer(merchant_id)
        self._ledger = ledger
        self._keys_count = 0

    @classmethod
    async def create(cls, ledger: ServiceParts, *, balance: str | None = "1000000", credit_limit: str = "0") -> "Book":
        seeds = await ledger.seed(balance=balance, credit_limit=credit_limit)
        return cls(ledger, seeds.merchant_id)

    def key(self) -> str:
        self._keys_count += 1
        return f"key-{self._keys_count}"

    async def do(self, *commands: Command) -> list[Outcome]:
        outcomes = await asyncio.gather(*[self._ledger.committer.submit(command) for command in commands])
        assert [] == [outcome for outcome in outcomes if not outcome.is_ok]
        return outcomes

    async def spend(self, *amounts: int) -> list[int]:
        """Charge so many micros each; return the charges' seqs."""
        charges = [Charge(self.payer, "call", 1, self.key(), amount) for amount in amounts]
        return [seq_of(outcome) for outcome in await self.do(*charges)]

    async def account(self) -> Account:
        account = await self.stores.accounts.find(self.merchant_id)
        assert account is not None
        return account

    async def transfers(self) -> Sequence[Transfer]:
        return await self.stores.transfers.page(
            self.merchant_id, first_seq=1, last_seq=10**9, limit=10**6, newest_first=False
        )

    async def forecast(self) -> Forecast:
        """Read the forecast as of the clock's time."""
        return await read_forecast(self.stores, await self.account(), self.clock.now())

    async def read(self) -> Runway | None:
        """Read the runway as of the clock's time."""
        return (await self.forecast()).runway


def seq_of(outcome: Outcome) -> int:
    assert outcome.transfer is not None
    return outcome.transfer.seq


def expected_runway(transfers: Sequence[Transfer], spendable: int, now: int) -> Runway | None:
    """Compute a runway the slow and obvious way: look at every transfer and put it into its hour."""
    by_hour: Counter[int] = Counter()
    for item in transfers:
        if now // HOUR - item.committed_at // HOUR <= WINDOW_DAYS * 24:
            by_hour[item.committed_at // HOUR] += SPENDING.get(Kind(item.kind), 0) * item.amount
    first_hour, spent = spending_history(by_hour, now // HOUR)
    model = learn(spent, first_hour)
    return None if model is None else runway_of(model, spendable=spendable, now=now)


async def move_money(book: Book, dice: random.Random) -> None:
    """Do a few things of every kind, some of them at the same microsecond."""
    charges = await book.spend(*[dice.randrange(1, 400 * UNIT) for _ in range(dice.randrange(5))])
    kind = dice.randrange(8)
    amount = dice.randrange(1, 900 * 100) * CENT
    if kind == 0:
        await book.do(TopUp(book.merchant_id, amount, book.key()))
    elif kind == 1:
        (top_up,) = await book.do(TopUp(book.merchant_id, amount, book.key()))
        await book.do(ReverseTopUp(book.merchant_id, seq_of(top_up), book.key(), "by mistake"))
    elif kind == 2:
        await book.do(Adjust(book.merchant_id, amount, dice.random() < 0.5, book.key(), "by hand"))
    elif kind == 3 and charges:
        await book.do(Refund(book.merchant_id, charges[0], book.key()))
    elif kind in (4, 5):
        (hold,) = await book.do(CreateHold(book.payer, "call", 1, book.key(), amount))
        book.clock.move(micros=dice.randrange(600 * UNIT))
        last = CaptureHold if kind == 4 else ReleaseHold
        await book.do(last(book.merchant_id, seq_of(hold), book.key()))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("balance", "credit_limit"), [("1000000", "0"), (None, "1000000")])
async def test_what_is_read_agrees_with_a_look_at_every_transfer(
    ledger: ServiceParts, seed: int, balance: str | None, credit_limit: str
) -> None:
    book = await Book.create(ledger, balance=balance, credit_limit=credit_limit)
    dice = random.Random(seed)
    read, expected = [], []
    while book.clock.now() < NOW + 16 * DAY:
        # Three idle days in the middle; else a step of some hours, often a whole number of them.
        if NOW + 6 * DAY > book.clock.now() or book.clock.now() > NOW + 9 * DAY:
            await move_money(book, dice)
        book.clock.move(micros=dice.choice([2 * HOUR, 6 * HOUR, dice.randrange(1, 8 * HOUR)]))
        account = await book.account()
        if dice.random() < 0.1:
            await book.stores.usage.roll_up(book.merchant_id, transfers_max=dice.randrange(1, 60))
        read.append(await book.read())
        spendable = account.available + account.credit_limit
        expected.append(expected_runway(await book.transfers(), spendable, book.clock.now()))
    assert expected == read
    assert len({runway.burn_per_day for runway in read if runway is not None}) > 20


async def test_a_book_without_transfers_was_never_topped_up(ledger: ServiceParts) -> None:
    book = await Book.create(ledger, balance=None)
    book.clock.move(micros=20 * DAY)
    assert Forecast(RunwayState.NEVER_TOPPED_UP) == await book.forecast()


async def test_one_that_spends_its_credit_lasts_until_the_limit(ledger: ServiceParts) -> None:
    """A balance of -100, a limit of 500 and a burn of 10 a day: 40 days."""
    book = await Book.create(ledger, balance=None, credit_limit="500")
    for _ in range(10):
        await book.spend(10 * UNIT)
        book.clock.move(micros=DAY)
    forecast = await book.forecast()
    assert -100 * UNIT == (await book.account()).available
    assert forecast.runway is not None
    assert (RunwayState.KNOWN, 10 * UNIT, 40) == (
        *(forecast.state, forecast.runway.burn_per_day),
        forecast.runway.whole_days(forecast.runway.until),
    )


async def test_a_state_says_why_there_is_no_runway(ledger: ServiceParts) -> None:
    book = await Book.create(ledger, balance="10", credit_limit="5")
    assert Forecast(RunwayState.TOO_EARLY) == await book.forecast()
    book.clock.move(micros=HOUR)
    assert Forecast(RunwayState.NOTHING_SPENT) == await book.forecast()
    await book.spend(7 * UNIT)
    assert Forecast(RunwayState.TOO_EARLY) == await book.forecast()
    book.clock.move(micros=DAY - 1)
    assert Forecast(RunwayState.TOO_EARLY) == await book.forecast()
    book.clock.move(micros=1)
    assert (RunwayState.KNOWN, 1) == ((await book.forecast()).state, (await book.forecast()).sample_days)
    book.clock.move(micros=40 * DAY)
    assert Forecast(RunwayState.NOTHING_SPENT, None, IDLE_DAYS) == await book.forecast()
    await book.spend(8 * UNIT)
    assert Forecast(RunwayState.USED_UP) == await book.forecast()
    book.clock.move(micros=3 * DAY)
    used_up = await book.forecast()
    assert used_up.runway is not None
    assert (RunwayState.USED_UP, 0, 3) == (used_up.state, used_up.runway.until - book.clock.now(), used_up.sample_days)
    book.clock.move(micros=40 * DAY)
    assert Forecast(RunwayState.USED_UP) == await book.forecast()


async def test_a_credit_that_is_used_up_before_any_top_up_was_never_topped_up(ledger: ServiceParts) -> None:
    book = await Book.create(ledger, balance=None, credit_limit="5")
    await book.spend(5 * UNIT)
    book.clock.move(micros=2 * DAY)
    assert RunwayState.NEVER_TOPPED_UP is (await book.forecast()).state
    (top_up,) = await book.do(TopUp(book.merchant_id, 5 * UNIT, book.key()))
    await book.do(ReverseTopUp(book.merchant_id, seq_of(top_up), book.key(), "it bounced"))
    assert RunwayState.USED_UP is (await book.forecast()).state


async def test_money_that_only_came_in_has_no_runway(ledger: ServiceParts) -> None:
    book = await Book.create(ledger)
    book.clock.move(micros=3 * DAY)
    await book.do(
        TopUp(book.merchant_id, UNIT, book.key()), Adjust(book.merchant_id, 5 * UNIT, False, book.key(), "by hand")
    )
    book.clock.move(micros=3 * DAY)
    assert await book.read() is None


async def test_a_day_of_spending_is_enough(ledger: ServiceParts) -> None:
    book = await Book.create(ledger, balance="100")
    for _ in range(24):
        assert RunwayState.TOO_EARLY is (await book.forecast()).state
        await book.spend(UNIT)
        book.clock.move(micros=HOUR)
    runway = await book.read()
    assert runway is not None
    # 76 are left, and 24 a day are burned.
    assert 24 * UNIT == runway.burn_per_day
    assert (3, True) == (runway.whole_days(runway.until), runway.until_low < runway.until < runway.until_high)


async def test_a_charge_at_the_turn_of_a_day_counts_once(ledger: ServiceParts) -> None:
    book = await Book.create(ledger, balance="1000")
    for _ in range(2):
        await book.spend(10 * UNIT)
        book.clock.move(micros=DAY)
    runway = await book.read()
    assert runway is not None
    # It is charged once a day, and in the next hour again: the last charge is 97 days from now.
    assert (10 * UNIT, 97) == (runway.burn_per_day, days_of(runway)[0])


async def test_what_was_spent_before_a_long_rest_is_forgotten(ledger: ServiceParts) -> None:
    book = await Book.create(ledger, balance="700")
    await book.spend(500 * UNIT)
    book.clock.move(micros=(IDLE_DAYS + 1) * DAY)
    for _ in range(5):
        await book.spend(UNIT)
        book.clock.move(micros=DAY)
    runway = await book.read()
    assert runway is not None
    assert (UNIT, 194) == (runway.burn_per_day, days_of(runway)[0])


async def test_money_that_is_held_is_not_burned_and_not_available(ledger: ServiceParts) -> None:
    book = await Book.create(ledger, balance="100")
    await book.spend(10 * UNIT)
    await book.do(CreateHold(book.payer, "call", 1, book.key(), 60 * UNIT))
    book.clock.move(micros=DAY)
    runway = await book.read()
    assert runway is not None
    assert (10 * UNIT, 3) == (runway.burn_per_day, days_of(runway)[0])


async def test_what_comes_while_it_is_read_changes_nothing(ledger: ServiceParts) -> None:
    book = await Book.create(ledger, balance="1000")
    await book.spend(10 * UNIT)
    book.clock.move(micros=30 * HOUR)
    account, now = await book.account(), book.clock.now()
    before = await read_forecast(book.stores, account, now)
    await book.spend(300 * UNIT)
    await book.do(TopUp(book.merchant_id, 700 * UNIT, book.key()))
    assert before == await read_forecast(book.stores, account, now)


async def test_a_clock_that_was_set_back_behind_the_book_harms_nothing(ledger: ServiceParts) -> None:
    book = await Book.create(ledger, balance="1000")
    await book.spend(10 * UNIT)
    book.clock.move(micros=-20 * DAY)
    assert await book.read() is None
    book.clock.move(micros=21 * DAY)
    await book.spend(10 * UNIT)
    book.clock.move(micros=-HOUR)
    transfers, account = await book.transfers(), await book.account()
    assert expected_runway(transfers, account.available, book.clock.now()) == await book.read()


@pytest.mark.parametrize("charges", [1, 2, 300])
async def test_one_query_reads_what_a_runway_needs(ledger: ServiceParts, charges: int) -> None:
    book = await Book.create(ledger)
    await book.spend(*[UNIT] * charges)
    book.clock.move(micros=2 * DAY)
    calls: Counter[str] = Counter()

    async def count(name: str, method: Callable[..., Awaitable[Any]], *args: Any, **more: Any) -> Any:
        calls[name] += 1
        return await method(*args, **more)

    stores, account, models = watched_stores(book.stores, count), await book.account(), BurnModels(models_max=1)
    forecast = await read_forecast(stores, account, book.clock.now(), models)
    assert RunwayState.KNOWN is forecast.state
    assert {"usage.spent_by_hour": 1} == calls
    assert forecast == await read_forecast(stores, account, book.clock.now(), models)
    assert {"usage.spent_by_hour": 1} == calls
    book.clock.move(micros=HOUR)
    assert forecast != await read_forecast(stores, account, book.clock.now(), models)
    assert {"usage.spent_by_hour": 2} == calls


def test_the_models_learnt_last_are_kept_until_the_hour_ends() -> None:
    models, model = BurnModels(models_max=2), even_burn(24)
    for merchant_id in (1, 2, 1, 3):
        models.keep(merchant_id, 5, model)
    assert (model, None, model) == (models.find(1, 5), models.find(2, 5), models.find(3, 5))
    assert models.find(1, 6) is None


async def test_a_database_that_is_away_is_told(ledger: ServiceParts) -> None:
    book = await Book.create(ledger)
    account = await book.account()
    await ledger.committer.close()
    await book.stores.connector.close()
    with pytest.raises(StoreUnavailable):
        await read_forecast(book.stores, account, book.clock.now())
