"""Credit that ends: which grants are told of, to whom, and once, however many processes look for them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import pytest

from farebox.core.alerts import AlertKind
from farebox.core.commands import EndGrant, GiveCredit, SettleGrants
from farebox.service.operator.grant_notices import GrantNotices
from farebox.storage.records import User
from farebox.storage.stores import Stores
from tests.storage.engines import Engine, Refused, opened_by_several
from tests.support.ledger import ANN, BEN, NOW, SECOND, UNIT, HeldClock, add_merchant, add_price, charge, do, faults

DAY: Final = 24 * 3600 * SECOND
WEEK: Final = 7 * DAY
PROCESSES: Final = 3


@pytest.fixture
async def processes(engine: Engine, stores: Stores) -> AsyncIterator[Sequence[Stores]]:
    """The database as each of several processes has it open, with two merchants."""
    for merchant_id in (ANN, BEN):
        await add_merchant(stores, merchant_id, funds=50)
    await add_price(stores)
    async with opened_by_several(engine, stores, PROCESSES) as opened:
        yield opened


async def _give(stores: Stores, number: int, days: float | None, merchant_id: int = ANN, **more: Any) -> None:
    expires_at = None if days is None else NOW + round(days * DAY)
    await do(stores, GiveCredit(merchant_id, 5 * UNIT, f"G-{number}", "welcome", expires_at=expires_at, **more))


async def _register(stores: Stores, *numbers: int, merchant_id: int = ANN) -> None:
    for number in numbers:
        await stores.users.add(User(merchant_id, number, f"user{number}@example.com", NOW))


async def _due(stores: Stores, now: int) -> list[int]:
    grants = await stores.deliveries.ending_grants(now, until=now + WEEK, lasting=WEEK, limit=99)
    return [grant.number for grant in grants]


async def test_what_ends_within_the_time_is_told_of_the_soonest_first(processes: Sequence[Stores]) -> None:
    stores = processes[0]
    await _register(stores, 1)
    for number, days in enumerate((30, 20, None, 6.9, 7), 1):
        await _give(stores, number, days)
    # The fourth lasts less than a week in all; the fifth lasts just that.
    assert [5] == await _due(stores, NOW)
    assert [] == await _due(stores, NOW + 7 * DAY)
    assert [2] == await _due(stores, NOW + 13 * DAY)
    assert [] == await _due(stores, NOW + 13 * DAY - 1)
    assert [2] == await _due(stores, NOW + 20 * DAY - 1)
    assert [1] == await _due(stores, NOW + 23 * DAY)
    assert [2, 1] == [
        grant.number
        for grant in await stores.deliveries.ending_grants(NOW + 15 * DAY, until=NOW + 40 * DAY, lasting=WEEK, limit=99)
    ]


async def test_nothing_is_told_of_what_is_spent_ended_or_to_come(processes: Sequence[Stores]) -> None:
    stores = processes[0]
    await _register(stores, 1)
    await _give(stores, 1, 7)
    await _give(stores, 2, 7)
    await _give(stores, 3, 20, starts_at=NOW + 10 * DAY)
    await _give(stores, 4, 7)
    await do(stores, charge(5), EndGrant(ANN, 2, "by mistake"))
    assert [4] == await _due(stores, NOW)
    assert [] == await _due(stores, NOW + 13 * DAY)
    await do(stores, SettleGrants(ANN), now=NOW + 10 * DAY)
    assert [3] == await _due(stores, NOW + 13 * DAY)


async def test_without_a_user_it_waits_for_the_first_who_is_registered(processes: Sequence[Stores]) -> None:
    stores = processes[0]
    await _give(stores, 1, 7)
    await _register(stores, 2, merchant_id=BEN)
    assert [] == await _due(stores, NOW)
    await _register(stores, 1)
    assert [1] == await _due(stores, NOW)


async def test_every_user_is_told_once_by_whichever_process_is_first(processes: Sequence[Stores]) -> None:
    stores, clock = processes[0], HeldClock()
    await _register(stores, 1, 2)
    await _register(stores, 3, merchant_id=BEN)
    for number in range(1, 9):
        await _give(stores, number, 7)
    await _give(stores, 1, 7, merchant_id=BEN)
    notices = [GrantNotices(process.deliveries, clock, days=7, grants_max=4) for process in [*processes] * 3]
    for _ in range(3):
        await asyncio.gather(*(one.owe_due() for one in notices), do(stores, charge(1, f"charge {_}")))
    mails = await stores.deliveries.mails(merchant_id=ANN, limit=99)
    told = await stores.deliveries.alerts(ANN, 99)
    alerts = [alert for alert in told if alert.kind == AlertKind.CREDIT_ENDS]
    assert 8 == len(alerts)
    assert 8 == len({alert.transfer_seq for alert in alerts})
    assert 16 == len(mails)
    assert {1, 2} == {mail.recipient_id for mail in mails}
    assert [3] == [mail.recipient_id for mail in await stores.deliveries.mails(merchant_id=BEN, limit=99)]
    account = await stores.accounts.find(ANN)
    assert account is not None
    assert len(told) == account.alerts_count
    assert [] == await _due(stores, NOW)
    assert [] == await faults(stores)


async def test_the_database_holds_one_alert_of_a_grant(engine: Engine, processes: Sequence[Stores]) -> None:
    stores = processes[0]
    await _register(stores, 1)
    await _give(stores, 1, 7)
    (grant,) = await stores.deliveries.ending_grants(NOW, until=NOW + WEEK, lasting=WEEK, limit=9)
    for _ in range(2):
        await stores.deliveries.tell_of_end(grant, NOW)
    (alert,) = [alert for alert in await stores.deliveries.alerts(ANN, 9) if alert.kind == AlertKind.CREDIT_ENDS]
    facts = {"grant": 1, "left": grant.left, "expires_at": grant.expires_at}
    assert facts.items() <= alert.read_facts.items()
    with pytest.raises(Refused):
        await engine.execute(
            "INSERT INTO alert (merchant_id, number, posted, fired_at, transfer_seq, kind) "
            f"VALUES ({ANN}, 99, 0, {NOW}, {grant.transfer_seq}, 3)"
        )


async def test_no_days_are_no_notices(processes: Sequence[Stores]) -> None:
    stores = processes[0]
    await _register(stores, 1)
    await _give(stores, 1, 0.5)
    assert None is await GrantNotices(stores.deliveries, HeldClock(), days=0).owe_due()
    assert [AlertKind.TOP_UP] == [alert.kind for alert in await stores.deliveries.alerts(ANN, 9)]
