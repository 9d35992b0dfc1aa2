"""How long a balance lasts: the arithmetic, the words, and what is read of a book for it."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

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
from farebox.service.insight.forecast import (
    DAYS_MAX,
    RUNWAY_DAYS_MAX,
    RUNWAY_MAX,
    Forecast,
    Runway,
    RunwayState,
    read_forecast,
    runway_of,
)
from farebox.storage.interface import StoreUnavailable
from farebox.storage.stores import Stores
from tests.service.conftest import ServiceParts
from tests.support.ledger import NOW, HeldClock
from tests.support.watched_stores import watched_stores

UNIT: Final = 1_000_000
CENT: Final = UNIT // 100
HOUR: Final = 3_600_000_000
DAY: Final = 24 * HOUR
CAP: Final = RUNWAY_DAYS_MAX
SPENDING: Final = {Kind.CHARGE: 1, Kind.CAPTURE: 1, Kind.REFUND: -1}
"""What a kind of transfer adds to what was burned, written down a second time and without balances."""


def days_of(runway: Runway) -> tuple[int | None, int | None, int | None]:
    """Count the whole days until each end: the usual one, the early and the late one."""
    ends = (runway.until, runway.until_low, runway.until_high)
    usual, low, high = (runway.whole_days(end) for end in ends)
    return usual, low, high


@pytest.mark.parametrize(
    ("burns", "spendable", "days", "low", "high", "per_day"),
    [
        pytest.param([10], 100, 10, 10, 10, 10, id="one day stands for all"),
        pytest.param([10], 109, 10, 10, 10, 10, id="days are rounded down"),
        pytest.param([10], 9, 0, 0, 0, 10, id="less than a day"),
        pytest.param([10], 0, 0, 0, 0, 10, id="nothing lasts no time"),
        pytest.param([10], -50, 0, 0, 0, 10, id="overspent lasts no time"),
        pytest.param([10, 20], 100, 5, 5, 10, 20, id="of two middle days the dearer"),
        pytest.param([10, 20, 30, 40], 1200, 40, 30, 120, 30, id="quartiles of four"),
        pytest.param([10, 20, 30, 40, 50], 1200, 40, 30, 60, 30, id="quartiles of five"),
        pytest.param([50, 10, 40, 20, 30], 1200, 40, 30, 60, 30, id="in any order"),
        pytest.param(range(1, 15), 88, 11, 8, 22, 8, id="quartiles of fourteen"),
        pytest.param([10, 10, 10, 10, 10_000], 100, 10, 10, 10, 10, id="one dear day changes nothing"),
        pytest.param([0, 10, 20], 100, 10, 5, None, 10, id="idle days since the first count"),
        pytest.param([10, 0, 0, 0], 100, 10, 10, 10, 10, id="idle days before the first do not"),
        pytest.param([10, -7, 0], 100, 10, 10, 10, 10, id="days of refunds before the first do not"),
        pytest.param([-90, 10, 20], 100, 10, 5, None, 10, id="a day of refunds is idle"),
        pytest.param([0, 0, 0, 10], 30, 10, 3, None, 3, id="mostly idle: the mean, half rounded up"),
        pytest.param([0, 0, 0, 0, 10], 30, 15, 15, None, 2, id="mostly idle: never longer at a fast pace"),
        pytest.param([*[0] * 13, 1], 30, 30, 30, None, 1, id="mostly idle: at least a micro"),
        pytest.param([1], CAP, CAP, CAP, CAP, 1, id="a year"),
        pytest.param([1], CAP + 1, None, None, None, 1, id="over a year"),
        pytest.param([1], 4 * 10**18, None, None, None, 1, id="the largest balance there is"),
    ],
)
def test_runway_of_a_sample(
    burns: Sequence[int], spendable: int, days: int | None, low: int | None, high: int | None, per_day: int
) -> None:
    runway = runway_of(burns, spendable=spendable, now=NOW)
    assert runway is not None
    assert (days, low, high) == days_of(runway)
    assert per_day == runway.burn_per_day


@pytest.mark.parametrize("burns", [[], [0], [0] * 14, [-5], [0, -5, 0]])
@pytest.mark.parametrize("available", [-1, 0, 10**18])
def test_without_burn_there_is_no_runway(burns: list[int], available: int) -> None:
    assert runway_of(burns, spendable=available, now=NOW) is None


@pytest.mark.parametrize(
    ("burn", "available", "lasts"),
    [(7, 10, 123_428_571_428), (3, 10, 288_000_000_000), (10, 0, 0), (10, -9, 0), (1, 10**18, RUNWAY_MAX)],
)
def test_until_is_rounded_down_to_the_microsecond(burn: int, available: int, lasts: int) -> None:
    runway = runway_of([burn], spendable=available, now=NOW)
    assert runway is not None
    assert NOW + lasts == runway.until


@given(st.lists(st.integers(-(10**12), 10**12), max_size=DAYS_MAX), st.integers(-(10**18), 10**18))
def test_a_likely_range_holds_the_usual_day(burns: list[int], available: int) -> None:
    runway = runway_of(burns, spendable=available, now=NOW)
    if runway is None:
        assert not any(burn > 0 for burn in burns)
    else:
        assert NOW <= runway.until_low <= runway.until <= runway.until_high <= NOW + RUNWAY_MAX
        assert min(burn for burn in (*burns, 1) if burn > 0) <= runway.burn_per_day <= max(burns)


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
        return await read_forecast(self.stores.transfers, self.stores.grants, await self.account(), self.clock.now())

    async def read(self) -> Runway | None:
        """Read the runway as of the clock's time."""
        return (await self.forecast()).runway


def seq_of(outcome: Outcome) -> int:
    assert outcome.transfer is not None
    return outcome.transfer.seq


