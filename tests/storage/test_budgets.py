"""Budgets of API keys on every engine: what may be spent, what goes back, and what is summed up when one is set."""

import asyncio
from random import Random
from typing import Any, Final

import pytest
from msgspec.structs import replace

from farebox.core.alerts import AlertKind
from farebox.core.commands import (
    CaptureHold,
    Charge,
    Command,
    CreateHold,
    ExpireHold,
    Payer,
    Refund,
    ReleaseHold,
    TopUp,
)
from farebox.core.credit.budgets import Budget, BudgetUnit
from farebox.core.credit.shortfalls import Above
from farebox.core.outcomes import Code, Outcome
from farebox.core.transfers import Transfer
from farebox.storage.interface import NotFound
from farebox.storage.stores import Stores
from tests.storage.engines import Engine, every_store
from tests.support.ledger import (
    ANN,
    NOW,
    SECOND,
    UNIT,
    add_merchant,
    add_price,
    book,
    digest,
    do,
    everything,
    faults,
    loaded,
    merchant_key,
)

HOUR: Final = 3600 * SECOND
DAY: Final = 24 * HOUR
FIRST: Final = NOW - 8 * HOUR
"""Midnight in UTC of the day of NOW, a Friday."""

ROLLED_UP: Final = 60
PAUSE_S: Final = 0.005
KEY: Final = 7
OTHER: Final = 8


async def a_ledger(stores: Stores) -> None:
    await add_merchant(stores, funds=1_000)
    await add_price(stores, starts_at=0)
    for number in (KEY, OTHER):
        await stores.api_keys.create(merchant_key(number))


async def limit(stores: Stores, *limits: tuple[BudgetUnit, int], zone: str = "UTC") -> None:
    await stores.budgets.put(ANN, KEY, [(unit, units * UNIT) for unit, units in limits], zone=zone)


def charged(units: int, name: str, key: int = KEY, **more: Any) -> Charge:
    return Charge(Payer(ANN, digest(key)), "image", units, name, **more)


def held(units: int, name: str, key: int = KEY) -> CreateHold:
    return CreateHold(Payer(ANN, digest(key)), "image", units, name, ttl_seconds=3600)


async def only(stores: Stores, command: Command, now: int = NOW) -> Outcome:
    return (await do(stores, command, now=now))[0]


async def moved(stores: Stores, command: Command, now: int = NOW) -> Transfer:
    outcome = await only(stores, command, now)
    assert outcome.transfer is not None, outcome.message
    return outcome.transfer


