"""Users who want a kind by mail, and destinations that are on and want it, are owed it once by several processes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import pytest
from msgspec.structs import astuple

from farebox.core.accounts import Account
from farebox.core.alerts import MAILED_TO_OWNERS, Alert, AlertKind, kind_set
from farebox.core.commands import SetFrozen
from farebox.storage import sql
from farebox.storage.columns import DESTINATION
from farebox.storage.destination_records import Channel, Destination, DestinationState
from farebox.storage.interface import Fetch, NotFound
from farebox.storage.records import Role, User
from farebox.storage.stores import Stores
from tests.storage.engines import Engine, opened_by_several
from tests.support.ledger import ANN, BEN, NOW, add_merchant, do

EVERY_KIND: Final = kind_set(*AlertKind)
PROCESSES: Final = 2


@pytest.fixture
async def processes(engine: Engine, stores: Stores) -> AsyncIterator[Sequence[Stores]]:
    await add_merchant(stores)
    await add_merchant(stores, BEN)
    async with opened_by_several(engine, stores, PROCESSES) as opened:
        yield opened


async def _register(stores: Stores, number: int, role: Role, mail_kinds: int, merchant_id: int = ANN) -> None:
    await stores.users.add(User(merchant_id, number, f"user{number}@example.com", NOW, role, mail_kinds))


async def _add(stores: Stores, number: int, merchant_id: int | None, **fields: Any) -> None:
    given = {"channel": Channel.WEBHOOK, "kinds": EVERY_KIND, "state": DestinationState.ON, "user_id": None, **fields}
    is_disabled = given["state"] == DestinationState.DISABLED
    destination = Destination(
        destination_id=number,
        merchant_id=merchant_id,
        name=f"destination {number}",
        url=f"https://hooks.example/{number}",
        secret=b"secret",
        secret_before=None,
        secret_before_until=None,
        created_at=NOW,
        disabled_at=NOW if is_disabled else None,
        **given,
    )
    places = ", ".join(f"${place}" for place, _ in enumerate(DESTINATION.names, 1))
    statement = f"INSERT INTO destination ({', '.join(DESTINATION.names)}) VALUES ({places})"

    async def write(fetch: Fetch) -> None:
        await fetch(sql.in_dialect(statement, stores.connector.dialect), *astuple(destination))

    await stores.connector.run_in_transaction(write)


async def _tell(stores: Stores, kind: AlertKind, merchant_id: int = ANN) -> list[tuple[int, int]]:
    """Tell a kind; list the channels and recipients that are owed it."""

    async def due(_: Fetch, __: Account) -> dict[str, Any]:
        return {}

    alert = await stores.deliveries.tell(merchant_id, kind, NOW, due)
    assert alert is not None
    statement = "SELECT channel, recipient_id FROM delivery WHERE merchant_id = $1 AND alert_number = $2 ORDER BY 1, 2"
    in_dialect = sql.in_dialect(statement, stores.connector.dialect)
    return [tuple(row) for row in await stores.connector.fetch(in_dialect, merchant_id, alert.number)]


async def test_users_are_mailed_what_they_chose_and_owners_some_kinds_anyway(processes: Sequence[Stores]) -> None:
    stores = processes[0]
    await _register(stores, 1, Role.OWNER, 0)
    await _register(stores, 2, Role.MEMBER, 0)
    await _register(stores, 3, Role.VIEWER, kind_set(AlertKind.TOP_UP))
    await _register(stores, 4, Role.MEMBER, EVERY_KIND, BEN)
    for kind in AlertKind:
        expected = [(Channel.EMAIL, 1)] if MAILED_TO_OWNERS >> kind & 1 else []
        if kind == AlertKind.TOP_UP:
            expected.append((Channel.EMAIL, 3))
        if kind in (AlertKind.LOW_BALANCE, AlertKind.CREDIT_ENDS):
            # The database wants a threshold of the one, and no second of the other.
            continue
        assert expected == await _tell(stores, kind), kind


async def test_destinations_that_are_on_and_want_a_kind_are_told(processes: Sequence[Stores]) -> None:
    stores = processes[0]
    await _add(stores, 1, ANN)
    await _add(stores, 2, ANN, channel=Channel.CHAT, user_id=7, kinds=kind_set(AlertKind.TOP_UP))
    await _add(stores, 3, ANN, state=DestinationState.OFF)
    await _add(stores, 4, ANN, state=DestinationState.DISABLED)
    await _add(stores, 5, BEN)
    await _add(stores, 6, None)
    await _add(stores, 7, None, kinds=0)
    assert [(Channel.WEBHOOK, 1), (Channel.WEBHOOK, 6), (Channel.CHAT, 2)] == await _tell(stores, AlertKind.TOP_UP)
    assert [(Channel.WEBHOOK, 1), (Channel.WEBHOOK, 6)] == await _tell(stores, AlertKind.FROZEN)
    assert [(Channel.WEBHOOK, 5), (Channel.WEBHOOK, 6)] == await _tell(stores, AlertKind.FROZEN, BEN)
    # That something waits for approval is the operator's own affair.
    await _register(stores, 1, Role.OWNER, EVERY_KIND)
    assert [(Channel.WEBHOOK, 6)] == await _tell(stores, AlertKind.APPROVAL_WAITING)


async def test_a_batch_owes_the_same_as_a_telling_of_its_own(processes: Sequence[Stores]) -> None:
    stores = processes[0]
    await _register(stores, 1, Role.OWNER, EVERY_KIND)
    await _register(stores, 2, Role.OWNER, 0)
    for number, merchant_id in ((1, ANN), (2, BEN), (3, None)):
        await _add(stores, number, merchant_id)
    await do(stores, SetFrozen(ANN, True), SetFrozen(BEN, True))
    rows = await stores.connector.fetch("SELECT merchant_id, channel, recipient_id FROM delivery ORDER BY 1, 2, 3")
    expected = [(ANN, 1, 1), (ANN, 2, 1), (ANN, 2, 3), (BEN, 2, 2), (BEN, 2, 3)]
    assert expected == [tuple(row) for row in rows]


async def test_what_several_processes_find_at_once_one_tells(processes: Sequence[Stores]) -> None:
    stores = processes[0]

    async def find(process: Stores) -> Alert | None:
        async def due(fetch: Fetch, account: Account) -> dict[str, Any] | None:
            assert ANN == account.merchant_id
            found = await fetch("SELECT number FROM alert WHERE kind = 12")
            return None if found else {"spent": 1}

        return await process.deliveries.tell(ANN, AlertKind.UNUSUAL_SPENDING, NOW, due)

    told = await asyncio.gather(*(find(process) for process in [*processes] * 4))
    (alert,) = [alert for alert in told if alert is not None]
    assert [alert] == await stores.deliveries.alerts(ANN, 9)
    account = await stores.accounts.find(ANN)
    assert account is not None
    assert (1, 1) == (alert.number, account.alerts_count)
    assert 1 == alert.read_facts["spent"]


async def test_nothing_is_told_of_a_merchant_that_is_not_there(processes: Sequence[Stores]) -> None:
    with pytest.raises(NotFound):
        await _tell(processes[0], AlertKind.FROZEN, 5)
