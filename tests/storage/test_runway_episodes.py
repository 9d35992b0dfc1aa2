"""Thresholds in days left: set with their merchant, and told of once, however many processes look at once."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

import pytest

from farebox.core.alerting.runway_thresholds import DAY, LOOK_MICROS, RunwayEpisode
from farebox.core.alerts import AlertKind
from farebox.storage.alerting.runway_episodes import RunwayLook
from farebox.storage.interface import NotFound
from farebox.storage.records import User
from farebox.storage.stores import Stores
from tests.storage.engines import Engine, opened_by_several
from tests.support.ledger import ANN, BEN, NOW, UNIT, add_merchant, add_price, charge, do, top_up

PROCESSES: Final = 3
FACTS: Final = (("until", NOW + 6 * DAY), ("burn_per_day", 8 * UNIT))


@pytest.fixture
async def processes(engine: Engine, stores: Stores) -> AsyncIterator[Sequence[Stores]]:
    """The database as each of several processes has it open, with two merchants and a user of the first."""
    for merchant_id in (ANN, BEN):
        await add_merchant(stores, merchant_id, funds=50)
    await add_price(stores)
    await stores.users.add(User(ANN, 1, "ann@example.com", NOW))
    async with opened_by_several(engine, stores, PROCESSES) as opened:
        yield opened


def seen(later: int = 0, *, days: int = 6, merchant_id: int = ANN, arrived_seq: int = 0) -> RunwayLook:
    """Look at a merchant whose money lasts for so many days."""
    now = NOW + later
    return RunwayLook(merchant_id, now, now + days * DAY, arrived_seq, FACTS)


async def test_thresholds_stand_with_their_merchant(processes: Sequence[Stores]) -> None:
    stores = processes[0]
    await stores.runway_episodes.set_thresholds(ANN, [3, 14])
    merchant = await stores.merchants.find(ANN)
    assert merchant is not None
    assert [3, 14] == merchant.runway_days
    await stores.runway_episodes.set_thresholds(ANN, [])
    assert [[], []] == [merchant.runway_days for merchant, _ in await stores.merchants.page(0, 9)]
    with pytest.raises(NotFound):
        await stores.runway_episodes.set_thresholds(7, [3])


async def test_each_episode_is_told_once_however_many_processes_look(processes: Sequence[Stores]) -> None:
    await processes[0].runway_episodes.set_thresholds(ANN, [7])
    for later in range(0, 5 * LOOK_MICROS, LOOK_MICROS):
        await asyncio.gather(*[stores.runway_episodes.tell_of(seen(later)) for stores in processes])
    alert, top_up_alert = await processes[0].deliveries.alerts(ANN, 9)
    assert AlertKind.TOP_UP == top_up_alert.kind
    assert (AlertKind.RUNWAY_SHORT, NOW + LOOK_MICROS, 2) == (alert.kind, alert.fired_at, alert.number)
    assert {"days": 7, "until": NOW + 6 * DAY, "burn_per_day": 8 * UNIT}.items() <= alert.read_facts.items()
    assert [RunwayEpisode(ANN, 7, NOW, 2, 1)] == await processes[0].runway_episodes.list(ANN)
    assert ["ann@example.com"] == [mail.email for mail in await processes[0].deliveries.mails(merchant_id=ANN, limit=9)]
    assert [AlertKind.TOP_UP] == [alert.kind for alert in await processes[0].deliveries.alerts(BEN, 9)]


async def test_money_that_arrives_ends_an_episode(processes: Sequence[Stores]) -> None:
    stores = processes[0]
    await stores.runway_episodes.set_thresholds(ANN, [7])
    for later in (0, LOOK_MICROS):
        await stores.runway_episodes.tell_of(seen(later))
    await do(stores, charge(), top_up(1, "more"))
    for later in (2, 3, 4):
        await stores.runway_episodes.tell_of(seen(later * LOOK_MICROS, arrived_seq=3))
    told = [(alert.number, alert.kind) for alert in await stores.deliveries.alerts(ANN, 9)]
    assert [
        (4, AlertKind.RUNWAY_SHORT),
        (3, AlertKind.TOP_UP),
        (2, AlertKind.RUNWAY_SHORT),
        (1, AlertKind.TOP_UP),
    ] == told


async def test_a_threshold_that_is_removed_meanwhile_is_not_told(processes: Sequence[Stores]) -> None:
    stores = processes[0]
    await stores.runway_episodes.set_thresholds(ANN, [7, 14])
    await stores.runway_episodes.tell_of(seen())
    await stores.runway_episodes.set_thresholds(ANN, [3])
    assert await stores.runway_episodes.tell_of(seen(LOOK_MICROS)) is None
    assert [] == await stores.runway_episodes.list(ANN)


async def test_a_look_that_tells_nothing_leaves_no_alert(processes: Sequence[Stores]) -> None:
    stores = processes[0]
    await stores.runway_episodes.set_thresholds(ANN, [7])
    assert await stores.runway_episodes.tell_of(seen()) is None
    assert [RunwayEpisode(ANN, 7, NOW)] == await stores.runway_episodes.list(ANN)
    assert await stores.runway_episodes.tell_of(seen(LOOK_MICROS, days=7)) is None
    assert [] == await stores.runway_episodes.list(ANN)
    account = await stores.accounts.find(ANN)
    assert account is not None
    (alert,) = await stores.deliveries.alerts(ANN, 9)
    assert (AlertKind.TOP_UP, 1) == (alert.kind, account.alerts_count)