async def spent(stores: Stores) -> dict[BudgetUnit, int]:
    return {BudgetUnit(item.unit): item.spent // UNIT for item in await stores.budgets.list(ANN)}


@every_store
async def test_a_key_spends_no_more_than_its_budget_and_is_told_when_it_starts_anew(stores: Stores) -> None:
    await a_ledger(stores)
    await limit(stores, (BudgetUnit.DAY, 10))
    outcomes = await do(stores, *(charged(3, f"charge {number}") for number in range(5)))
    assert [Code.OK] * 3 + [Code.KEY_BUDGET_EXCEEDED] * 2 == [outcome.code for outcome in outcomes]
    assert (
        "The API key's budget is exceeded: 3.00 USD needed, 1.00 left of 10.00 USD per day; "
        "it starts anew at 2027-01-16T00:00:00Z"
    ) == outcomes[-1].message
    assert {BudgetUnit.DAY: 9} == await spent(stores)
    assert Code.OK is (await only(stores, charged(1, "the last one"))).code
    assert Code.OK is (await only(stores, charged(50, "another key", OTHER))).code
    assert Code.OK is (await only(stores, Charge(Payer(ANN), "image", 50, "by the id"))).code
    assert Code.KEY_BUDGET_EXCEEDED is (await only(stores, charged(1, "a second before"), FIRST + DAY - SECOND)).code
    assert Code.OK is (await only(stores, charged(10, "the next day"), FIRST + DAY)).code
    assert {BudgetUnit.DAY: 10} == await spent(stores)
    assert [] == await faults(stores)


@every_store
async def test_one_limit_starts_anew_while_others_go_on(stores: Stores) -> None:
    await a_ledger(stores)
    await limit(stores, (BudgetUnit.DAY, 90), (BudgetUnit.WEEK, 90), (BudgetUnit.TOTAL, 90))
    await stores.budgets.put(ANN, OTHER, [(BudgetUnit.DAY, 90 * UNIT)], zone="UTC")
    await do(stores, charged(3, "first"), charged(4, "of another", OTHER))
    await do(stores, charged(2, "second"), charged(1, "third"))
    found = {(item.budget_id, item.unit): item for item in await stores.budgets.list(ANN)}
    assert [6, 6, 6] == [found[KEY, unit].spent // UNIT for unit in (BudgetUnit.DAY, BudgetUnit.WEEK, BudgetUnit.TOTAL)]
    assert 4 == found[OTHER, BudgetUnit.DAY].spent // UNIT
    await do(stores, charged(5, "next day"), charged(7, "of another, next day", OTHER), now=FIRST + DAY)
    assert {
        (KEY, BudgetUnit.DAY): (FIRST + DAY, 5),
        (KEY, BudgetUnit.WEEK): (found[KEY, BudgetUnit.WEEK].starts_at, 11),
        (KEY, BudgetUnit.TOTAL): (0, 11),
        (OTHER, BudgetUnit.DAY): (FIRST + DAY, 7),
    } == {(item.budget_id, item.unit): (item.starts_at, item.spent // UNIT) for item in await stores.budgets.list(ANN)}
    assert [] == await faults(stores)


@every_store
async def test_the_limit_is_told_that_goes_on_for_longest(stores: Stores) -> None:
    await a_ledger(stores)
    await limit(stores, (BudgetUnit.DAY, 2), (BudgetUnit.WEEK, 3), (BudgetUnit.MONTH, 4), (BudgetUnit.TOTAL, 5))
    for units, words in (
        (3, "per day; it starts anew at 2027-01-16T00:00:00Z"),
        (4, "per week; it starts anew at 2027-01-18T00:00:00Z"),
        (5, "per month; it starts anew at 2027-02-01T00:00:00Z"),
        (6, "in all; it does not start anew"),
    ):
        outcome = await only(stores, charged(units, f"charge {units}"))
        assert Code.KEY_BUDGET_EXCEEDED is outcome.code
        assert (outcome.message or "").endswith(words)
    await moved(stores, charged(2, "charge"))
    assert [2] * 4 == list((await spent(stores)).values())


@every_store
async def test_a_limit_that_is_reached_is_told_once_in_its_period_over_all_batches(stores: Stores) -> None:
    await a_ledger(stores)
    await limit(stores, (BudgetUnit.DAY, 5))
    await moved(stores, charged(3, "charge"))
    for number in range(3):
        assert Code.KEY_BUDGET_EXCEEDED is (await only(stores, charged(3, f"refused {number}"))).code
        (budget,) = await stores.budgets.list(ANN)
        assert FIRST == budget.told_starts_at
    # The limit stays told, whatever is spent or goes back meanwhile.
    last = await moved(stores, charged(2, "another"))
    await moved(stores, Refund(ANN, last.seq, "refund"))
    (met,) = (await loaded(stores, charged(4, "refused again"))).budgets.values()
    assert await stores.budgets.list(ANN) == list(met)
    await only(stores, charged(4, "refused again"))
    await only(stores, charged(6, "the next day"), FIRST + DAY)
    alerts = await stores.deliveries.alerts(ANN, 9)
    assert 2 == len([alert for alert in alerts if alert.kind == AlertKind.BUDGET_REACHED])


@every_store
async def test_a_hold_counts_when_it_is_made_and_gives_back_what_it_releases(stores: Stores) -> None:
    await a_ledger(stores)
    await limit(stores, (BudgetUnit.DAY, 10), (BudgetUnit.TOTAL, 20))
    first = await moved(stores, held(6, "hold"))
    assert Code.KEY_BUDGET_EXCEEDED is (await only(stores, held(5, "more"))).code
    capture = await moved(stores, CaptureHold(ANN, first.seq, "capture", amount=2 * UNIT))
    assert {BudgetUnit.DAY: 2, BudgetUnit.TOTAL: 2} == await spent(stores)
    second, third = await moved(stores, held(5, "second")), await moved(stores, held(3, "third"))
    assert {BudgetUnit.DAY: 10, BudgetUnit.TOTAL: 10} == await spent(stores)
    await do(stores, ReleaseHold(ANN, second.seq, "release"))
    assert {BudgetUnit.DAY: 5, BudgetUnit.TOTAL: 5} == await spent(stores)
    await moved(stores, ExpireHold(ANN, third.seq), third.committed_at + HOUR)
    assert {BudgetUnit.DAY: 2, BudgetUnit.TOTAL: 2} == await spent(stores)
    await moved(stores, Refund(ANN, capture.seq, "refund", amount=UNIT), NOW + 2 * HOUR)
    assert {BudgetUnit.DAY: 1, BudgetUnit.TOTAL: 1} == await spent(stores)
    assert {KEY} == {item.key_id for item in await book(stores) if item.seq > 1}
    assert [] == await faults(stores)


@every_store
async def test_what_goes_back_of_an_earlier_period_leaves_the_present_one_as_it_is(stores: Stores) -> None:
    await a_ledger(stores)
    await limit(stores, (BudgetUnit.DAY, 10), (BudgetUnit.MONTH, 100))
    late = FIRST + DAY - 600 * SECOND
    first, second = await moved(stores, held(6, "hold"), late), await moved(stores, held(4, "second"), late)
    morning = FIRST + DAY + 600 * SECOND
    capture = await moved(stores, CaptureHold(ANN, first.seq, "capture"), morning)
    await moved(stores, charged(8, "charge"), morning)
    assert {BudgetUnit.DAY: 8, BudgetUnit.MONTH: 18} == await spent(stores)
    await moved(stores, ReleaseHold(ANN, second.seq, "release"), morning)
    await moved(stores, Refund(ANN, capture.seq, "refund"), morning)
    assert {BudgetUnit.DAY: 8, BudgetUnit.MONTH: 8} == await spent(stores)
    assert [] == await faults(stores)


@every_store
async def test_all_of_one_batch_is_counted_as_if_each_came_alone(stores: Stores) -> None:
    await a_ledger(stores)
    await limit(stores, (BudgetUnit.DAY, 10))
    outcomes = await do(
        stores,
        held(6, "hold"),
        CaptureHold(ANN, 2, "capture", amount=4 * UNIT),
        charged(6, "charge"),
        Refund(ANN, 3, "refund", amount=3 * UNIT),
        charged(3, "again"),
        charged(1, "too much"),
    )
    assert [Code.OK] * 5 + [Code.KEY_BUDGET_EXCEEDED] == [outcome.code for outcome in outcomes]
    assert {BudgetUnit.DAY: 10} == await spent(stores)
    assert [] == await faults(stores)


@every_store
async def test_what_is_collected_above_a_hold_or_after_the_fact_stays_within_the_budget(stores: Stores) -> None:
    await a_ledger(stores)
    await limit(stores, (BudgetUnit.DAY, 10))
    first = await moved(stores, held(4, "hold"))
    capture = CaptureHold(ANN, first.seq, "capture", amount=12 * UNIT, above=Above.CHARGE)
    assert Code.KEY_BUDGET_EXCEEDED is (await only(stores, capture)).code
    outcome = await only(stores, replace(capture, above=Above.UNCOLLECTED))
    assert outcome.charge is not None
    assert (6 * UNIT, 2 * UNIT, KEY) == (outcome.charge.amount, outcome.charge.uncollected, outcome.charge.key_id)
    assert {BudgetUnit.DAY: 10} == await spent(stores)
    late = await moved(stores, charged(3, "after the fact", above=Above.UNCOLLECTED))
    assert (0, 3 * UNIT) == (late.amount, late.uncollected)
    await moved(stores, Refund(ANN, outcome.charge.seq, "refund"))
    assert {BudgetUnit.DAY: 4} == await spent(stores)
    assert [] == await faults(stores)


@every_store
async def test_a_budget_that_is_set_late_knows_what_was_spent_before(stores: Stores) -> None:
    await a_ledger(stores)
    later = NOW + DAY
    await moved(stores, charged(2, "yesterday"))
    await moved(stores, charged(3, "today"), FIRST + DAY)
    pending = await moved(stores, held(4, "hold"), later)
    await moved(stores, charged(50, "another key", OTHER), later)
    await stores.usage.roll_up(ANN, transfers_max=3)
    await limit(stores, (BudgetUnit.DAY, 5), (BudgetUnit.WEEK, 20))
    assert {BudgetUnit.DAY: 7, BudgetUnit.WEEK: 9} == await spent(stores)
    assert Code.KEY_BUDGET_EXCEEDED is (await only(stores, charged(1, "none is left"), later)).code
    await moved(stores, ReleaseHold(ANN, pending.seq, "release"), later)
    await moved(stores, charged(2, "some is"), later)
    assert [] == await faults(stores)
    # In Auckland it is evening, and the day began 21 hours ago.
    await limit(stores, (BudgetUnit.DAY, 50), zone="Pacific/Auckland")
    assert {BudgetUnit.DAY: 5} == await spent(stores)
    assert [] == await faults(stores)
    await limit(stores)
    assert {} == await spent(stores)
    await moved(stores, charged(100, "without limit"), later)
    assert [] == await faults(stores)


@every_store
async def test_a_budget_that_is_set_after_midnight_holds_for_a_server_whose_clock_is_before_it(stores: Stores) -> None:
    await a_ledger(stores)
    before_midnight = FIRST + DAY - SECOND
    await moved(stores, charged(5, "by day"))
    # For whoever sets it midnight may be over: the book alone says which day it is.
    await limit(stores, (BudgetUnit.DAY, 6))
    refusal = await only(stores, charged(2, "too much"), before_midnight)
    assert Code.KEY_BUDGET_EXCEEDED is refusal.code
    await moved(stores, charged(1, "the rest of the day"), before_midnight)
    assert [] == await faults(stores)
    await moved(stores, charged(6, "a new day"), before_midnight + SECOND)
    assert {BudgetUnit.DAY: 6} == await spent(stores)
    assert [] == await faults(stores)


@every_store
@pytest.mark.parametrize("zone", ["America/Los_Angeles", "UTC", "Asia/Tokyo"])
async def test_a_budget_may_be_set_before_the_book_begins(stores: Stores, zone: str) -> None:
    await add_merchant(stores, funds=0)
    await add_price(stores, starts_at=0)
    await stores.api_keys.create(merchant_key(KEY))
    await limit(stores, *((unit, 3) for unit in BudgetUnit), zone=zone)
    assert [] == await faults(stores)
    await do(stores, TopUp(ANN, 10 * UNIT, "invoice"), now=NOW)
    await moved(stores, charged(3, "all of it"))
    assert dict.fromkeys(BudgetUnit, 3) == await spent(stores)
    assert Code.KEY_BUDGET_EXCEEDED is (await only(stores, charged(1, "more"))).code
    assert [] == await faults(stores)


@every_store
async def test_a_successor_spends_from_the_same_budget(stores: Stores) -> None:
    await a_ledger(stores)
    await limit(stores, (BudgetUnit.TOTAL, 10))
    await moved(stores, charged(6, "old"))
    await stores.api_keys.rotate(KEY, successor=merchant_key(9), expires_at=NOW + HOUR)
    assert Code.KEY_BUDGET_EXCEEDED is (await only(stores, charged(5, "new", 9))).code
    await moved(stores, charged(2, "new", 9))
    await moved(stores, charged(2, "old once more"))
    assert {BudgetUnit.TOTAL: 10} == await spent(stores)
    await stores.budgets.put(ANN, 9, [(BudgetUnit.TOTAL, 30 * UNIT)], zone="UTC")
    assert [Budget(ANN, KEY, BudgetUnit.TOTAL, 30 * UNIT, "UTC", 0, 10 * UNIT)] == await stores.budgets.list(ANN)
    await stores.budgets.put(ANN, 9, [], zone="UTC")
    assert [None] * 3 == [
        (found.budget_id if found else 0) for found in [await stores.api_keys.find(n) for n in (7, 8, 9)]
    ]
    with pytest.raises(NotFound):
        await stores.budgets.put(ANN, 99, [], zone="UTC")


@every_store
async def test_keys_have_names_that_can_be_changed(stores: Stores) -> None:
    await a_ledger(stores)
    key = replace(merchant_key(10), name="batch jobs")
    await stores.api_keys.create(key)
    assert key == await stores.api_keys.find(10)
    for name in ("nightly jobs", None):
        await stores.api_keys.rename(key, name)
        assert replace(key, name=name) == await stores.api_keys.find(10)


@every_store
async def test_usage_by_key_is_exact_however_far_it_is_rolled_up(stores: Stores) -> None:
    await a_ledger(stores)
    random = Random(4)
    commands: list[Command] = []
    for number in range(40):
        key = random.choice((KEY, OTHER))
        commands.append(charged(random.randint(1, 3), f"charge {number}", key))
    for at, command in enumerate(commands):
        await do(stores, command, now=NOW + at * 300 * SECOND)
    await do(stores, Refund(ANN, 5, "refund", amount=UNIT), now=NOW + 20_000 * SECOND)
    first = NOW // (900 * SECOND)
    stretch: dict[str, int] = {"first_quarter": first, "last_quarter": first + 100, "offset_quarters": 0}
    expected: dict[tuple[int, int], list[int]] = {}
    for item in await book(stores):
        if item.key_id is not None:
            sums = expected.setdefault((item.committed_at // (3600 * SECOND), item.key_id), [0, 0])
            sums[0] += item.amount if item.refers_to is None else 0
            sums[1] += item.amount if item.refers_to is not None else 0
    for _ in range(8):
        found = await stores.usage.buckets_by_key(ANN, **stretch, bucket_quarters=4)
        assert {place: tuple(sums) for place, sums in sorted(expected.items())} == {
            (line.bucket, line.key_id): (line.cost, line.refunded) for line in found
        }
        await stores.usage.roll_up(ANN, transfers_max=7)


async def _story(stores: Stores, seed: int) -> dict[str, list[Any]]:
    """Spend, give back and set budgets at random, roll usage up in between, and return every row."""
    await a_ledger(stores)
    random, now = Random(seed), NOW
    for number in range(60):
        now += random.choice((0, SECOND, 600 * SECOND, 5 * HOUR))
        seq = random.randint(1, max(2, len(await book(stores))))
        key = random.choice((KEY, KEY, OTHER))
        match random.randint(0, 9):
            case 0:
                units = random.sample(list(BudgetUnit), random.randint(0, 3))
                zone = random.choice(("UTC", "Asia/Kathmandu", "America/St_Johns"))
                limits = [(unit, random.randint(5, 30) * UNIT) for unit in units]
                await stores.budgets.put(ANN, key, limits, zone=zone)
            case 1:
                await stores.usage.roll_up(ANN, transfers_max=random.randint(1, 20))
            case 2 | 3:
                await do(stores, held(random.randint(1, 4), f"hold {number}", key), now=now)
            case 4:
                await do(stores, CaptureHold(ANN, seq, f"capture {number}", amount=UNIT), now=now)
            case 5:
                await do(
                    stores, random.choice((ReleaseHold(ANN, seq, f"release {number}"), ExpireHold(ANN, seq))), now=now
                )
            case 6:
                await do(stores, Refund(ANN, seq, f"refund {number}", random.choice((None, UNIT))), now=now)
            case _:
                await do(stores, *(charged(1, f"{number} {turn}", key) for turn in range(3)), now=now)
        assert [] == await faults(stores)
    return await everything(stores, [ANN])


@every_store
@pytest.mark.parametrize("seed", range(3))
async def test_whatever_is_spent_given_back_and_set_the_book_tells_what_was_spent(stores: Stores, seed: int) -> None:
    rows = await _story(stores, seed)
    assert any(transfer.key_id == KEY for transfer in rows["transfers"])


async def test_what_was_spent_is_counted_once_while_it_is_rolled_up(engine: Engine, stores: Stores) -> None:
    """A budget that is set meanwhile sums the book up as of one moment."""
    await a_ledger(stores)
    await do(stores, *(charged(1, f"charge {number}") for number in range(ROLLED_UP)))
    other = engine.stores()
    await other.connector.open()

    async def roll_up() -> None:
        while await other.usage.roll_up(ANN, transfers_max=1):
            await asyncio.sleep(0)

    rolling_up, seen = asyncio.create_task(roll_up()), set()
    while not rolling_up.done():
        await limit(stores, (BudgetUnit.DAY, 1_000))
        seen.add((await spent(stores))[BudgetUnit.DAY])
        # Asked for again at once, SQLite's lock would stay with the asker.
        await asyncio.sleep(PAUSE_S)
    await rolling_up
    await other.connector.close()
    assert {ROLLED_UP} == seen
