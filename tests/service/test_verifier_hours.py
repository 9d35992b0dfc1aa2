"""The audit names sums of hours that are not what their transfers come to, however the book is read."""

from collections.abc import AsyncIterator
from typing import Final

import pytest

from farebox.core.commands import Refund
from farebox.service.operator.verifier import Verifier
from farebox.storage import records
from farebox.storage.stores import Stores
from tests.storage.engines import Engine
from tests.support.ledger import ANN, BEN, NOW, UNIT, add_merchant, add_price, charge, do, faults

HOUR: Final = 3_600_000_000
FIRST: Final = NOW // HOUR
BEFORE: Final = "what was spent in the hour from 2027-01-15T08:00Z"


@pytest.fixture
async def stores(engine: Engine) -> AsyncIterator[Stores]:
    """An open store with books of 12 transfers in two hours, of which 9 are rolled up; Ben's are none."""
    stores = engine.stores()
    await stores.connector.migrate(NOW)
    await engine.clear()
    await stores.connector.open()
    await add_price(stores)
    for merchant_id in (ANN, BEN):
        await add_merchant(stores, merchant_id, funds=99)
        for hour in range(2):
            at = NOW + hour * HOUR
            await do(stores, *[charge(2, f"{hour} {n}", merchant_id=merchant_id) for n in range(5)], now=at)
    await do(stores, Refund(ANN, 3, "back", UNIT), now=NOW + HOUR)
    await stores.usage.roll_up(ANN, transfers_max=9)
    await stores.connector.close()
    await stores.connector.open()
    yield stores
    await stores.connector.close()


async def _faults(stores: Stores) -> list[tuple[int, str]]:
    return [(fault.merchant_id, fault.text) async for fault in Verifier(stores.connector).faults(None)]


async def test_hours_that_are_rolled_up_in_part_are_clean(stores: Stores) -> None:
    assert [] == await _faults(stores)
    await stores.usage.roll_up(ANN, transfers_max=99)
    assert [] == await _faults(stores)


@pytest.mark.parametrize("book_transfers_max", [0, records.BOOK_TRANSFERS_MAX])
@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (
            "UPDATE usage_hour SET spent = spent + 1000000 WHERE hour = {first}",
            "11.00 is kept, its transfers come to 10.00",
        ),
        ("DELETE FROM usage_hour WHERE hour = {first}", "0.00 is kept, its transfers come to 10.00"),
        ("DELETE FROM usage_hour", "0.00 is kept, its transfers come to 10.00; hours that differ besides: 1"),
        (
            "UPDATE usage_hour_mark SET seq = 5",
            "10.00 is kept, its transfers come to 8.00; hours that differ besides: 1",
        ),
    ],
)
async def test_hours_that_differ_are_named(
    engine: Engine,
    stores: Stores,
    monkeypatch: pytest.MonkeyPatch,
    book_transfers_max: int,
    statement: str,
    told: str,
) -> None:
    monkeypatch.setattr(records, "BOOK_TRANSFERS_MAX", book_transfers_max)
    await engine.execute(statement.format(first=FIRST))
    expected = f"{BEFORE}: {told}"
    assert [(ANN, f"seq 12: {expected}")] == await _faults(stores)
    assert [expected] == await faults(stores)


async def test_an_hour_of_a_book_that_is_not_rolled_up_is_named(engine: Engine, stores: Stores) -> None:
    await engine.execute(f"INSERT INTO usage_hour (merchant_id, hour, spent) VALUES ({BEN}, {FIRST}, 5)")
    assert [(BEN, f"seq 11: {BEFORE}: 0.000005 is kept, its transfers come to 0.00")] == await _faults(stores)


async def test_a_mark_behind_the_last_transfer_is_named(engine: Engine, stores: Stores) -> None:
    await stores.usage.roll_up(ANN, transfers_max=99)
    await engine.execute("UPDATE usage_hour_mark SET seq = 13")
    expected = "seq 12: what was spent by hour is summed up to seq 13, where there is no transfer yet"
    assert [(ANN, expected)] == await _faults(stores)


async def test_sums_that_were_deleted_with_their_mark_are_made_anew(engine: Engine, stores: Stores) -> None:
    before = await stores.usage.spent_by_hour(ANN, first_hour=0, last_hour=NOW)
    await engine.execute("UPDATE usage_hour SET spent = 7")
    await engine.execute("DELETE FROM usage_hour")
    await engine.execute("DELETE FROM usage_hour_mark")
    assert [] == await _faults(stores)
    for _ in range(2):
        assert before == await stores.usage.spent_by_hour(ANN, first_hour=0, last_hour=NOW)
        await stores.usage.roll_up(ANN, transfers_max=99)
    assert [] == await _faults(stores)
