"""Alerts under concurrency: several processes on one database tell each user once, whoever comes first."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Final

import pytest

from farebox.core.alerts import AlertKind
from farebox.core.outcomes import Code
from farebox.core.thresholds import Threshold
from farebox.storage.records import User
from farebox.storage.stores import Stores
from tests.storage.engines import Engine, opened_by_several
from tests.support.ledger import ANN, NOW, UNIT, add_merchant, add_price, charge, do, everything, faults, top_up

PROCESSES: Final = 3
ROUNDS: Final = 8


@pytest.fixture
async def processes(engine: Engine, stores: Stores) -> AsyncIterator[Sequence[Stores]]:
    """The database as each of several processes has it open."""
    async with opened_by_several(engine, stores, PROCESSES) as opened:
        yield opened


def user(number: int) -> User:
    return User(ANN, number, f"user{number}@example.com", NOW)


async def test_of_refusals_at_once_in_several_processes_one_is_told_of(processes: Sequence[Stores]) -> None:
    stores = processes[0]
    await add_merchant(stores)
    await add_price(stores)
    await stores.users.add(user(1))
    for number in range(ROUNDS):
        await do(stores, top_up(1, f"INV-{number}"))
        await do(stores, charge(1, f"all of it {number}"))
        outcomes = await asyncio.gather(
            *(do(process, charge(1, f"{number}-{place}")) for place, process in enumerate([*processes] * 4))
        )
        assert {Code.INSUFFICIENT_BALANCE} == {outcome.code for (outcome,) in outcomes}
    alerts = await stores.deliveries.alerts(ANN, 99)
    told = Counter(alert.kind for alert in alerts)
    assert {AlertKind.TOP_UP: ROUNDS, AlertKind.USED_UP: ROUNDS, AlertKind.RECOVERED: ROUNDS - 1} == told
    assert ROUNDS == len(await stores.deliveries.mails(merchant_id=ANN, limit=99))
    assert [] == await faults(stores)


async def test_users_who_join_while_the_balance_falls_are_told_once_each(processes: Sequence[Stores]) -> None:
    stores = processes[0]
    await add_merchant(stores, thresholds=(Threshold(10 * UNIT, True),))
    await add_price(stores)
    for number in range(ROUNDS):
        # From 20 to 8 by three charges, and back again.
        await do(stores, top_up(12 if number else 20, f"INV-{number}"))
        before = {mail.alert.number for mail in await stores.deliveries.mails(merchant_id=ANN, limit=999)}
        joining = [user(10 * number + place) for place in range(PROCESSES * 2)]
        await asyncio.gather(
            *(process.users.add(one) for one, process in zip(joining, [*processes] * 2, strict=True)),
            *(do(process, charge(4, f"{number}-{place}")) for place, process in enumerate(processes)),
        )
        mails = await stores.deliveries.mails(merchant_id=ANN, limit=999)
        new = Counter(mail.recipient_id for mail in mails if mail.alert.number not in before)
        assert {one.user_id for one in joining} <= new.keys()
        assert {1} == set(new.values())
        rows = await everything(stores, [ANN])
        assert list(range(1, rows["accounts"][0].alerts_count + 1)) == [alert.number for alert in rows["alerts"]]
    assert [] == await faults(stores)
