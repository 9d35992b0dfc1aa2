"""The life of a price: it starts, is followed by another, ends, and can be withdrawn until it has started."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import pytest
from msgspec.structs import replace

from farebox.core import ids
from farebox.core.commands import TopUp
from farebox.core.outcomes import Code, Outcome
from farebox.core.prices import Price
from farebox.service.clock import Clock, SystemClock
from farebox.service.errors import Conflict, Missing, UnknownMerchant
from farebox.service.inputs import format_time
from farebox.service.ledger.committer import Committer
from farebox.service.ledger.operations import Operations
from farebox.service.operator.prices import Prices
from farebox.service.repeats import Repeats, RequestKey
from farebox.storage.interface import Fetch, NotFound
from farebox.storage.stores import Stores
from farebox.web.schemas.spending import ChargeRequest, HoldRequest
from tests.storage.engines import Engine, open_without_rows
from tests.support.ledger import ANN, BEN, NOW, SECOND, HeldClock, add_merchant, add_price, do, faults

HOUR = 3600 * SECOND
START = NOW + HOUR


@dataclass
class Parts:
    """Prices and charges over one ledger, whose merchants Ann and Ben have money."""

    stores: Stores
    prices: Prices
    operations: Operations

    async def charge(self, merchant_id: int = ANN, request_type: str = "image") -> Outcome:
        fields = ChargeRequest(ids.public_id(ids.MERCHANT, merchant_id), request_type, secrets.token_hex(8))
        return await self.operations.charge(fields, caller=None)

    async def cost(self, merchant_id: int = ANN, request_type: str = "image") -> int | str:
        """Charge a request and tell its amount, in micros, or the code of the refusal."""
        outcome = await self.charge(merchant_id, request_type)
        return outcome.code if outcome.transfer is None else outcome.transfer.amount


@asynccontextmanager
async def running(engine: Engine, clock: Clock) -> AsyncIterator[Parts]:
    stores = await open_without_rows(engine)
    committer = Committer(stores.connector, clock)
    await committer.start()
    for merchant_id in (ANN, BEN):
        await add_merchant(stores, merchant_id)
        assert (await do(stores, TopUp(merchant_id, 1_000 * SECOND, "funds"), now=clock.now()))[0].is_ok
    yield Parts(stores, Prices(stores, clock), Operations(committer, clock, stores.prices))
    await committer.close()
    await stores.connector.close()


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture
async def parts(engine: Engine, clock: HeldClock) -> AsyncIterator[Parts]:
    async with running(engine, clock) as parts:
        yield parts


async def test_an_own_price_that_ends_gives_way_to_the_default_to_the_microsecond(
    parts: Parts, clock: HeldClock
) -> None:
    await parts.prices.set("image", "0.03")
    await parts.prices.set("image", "0.01", merchant_id=ANN)
    await parts.prices.end("image", merchant_id=ANN, starts=format_time(START))
    await parts.prices.set("image", "0.02", merchant_id=ANN, starts=format_time(START + HOUR))
    found = []
    for now in (START - 1, START, START + HOUR - 1, START + HOUR):
        clock.time = now
        in_force = [price.unit_price for price in await parts.prices.in_force(ANN)]
        assert [await parts.cost()] == in_force
        found.append((*in_force, await parts.cost(BEN)))
    assert [(10_000, 30_000), (30_000, 30_000), (30_000, 30_000), (20_000, 30_000)] == found
    assert [] == await faults(parts.stores)


async def test_an_own_price_without_a_default_leaves_no_price_when_it_ends(parts: Parts, clock: HeldClock) -> None:
    await parts.prices.set("scan", "0.01", merchant_id=ANN)
    clock.move(1)
    await parts.prices.end("scan", merchant_id=ANN)
    assert Code.UNKNOWN_TYPE == await parts.cost(request_type="scan")
    assert [] == await parts.prices.in_force(ANN)
    # It is among the types all the same: what was charged by it is still to be found.
    assert ("scan",) == await parts.prices.request_types(ANN)
    assert () == await parts.prices.request_types(BEN)


async def test_a_retired_type_is_refused_by_name_with_an_own_price_too_until_it_has_a_default_again(
    parts: Parts, clock: HeldClock
) -> None:
    await parts.prices.set("image", "0.03")
    await parts.prices.set("image", "0.01", merchant_id=ANN)
    await parts.prices.end("image", starts=format_time(START))
    await parts.prices.set("image", "0.05", starts=format_time(START + HOUR))
    found = []
    for now in (START - 1, START, START + HOUR - 1, START + HOUR):
        clock.time = now
        found.append((await parts.cost(), await parts.cost(BEN), len(await parts.prices.in_force(ANN))))
    retired = (Code.TYPE_RETIRED, Code.TYPE_RETIRED, 0)
    assert [(10_000, 30_000, 1), retired, retired, (10_000, 50_000, 1)] == found
    clock.move(1)
    await parts.prices.end("image")
    refused = await parts.charge()
    assert "The request type 'image' is retired and can't be charged" == refused.message


async def test_a_hold_is_captured_by_its_price_though_the_type_is_retired_since(parts: Parts, clock: HeldClock) -> None:
    await parts.prices.set("image", "0.03")
    fields = HoldRequest(ids.public_id(ids.MERCHANT, ANN), "image", "hold", quantity=10)
    hold = (await parts.operations.hold(fields, caller=None)).hold
    assert hold is not None
    clock.move(1)
    await parts.prices.end("image")
    assert Code.TYPE_RETIRED == await parts.cost()
    captured = await parts.operations.capture(
        hold.id, idempotency_key="capture", quantity=4, amount=None, reference=None, caller=None
    )
    assert captured.transfer is not None
    assert 120_000 == captured.transfer.amount
    assert [] == await faults(parts.stores)


async def test_a_price_ends_once_and_only_where_one_is_in_force(parts: Parts, clock: HeldClock) -> None:
    with pytest.raises(Missing, match=r"'image' has no price that could end at 2027-01-15T08:00:00"):
        await parts.prices.end("image")
    with pytest.raises(UnknownMerchant):
        await parts.prices.end("image", merchant_id=ANN + 7)
    await parts.prices.set("image", "0.03", starts=format_time(START))
    with pytest.raises(Missing, match="has no price that could end at"):
        await parts.prices.end("image", starts=format_time(START - 1))
    with pytest.raises(Missing, match="has no price that could end at"):
        await parts.prices.end("image", merchant_id=ANN, starts=format_time(START + 1))
    with pytest.raises(Conflict, match=r"a price of 'image' starts at 2027-01-15T09:00:00.000000Z already"):
        await parts.prices.end("image", starts=format_time(START))
    await parts.prices.end("image", starts=format_time(START + 5))
    for later in (5, 6):
        with pytest.raises(Conflict, match=r"the price of 'image' ends at 2027-01-15T09:00:00.000005Z already"):
            await parts.prices.end("image", starts=format_time(START + later))
    # An end that is withdrawn is none: another takes its place.
    end = (await parts.prices.list(None))[-1]
    await parts.prices.withdraw(end.price_id)
    await parts.prices.end("image", starts=format_time(START + 5))
    clock.time = START + 5
    assert Code.TYPE_RETIRED == await parts.cost()


async def test_a_version_is_withdrawn_until_it_starts(parts: Parts, clock: HeldClock) -> None:
    await parts.prices.set("image", "0.03")
    for set_at, merchant_id in ((NOW, None), (START + HOUR, ANN)):
        clock.time, start = set_at, set_at + HOUR
        price = await parts.prices.set("image", "0.01", merchant_id=merchant_id, starts=format_time(start))
        for now in (start, start + 1):
            clock.time = now
            with pytest.raises(Conflict, match=f"^{ids.public_id(ids.PRICE, price.price_id)} has started: "):
                await parts.prices.withdraw(price.price_id, merchant_id=merchant_id)
        assert 10_000 == (await parts.prices.in_force(ANN))[0].unit_price
        clock.time = start - 1
        withdrawn = await parts.prices.withdraw(price.price_id, merchant_id=merchant_id)
        assert replace(price, withdrawn_at=start - 1) == withdrawn
        # The time is free for another, which is withdrawn as well.
        again = await parts.prices.set("image", "0.04", merchant_id=merchant_id, starts=format_time(start))
        await parts.prices.withdraw(again.price_id, merchant_id=merchant_id)
        clock.time = start
        # It stays what it is, when it was: nothing is done by being asked for again.
        assert withdrawn == await parts.prices.withdraw(price.price_id, merchant_id=merchant_id)
        assert [30_000] == [price.unit_price for price in await parts.prices.in_force(ANN)]
        assert 30_000 == await parts.cost()
        with pytest.raises(Missing, match="the merchant has no price of its own that has this id"):
            await parts.prices.withdraw(price.price_id, merchant_id=BEN)


async def test_a_type_that_never_had_a_price_but_withdrawn_ones_is_none(parts: Parts) -> None:
    await parts.prices.set("image", "0.03")
    typo = await parts.prices.set("imgae", "0.03", starts=format_time(START))
    assert ("image", "imgae") == await parts.prices.request_types(ANN)
    await parts.prices.withdraw(typo.price_id)
    assert ("image",) == await parts.prices.request_types(ANN)


async def test_a_version_that_a_book_has_reached_has_started(parts: Parts, clock: HeldClock) -> None:
    """The clocks of several servers differ a little: what one has charged by, another can't withdraw."""
    default = await parts.prices.set("image", "0.03", starts=format_time(NOW + SECOND))
    own = await parts.prices.set("image", "0.01", merchant_id=ANN, starts=format_time(NOW + SECOND))
    ahead = Operations(committer := Committer(parts.stores.connector, _Ahead(clock)), clock, parts.stores.prices)
    await committer.start()
    assert (await replace_operations(parts, ahead).charge()).is_ok
    await committer.close()
    for price, merchant_id in ((default, None), (own, ANN)):
        with pytest.raises(Conflict, match="has started"):
            await parts.prices.withdraw(price.price_id, merchant_id=merchant_id)
    # Another merchant's book is not there yet, so its own price can go.
    other = await parts.prices.set("image", "0.01", merchant_id=BEN, starts=format_time(NOW + SECOND))
    assert NOW == (await parts.prices.withdraw(other.price_id, merchant_id=BEN)).withdrawn_at