def expected_runway(transfers: Sequence[Transfer], spendable: int, now: int) -> Runway | None:
    """Compute a runway the slow and obvious way: look at every transfer and put it into its day."""
    if not transfers:
        return None
    age = now - transfers[0].committed_at
    if age < HOUR:
        return None
    days = min(age // DAY, DAYS_MAX)
    burns = [0] * max(days, 1)
    for item in transfers:
        days_ago = (now - item.committed_at) // DAY
        if item.committed_at <= now and days_ago < len(burns):
            burns[days_ago] += SPENDING.get(Kind(item.kind), 0) * item.amount
    if days == 0:
        # Half a micro is rounded up, by numbers that are whole.
        burns = [(2 * burns[0] * DAY + age) // (2 * age)]
    return runway_of(burns, spendable=spendable, now=now)


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
    await book.spend(7 * UNIT)
    book.clock.move(micros=HOUR - 1)
    assert Forecast(RunwayState.TOO_EARLY) == await book.forecast()
    book.clock.move(micros=1)
    assert RunwayState.KNOWN is (await book.forecast()).state
    book.clock.move(micros=40 * DAY)
    assert Forecast(RunwayState.NOTHING_SPENT, None, DAYS_MAX) == await book.forecast()
    await book.spend(8 * UNIT)
    assert Forecast(RunwayState.USED_UP, None, DAYS_MAX) == replace(await book.forecast(), runway=None)
    book.clock.move(micros=40 * DAY)
    assert Forecast(RunwayState.USED_UP, None, DAYS_MAX) == await book.forecast()


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


async def test_a_young_book_is_measured_from_its_first_hour_on(ledger: ServiceParts) -> None:
    book = await Book.create(ledger, balance="100")
    await book.spend(UNIT)
    book.clock.move(micros=HOUR - 1)
    assert await book.read() is None
    book.clock.move(micros=1)
    runway = await book.read()
    assert runway is not None
    # One unit in an hour is 24 in a day.
    assert (24 * UNIT, 4) == (runway.burn_per_day, days_of(runway)[0])
    book.clock.move(micros=11 * HOUR)
    runway = await book.read()
    assert runway is not None
    assert (2 * UNIT, 49) == (runway.burn_per_day, days_of(runway)[0])


async def test_a_charge_at_the_turn_of_a_day_counts_once(ledger: ServiceParts) -> None:
    book = await Book.create(ledger, balance="1000")
    for _ in range(2):
        book.clock.move(micros=DAY)
        await book.spend(10 * UNIT)
    runway = await book.read()
    assert runway is not None
    assert (10 * UNIT, 98, 98, 98) == (runway.burn_per_day, *days_of(runway))


async def test_what_was_spent_before_the_sample_is_forgotten(ledger: ServiceParts) -> None:
    book = await Book.create(ledger, balance="700")
    await book.spend(500 * UNIT)
    for _ in range(DAYS_MAX):
        book.clock.move(micros=DAY)
        await book.spend(UNIT)
    book.clock.move(micros=DAY - 1)
    runway = await book.read()
    assert runway is not None
    assert (UNIT, 186) == (runway.burn_per_day, days_of(runway)[0])
    book.clock.move(micros=(DAYS_MAX - 1) * DAY + 1)
    assert await book.read() is None


async def test_money_that_is_held_is_not_burned_and_not_available(ledger: ServiceParts) -> None:
    book = await Book.create(ledger, balance="100")
    await book.spend(10 * UNIT)
    await book.do(CreateHold(book.payer, "call", 1, book.key(), 60 * UNIT))
    book.clock.move(micros=12 * HOUR)
    runway = await book.read()
    assert runway is not None
    assert (20 * UNIT, 1) == (runway.burn_per_day, days_of(runway)[0])


async def test_what_comes_while_it_is_read_changes_nothing(ledger: ServiceParts) -> None:
    book = await Book.create(ledger, balance="1000")
    await book.spend(10 * UNIT)
    book.clock.move(micros=12 * HOUR)
    account, now = await book.account(), book.clock.now()
    before = await read_forecast(book.stores.transfers, book.stores.grants, account, now)
    await book.spend(300 * UNIT)
    await book.do(TopUp(book.merchant_id, 700 * UNIT, book.key()))
    assert before == await read_forecast(book.stores.transfers, book.stores.grants, account, now)


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


@pytest.mark.parametrize("charges", [1, 2, 15, 16, 300, 5000])
async def test_the_number_of_queries_grows_as_the_logarithm_of_the_book(ledger: ServiceParts, charges: int) -> None:
    book = await Book.create(ledger)
    per_day = max(charges // 20, 1)
    spent = 0
    book.clock.move(micros=HOUR)
    while spent < charges:
        count = min(per_day, charges - spent)
        await book.spend(*[UNIT] * count)
        spent += count
        book.clock.move(micros=DAY)
    account = await book.account()
    assert charges + 1 == account.seq
    counting = CountingStores(book.stores)
    # A charge just a day ago would no longer count.
    forecast = await read_forecast(counting.stores.transfers, counting.stores.grants, account, book.clock.now() - 1)
    assert RunwayState.KNOWN is forecast.state
    assert {"transfers.at", "transfers.funding_after"} == set(counting.calls)
    assert counting.calls.total() <= 2 + account.seq.bit_length()
    assert counting.seqs_max <= DAYS_MAX + 1


async def test_a_database_that_is_away_is_told(ledger: ServiceParts) -> None:
    book = await Book.create(ledger)
    account = await book.account()
    await ledger.committer.close()
    await book.stores.connector.close()
    with pytest.raises(StoreUnavailable):
        await read_forecast(book.stores.transfers, book.stores.grants, account, book.clock.now())
