"""Counts of refusals: several processes add up, and no stray type makes the table grow without a bound."""

import asyncio
from typing import Final

import pytest

from farebox.service.insight.quarters import BUCKET_QUARTERS
from farebox.storage.interface import StoreUnavailable
from farebox.storage.records import OTHER_TYPES, RefusalCount
from farebox.storage.stores import Stores
from tests.storage.engines import Engine
from tests.support.ledger import ANN, BEN, NOBODY

QUARTER: Final = 2_000_000
LINES_MAX: Final = 4


def refused(request_type: str, requests: int = 1, **fields: object) -> RefusalCount:
    values = {"merchant_id": ANN, "quarter": QUARTER, "reason": "insufficient_balance", **fields}
    return RefusalCount(request_type=request_type, requests=requests, **values)  # type: ignore[arg-type]


async def counted(stores: Stores, merchant_id: int = ANN, *, by: int = 1) -> list[tuple[int, str, str, int]]:
    """Read all counts of a merchant."""
    found = await stores.refusals.buckets(
        merchant_id, first_quarter=0, last_quarter=2 * QUARTER, offset_quarters=0, bucket_quarters=by
    )
    return [(item.quarter, item.request_type, item.reason, item.requests) for item in found]


async def test_counts_of_one_quarter_type_and_reason_add_up(stores: Stores) -> None:
    await stores.refusals.add([refused("image", 2), refused("chat", reason="merchant_frozen")], lines_max=LINES_MAX)
    later = [refused("image", 3), refused("image", quarter=QUARTER + 1), refused("image", 7, merchant_id=BEN)]
    await stores.refusals.add(later, lines_max=LINES_MAX)
    assert [
        (QUARTER, "chat", "merchant_frozen", 1),
        (QUARTER, "image", "insufficient_balance", 5),
        (QUARTER + 1, "image", "insufficient_balance", 1),
    ] == await counted(stores)
    day = BUCKET_QUARTERS["day"]
    bucket = QUARTER // day
    assert [
        (bucket, "chat", "merchant_frozen", 1),
        (bucket, "image", "insufficient_balance", 6),
    ] == await counted(stores, by=day)
    wanted = {"first_quarter": QUARTER, "last_quarter": QUARTER}
    assert {"insufficient_balance": 5, "merchant_frozen": 1} == await stores.refusals.by_reason(ANN, **wanted)
    assert {ANN: 6, BEN: 7} == await stores.refusals.by_merchant([ANN, BEN, NOBODY], **wanted)


async def test_types_beyond_the_bound_are_counted_together_by_their_reason(stores: Stores) -> None:
    for number in range(20):
        await stores.refusals.add([refused(f"stray-{number}", reason="unknown_type")], lines_max=LINES_MAX)
    await stores.refusals.add([refused("image", 5), refused("stray-0", 2, reason="unknown_type")], lines_max=LINES_MAX)
    found = await counted(stores)
    assert LINES_MAX == len([1 for _, request_type, _, _ in found if request_type])
    assert (QUARTER, OTHER_TYPES, "insufficient_balance", 5) in found
    assert (QUARTER, OTHER_TYPES, "unknown_type", 20 - LINES_MAX) in found
    assert (QUARTER, "stray-0", "unknown_type", 3) in found
    assert 27 == sum(requests for *_, requests in found)


async def test_several_processes_at_once_lose_nothing_and_keep_the_bound(engine: Engine, stores: Stores) -> None:
    other = engine.stores()
    await other.connector.open()

    async def count(which: Stores, name: str) -> None:
        for number in range(10):
            lines = [refused(f"{name}-{number}"), refused("image"), refused("image", reason="unknown_type")]
            await which.refusals.add(lines, lines_max=LINES_MAX)

    await asyncio.gather(count(stores, "one"), count(other, "other"))
    await other.connector.close()
    found = await counted(stores)
    assert 60 == sum(requests for *_, requests in found)
    assert LINES_MAX == len([1 for _, request_type, _, _ in found if request_type])
    assert 20 == sum(requests for _, _, reason, requests in found if reason == "unknown_type")


async def test_what_was_counted_before_a_quarter_is_forgotten(stores: Stores) -> None:
    lines = [refused("image", quarter=QUARTER + number) for number in range(3)]
    await stores.refusals.add(lines, lines_max=LINES_MAX)
    await stores.refusals.forget(QUARTER + 2)
    assert [QUARTER + 2] == [quarter for quarter, *_ in await counted(stores)]


async def test_counts_of_a_store_that_is_not_open_are_unavailable(engine: Engine, stores: Stores) -> None:
    await stores.connector.close()
    wanted = {"first_quarter": 0, "last_quarter": QUARTER}
    for call in (
        lambda: stores.refusals.add([refused("image")], lines_max=LINES_MAX),
        lambda: stores.refusals.by_reason(ANN, **wanted),
        lambda: stores.refusals.by_merchant([ANN], **wanted),
        lambda: stores.refusals.forget(QUARTER),
        lambda: counted(stores),
    ):
        with pytest.raises(StoreUnavailable):
            await call()
    await stores.connector.open()