class _Ahead:
    """A clock that is a second ahead of another."""

    def __init__(self, clock: HeldClock) -> None:
        self._clock = clock

    def now(self) -> int:
        return self._clock.now() + SECOND


def replace_operations(parts: Parts, operations: Operations) -> Parts:
    return Parts(parts.stores, parts.prices, operations)


async def test_what_is_under_way_is_waited_for_and_the_clock_is_asked_after_it(parts: Parts) -> None:
    await add_price(parts.stores, 1)
    soon = Price(2, "image", 1, NOW + 1)
    await parts.stores.prices.add(soon, NOW)
    goes_on, is_locked = asyncio.Event(), asyncio.Event()
    lock = (
        "SELECT 1 FROM account WHERE merchant_id = $1 FOR UPDATE"
        if parts.stores.connector.dialect == "postgres"
        else ("SELECT 1 FROM account WHERE merchant_id = ?")
    )

    async def batch(fetch: Fetch) -> None:
        await fetch(lock, ANN)
        is_locked.set()
        await goes_on.wait()

    now = [NOW]
    running_batch = asyncio.create_task(parts.stores.connector.run_in_transaction(batch))
    await is_locked.wait()
    withdrawal = asyncio.create_task(parts.stores.prices.withdraw(soon, lambda: now[0]))
    await asyncio.sleep(0.1)
    assert not withdrawal.done()
    # The batch under way may have met the version, as it starts meanwhile.
    now[0] = NOW + 1
    goes_on.set()
    await running_batch
    with pytest.raises(NotFound):
        await withdrawal


