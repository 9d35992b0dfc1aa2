"""Shortfalls on each engine: rows as the store in memory has them, lists in order, and the database's own rules."""

import asyncio
from typing import Final

import pytest
from msgspec.structs import replace

from farebox.core.commands import CaptureHold, Command, ReverseTopUp
from farebox.core.credit.shortfalls import Above, Shortfall
from farebox.core.ids import NUMBER_MAX
from farebox.core.outcomes import Code
from farebox.storage.stores import Stores
from tests.storage.engines import Engine, Refused
from tests.support.ledger import (
    ANN,
    BEN,
    NOW,
    SECOND,
    UNIT,
    add_merchant,
    add_price,
    charge,
    do,
    everything,
    faults,
    hold,
    top_up,
)
from tests.support.memory import MemoryConnector

LAST: Final = (NUMBER_MAX, NUMBER_MAX, NUMBER_MAX)
STORY: Final[tuple[Command, ...]] = (
    top_up(10, "first"),
    hold(3),
    replace(CaptureHold(ANN, 2, "capture", quantity=15), above=Above.UNCOLLECTED),
    replace(charge(2, "nothing"), above=Above.UNCOLLECTED),
    ReverseTopUp(ANN, 1, "R-1", "bounced", 6 * UNIT, is_owed=True),
    ReverseTopUp(ANN, 1, "R-2", "bounced", is_owed=True),
    top_up(7, "second"),
    charge(1, "refused"),
    top_up(9, "third"),
)


async def begin(stores: Stores) -> None:
    for merchant_id in (ANN, BEN):
        await add_merchant(stores, merchant_id)
    await add_price(stores)


@pytest.mark.parametrize("is_one_batch", [False, True])
async def test_each_engine_keeps_what_the_store_in_memory_keeps(stores: Stores, is_one_batch: bool) -> None:
    memory = MemoryConnector()
    for each in (stores, memory.stores):
        await begin(each)
        if is_one_batch:
            outcomes = await do(each, *STORY)
        else:
            outcomes = [outcome for command in STORY for outcome in await do(each, command)]
        assert [Code.OK] * 7 + [Code.MONEY_OWED, Code.OK] == [outcome.code for outcome in outcomes]
        assert [] == await faults(each)
    assert await everything(memory.stores, [ANN]) == await everything(stores, [ANN])
    rows = (await everything(stores, [ANN]))["shortfalls"]
    assert [(4, 5, 0), (5, 2, 0), (6, 6, 0), (7, 4, 0)] == [(row.seq, row.amount // UNIT, row.owed) for row in rows]


async def test_what_is_owed_is_paid_once_however_many_top_ups_come_at_once(engine: Engine, stores: Stores) -> None:
    await begin(stores)
    await do(stores, top_up(50, "first"), charge(50), ReverseTopUp(ANN, 1, "R-1", "bounced", is_owed=True))
    other = engine.stores()
    await other.connector.open()
    await asyncio.gather(*[do((stores, other)[number % 2], top_up(6, f"I-{number}")) for number in range(12)])
    await other.connector.close()
    account = await stores.accounts.find(ANN)
    assert account is not None
    assert (0, 22 * UNIT) == (account.owed, account.wallet)
    assert [] == await stores.shortfalls.owed(ANN)
    assert [] == await faults(stores)


async def test_shortfalls_are_listed_newest_first_of_one_or_of_all(stores: Stores) -> None:
    await begin(stores)
    for number in range(4):
        merchant_id = (ANN, BEN)[number % 2]
        await do(
            stores, replace(charge(1, f"c-{number}", merchant_id), above=Above.UNCOLLECTED), now=NOW + number * SECOND
        )
    found = await stores.shortfalls.page(None, before=LAST, limit=9)
    assert [3, 2, 1, 0] == [(row.shortfall.at - NOW) // SECOND for row in found]
    assert all(
        (row.shortfall.merchant_id, row.shortfall.seq) == (row.transfer.merchant_id, row.transfer.seq) for row in found
    )
    last = found[1].shortfall
    rest = await stores.shortfalls.page(None, before=(last.at, last.merchant_id, last.seq), limit=1)
    assert [found[2]] == rest
    assert [found[1], found[3]] == await stores.shortfalls.page(ANN, before=LAST, limit=9)
    assert [found[3]] == await stores.shortfalls.page(ANN, before=(last.at, last.merchant_id, last.seq), limit=9)
    assert [] == await stores.shortfalls.owed(ANN)


async def test_what_is_owed_of_a_top_up_counts_as_given_back(stores: Stores) -> None:
    await begin(stores)
    await do(stores, top_up(10, "first"), charge(7), ReverseTopUp(ANN, 1, "R-1", "bounced", 8 * UNIT, is_owed=True))
    assert 8 * UNIT == await stores.transfers.returned_of(ANN, 1)
    assert [Shortfall(ANN, 3, NOW, 5 * UNIT, 5 * UNIT, 1)] == await stores.shortfalls.owed(ANN)
    await do(stores, top_up(4, "second"))
    assert 8 * UNIT == await stores.transfers.returned_of(ANN, 1)


LIES: Final = {
    "nothing is missing": "UPDATE shortfall SET amount = 0",
    "more is owed than was missing": "UPDATE shortfall SET owed = amount + 1",
    "less than nothing is owed": "UPDATE shortfall SET owed = -1",
    "it is owed for no top-up": "UPDATE shortfall SET owed = 1, top_up_seq = NULL",
    "it is nobody's": "UPDATE shortfall SET merchant_id = 5",
    "a charge takes nothing, and nothing is missing": "UPDATE transfer SET amount = 0 WHERE uncollected IS NULL",
    "an amount is not what its price comes to": "UPDATE transfer SET uncollected = 7 WHERE unit_price IS NOT NULL",
}


@pytest.mark.parametrize("lie", LIES)
async def test_the_database_keeps_its_own_rules(engine: Engine, stores: Stores, lie: str) -> None:
    await begin(stores)
    await do(stores, top_up(1, "first"), replace(charge(3), above=Above.UNCOLLECTED))
    with pytest.raises(Refused):
        await engine.execute(LIES[lie])
    assert [] == await faults(stores)
