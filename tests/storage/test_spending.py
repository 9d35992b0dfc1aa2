"""What merchants spend at most by the day, and unusual spending: told once, however many processes see it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

import pytest

from farebox.core.alerts import AlertKind
from farebox.core.commands import Charge, CreateHold, Payer, Refund
from farebox.storage.records import SpendingPeak, UnusualSpending, User
from farebox.storage.stores import Stores
from tests.storage.engines import Engine, opened_by_several
from tests.support.ledger import ANN, BEN, NOW, SECOND, UNIT, add_merchant, add_price, digest, do, merchant_key

PROCESSES: Final = 3
KEEP_DAYS: Final = 56
QUIET: Final = 3600 * SECOND


@pytest.fixture
async def processes(engine: Engine, stores: Stores) -> AsyncIterator[Sequence[Stores]]:
    """The database as each of several processes has it open, with two merchants and a user of the first."""
    for merchant_id in (ANN, BEN):
        await add_merchant(stores, merchant_id, funds=500)
    await add_price(stores)
    await stores.users.add(User(ANN, 1, "ann@example.com", NOW))
    async with opened_by_several(engine, stores, PROCESSES) as opened:
        yield opened


async def test_a_days_peak_only_grows_and_old_ones_are_forgotten(processes: Sequence[Stores]) -> None:
    spending = processes[0].spending
    for day, amount in ((10, 5), (11, 7), (11, 6), (12, 8)):
        await spending.put_peaks([SpendingPeak(ANN, day, amount)], keep_days=KEEP_DAYS)
    await spending.put_peaks([SpendingPeak(BEN, 11, 1)], keep_days=KEEP_DAYS)
    ann = [SpendingPeak(ANN, 10, 5), SpendingPeak(ANN, 11, 7), SpendingPeak(ANN, 12, 8)]
    assert [*ann, SpendingPeak(BEN, 11, 1)] == await spending.peaks([ANN, BEN], first_day=10)
    assert ann[1:] == await spending.peaks([ANN], first_day=11)
    await spending.put_peaks([SpendingPeak(ANN, 11 + KEEP_DAYS, 1)], keep_days=KEEP_DAYS)
    assert [*ann[1:], SpendingPeak(ANN, 67, 1)] == await spending.peaks([ANN], first_day=0)


async def test_processes_that_write_peaks_at_once_keep_the_highest(processes: Sequence[Stores]) -> None:
    writes = [
        stores.spending.put_peaks([SpendingPeak(number, 10, amount) for number in (BEN, ANN)], keep_days=KEEP_DAYS)
        for amount, stores in zip((3, 9, 5), processes, strict=True)
    ]
    await asyncio.gather(*writes)
    assert [9, 9] == [peak.amount for peak in await processes[0].spending.peaks([ANN, BEN], first_day=0)]


async def test_what_a_stretch_took_is_summed_up_by_key(processes: Sequence[Stores]) -> None:
    stores = processes[0]
    for number in (2, 3):
        await stores.api_keys.create(merchant_key(number))
    two, three, nobody = Payer(ANN, digest(2)), Payer(ANN, digest(3)), Payer(ANN)
    (_, first, *_) = await do(
        stores,
        Charge(two, "image", 1, "a"),
        Charge(two, "image", 5, "b"),
        CreateHold(three, "image", 9, "c"),
        Charge(nobody, "image", 2, "d"),
        Charge(two, "image", 1, "e"),
    )
    assert first.transfer is not None
    await do(stores, Refund(ANN, first.transfer.seq, "r", None))
    by_key = await stores.spending.by_key(ANN, first_seq=first.transfer.seq, last_seq=99)
    assert [(3, 9 * UNIT), (2, 6 * UNIT), (None, 2 * UNIT)] == by_key


async def test_unusual_spending_is_told_once_until_it_was_quiet(processes: Sequence[Stores]) -> None:
    facts = {"spent": 90 * UNIT, "key_id": 2}

    async def seen(now: int) -> None:
        tells = [stores.spending.tell(ANN, facts, key_id=2, now=now, quiet_since=now - QUIET) for stores in processes]
        await asyncio.gather(*tells)

    await seen(NOW)
    await seen(NOW + QUIET)
    spending, deliveries = processes[0].spending, processes[0].deliveries
    alert, top_up_alert = await deliveries.alerts(ANN, 9)
    assert AlertKind.TOP_UP == top_up_alert.kind
    assert (AlertKind.UNUSUAL_SPENDING, NOW) == (alert.kind, alert.fired_at)
    assert facts.items() <= alert.read_facts.items()
    assert UnusualSpending(ANN, 2, 2, NOW, NOW) == await spending.find(ANN)
    await spending.see(ANN, NOW + QUIET)
    await spending.see(ANN, NOW + QUIET - 1)
    assert UnusualSpending(ANN, 2, 2, NOW, NOW + QUIET) == await spending.find(ANN)
    await seen(NOW + 2 * QUIET)
    assert [2, 1] == [alert.number for alert in await deliveries.alerts(ANN, 9)]
    await seen(NOW + 2 * QUIET + 1)
    assert [3, 2, 1] == [alert.number for alert in await deliveries.alerts(ANN, 9)]
    assert UnusualSpending(ANN, 3, 2, NOW + 2 * QUIET + 1, NOW + 2 * QUIET + 1) == await spending.find(ANN)


async def test_who_spends_unusually_is_listed_the_latest_first(processes: Sequence[Stores]) -> None:
    spending = processes[0].spending
    for merchant_id, now in ((ANN, NOW), (BEN, NOW + 5)):
        await spending.tell(merchant_id, {}, key_id=None, now=now, quiet_since=now - QUIET)
    assert [BEN, ANN] == [item.merchant_id for item in await spending.seen_since(NOW, limit=9)]
    assert [BEN] == [item.merchant_id for item in await spending.seen_since(NOW, limit=1)]
    assert [BEN] == [item.merchant_id for item in await spending.seen_since(NOW + 1, limit=9)]
    assert await spending.find(7) is None