async def test_nothing_is_charged_by_a_version_that_is_withdrawn_while_it_starts(engine: Engine) -> None:
    clock = SystemClock()
    async with running(engine, clock) as parts:
        await parts.prices.set("image", "0.03")
        withdrawn, margin = [], 40_000
        for _ in range(12):
            withdrawn_at = clock.now() + 30_000
            starts_at = withdrawn_at + margin
            price = await parts.prices.set("image", "0.01", starts=format_time(starts_at))
            is_over = asyncio.Event()
            charging = [asyncio.create_task(_charge_until(is_over, parts)) for _ in range(4)]
            await asyncio.sleep((withdrawn_at - clock.now()) / SECOND)
            try:
                withdrawn.append((await parts.prices.withdraw(price.price_id)).withdrawn_at is not None)
            except Conflict:
                withdrawn.append(False)
            await asyncio.sleep((starts_at - clock.now()) / SECOND + 0.01)
            is_over.set()
            outcomes = [outcome for each in await asyncio.gather(*charging) for outcome in each]
            transfers = [outcome.transfer for outcome in (*outcomes, await parts.charge())]
            is_used = any(transfer is not None and transfer.price_id == price.price_id for transfer in transfers)
            assert withdrawn[-1] != is_used
            if not withdrawn[-1]:
                await parts.prices.set("image", "0.03")
            # Nearer to the start until it is too late, and further away again: it is looked at where it turns.
            margin = margin // 2 if withdrawn[-1] else margin * 2
        assert {True, False} == set(withdrawn)
        assert [] == await faults(parts.stores)


async def _charge_until(is_over: asyncio.Event, parts: Parts) -> list[Outcome]:
    outcomes = []
    while not is_over.is_set():
        outcomes.append(await parts.charge())
    return outcomes


@pytest.mark.parametrize("merchant_id", [None, ANN])
async def test_of_two_versions_set_for_one_start_at_once_one_is(parts: Parts, merchant_id: int | None) -> None:
    results = await asyncio.gather(
        *(
            parts.prices.set("image", price, merchant_id=merchant_id, starts=format_time(START))
            for price in ("0.01", "0.02", "0.03")
        ),
        return_exceptions=True,
    )
    _told_of_all_but_one(results, "a price of 'image' starts at 2027-01-15T09:00:00.000000Z already")
    assert 1 == len(await parts.prices.list(merchant_id))


@pytest.mark.parametrize("merchant_id", [None, ANN])
async def test_of_two_who_end_a_price_at_once_one_does(parts: Parts, merchant_id: int | None) -> None:
    await parts.prices.set("image", "0.01", merchant_id=merchant_id)
    ends = (parts.prices.end("image", merchant_id=merchant_id, starts=format_time(START)) for _ in range(3))
    results = await asyncio.gather(*ends, return_exceptions=True)
    _told_of_all_but_one(results, "the price of 'image' ends at 2027-01-15T09:00:00.000000Z already")
    assert [False, True] == [price.is_end for price in await parts.prices.list(merchant_id)]


@pytest.mark.parametrize("merchant_id", [None, ANN])
async def test_an_end_that_is_asked_for_twice_at_once_under_one_key_is_made_once(
    parts: Parts, clock: HeldClock, merchant_id: int | None
) -> None:
    await parts.prices.set("image", "0.01", merchant_id=merchant_id)
    clock.move(1)
    repeats, request_key = Repeats(parts.stores, clock), RequestKey(1, "key", bytes(16))
    end = partial(parts.prices.end, "image", merchant_id=merchant_id, request_key=request_key)
    find = partial(parts.prices.get, merchant_id)
    made = await asyncio.gather(*(repeats.once(request_key, end, find) for _ in range(3)))
    assert [False, True, True] == sorted(answer.is_replay for answer in made)
    assert 1 == len({answer.thing.price_id for answer in made})
    assert [False, True] == [price.is_end for price in await parts.prices.list(merchant_id)]


async def test_merchants_with_a_price_of_their_own_in_force_are_counted(parts: Parts, clock: HeldClock) -> None:
    prices = parts.prices
    assert 0 == await prices.own_count("image", NOW)
    await prices.set("image", "0.01")
    await prices.set("image", "0.01", merchant_id=ANN)
    await prices.set("image", "0.02", merchant_id=ANN, starts=format_time(START))
    withdrawn = await prices.set("image", "0.02", merchant_id=BEN)
    await prices.set("scan", "0.02", merchant_id=BEN)
    assert 2 == await prices.own_count("image", NOW)
    later = await prices.set("image", "0.02", merchant_id=BEN, starts=format_time(START))
    await prices.withdraw(later.price_id, merchant_id=BEN)
    await prices.end("image", merchant_id=BEN, starts=format_time(START))
    assert [2, 1] == [await prices.own_count("image", at) for at in (START - 1, START)]
    versions = await prices.versions(BEN, "image")
    assert [withdrawn, replace(later, withdrawn_at=NOW)] == list(versions[:2])
    assert [True] == [price.is_end for price in versions[2:]]


def _told_of_all_but_one(results: Sequence[Price | BaseException], text: str) -> None:
    refused = [str(result) for result in results if isinstance(result, Conflict)]
    assert [text] * (len(results) - 1) == refused


async def test_a_clock_that_is_behind_does_not_take_a_type_for_retired(parts: Parts, clock: HeldClock) -> None:
    await parts.prices.set("image", "0.03")
    clock.time = START
    await parts.prices.end("image")
    assert Code.TYPE_RETIRED == await parts.cost()
    clock.time = START + 10
    await parts.prices.set("image", "0.04")
    clock.time = START + 9
    assert Code.CLOCK_BEHIND == await parts.cost()
    clock.time = START + 10
    assert 40_000 == await parts.cost()
    # A second end, or a version that was withdrawn, says nothing of the kind.
    clock.time = START + 20
    await parts.prices.end("image")
    later = await parts.prices.set("image", "0.05", starts=format_time(START + HOUR))
    await parts.prices.withdraw(later.price_id)
    assert Code.TYPE_RETIRED == await parts.cost()
