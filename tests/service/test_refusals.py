"""Refused requests are counted by merchant, type and reason in memory, and written down a little later."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest

from farebox.core.commands import Caller
from farebox.core.outcomes import Code
from farebox.service.errors import InvalidInput
from farebox.service.insight.refusals import KEPT_DAYS, RefusalCounts, RefusalLine, RefusalReader
from farebox.service.ledger.operations import Operations
from farebox.storage.interface import CommitUnknown, StoreUnavailable
from farebox.storage.records import RefusalCount
from farebox.web.schemas.spending import ChargeRequest, HoldRequest
from tests.service.conftest import ServiceParts
from tests.support.ledger import ANN, BEN

UTC_ZONE: Final = ZoneInfo("UTC")


class Writes:
    """Takes what is written, or fails as it is told."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.batches: list[list[RefusalCount]] = []

    async def add(self, refusals: Sequence[RefusalCount], *, lines_max: int) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.batches.append(list(refusals))

    @property
    def written(self) -> list[tuple[int, str, str, int]]:
        return sorted(
            (line.merchant_id, line.request_type, line.reason, line.requests)
            for batch in self.batches
            for line in batch
        )


def counts_to(ledger: ServiceParts, writes: Writes, **limits: Any) -> RefusalCounts:
    return RefusalCounts(writes, ledger.clock, **limits)  # type: ignore[arg-type]


async def read(ledger: ServiceParts, merchant_id: int, **wanted: Any) -> list[RefusalLine]:
    reader = RefusalReader(ledger.stores.refusals, ledger.clock)
    chosen = {"by": "day", "first": None, "last": None, "zone": "UTC", **wanted}
    return list(await reader.read(merchant_id, **chosen))


async def test_refused_charges_and_holds_are_counted_by_type_and_reason(ledger: ServiceParts) -> None:
    seeds, frozen = await ledger.seed(balance="1"), await ledger.seed()
    await ledger.operations.set_frozen(frozen.merchant_id, is_frozen=True, principal=None)
    counts = RefusalCounts(ledger.stores.refusals, ledger.clock)
    operations = Operations(ledger.committer, ledger.clock, ledger.stores.prices, on_refusal=counts.note)

    def charge(merchant: str, request_type: str, key: str, quantity: int = 1) -> ChargeRequest:
        return ChargeRequest(merchant, request_type, key, quantity=quantity)

    for number in range(2):
        await operations.charge(charge(seeds.merchant, "image", f"much-{number}", 1_000), caller=None)
    await operations.hold(HoldRequest(seeds.merchant, "image", "hold", quantity=1_000), caller=None)
    in_bulk = [charge(seeds.merchant, "no-such-type", f"bulk-{number}") for number in range(3)]
    await operations.charge_all([*in_bulk, charge(seeds.merchant, "image", "fine")], caller=None)
    await operations.charge(charge(frozen.merchant, "image", "frozen"), caller=None)
    # Nobody's: no such merchant, and a caller without a good key.
    await operations.charge(charge("mer_7ZZZZZZZZZZZZ", "image", "nobody"), caller=None)
    await operations.charge(charge(seeds.merchant, "image", "stray"), caller=Caller(b"?" * 32))
    assert [] == await read(ledger, seeds.merchant_id)
    await counts.write()
    today = int(datetime(2027, 1, 15, tzinfo=UTC).timestamp()) * 1_000_000
    assert [
        RefusalLine(today, "image", "insufficient_balance", 3),
        RefusalLine(today, "no-such-type", "unknown_type", 3),
    ] == await read(ledger, seeds.merchant_id)
    assert [RefusalLine(today, "image", "merchant_frozen", 1)] == await read(ledger, frozen.merchant_id)
    only = await read(ledger, seeds.merchant_id, request_type="image", reason="insufficient_balance", by="hour")
    assert [RefusalLine(today + 8 * 3_600_000_000, "image", "insufficient_balance", 3)] == only
    assert [] == await read(ledger, seeds.merchant_id, reason="merchant_frozen")
    assert await ledger.stores.connector.fetch("SELECT count(DISTINCT merchant_id) FROM refusal") == [(2,)]


async def test_today_is_the_readers_day(ledger: ServiceParts) -> None:
    counts = RefusalCounts(ledger.stores.refusals, ledger.clock)
    reader = RefusalReader(ledger.stores.refusals, ledger.clock)
    kolkata = ZoneInfo("Asia/Kolkata")
    # 08:00 UTC is 13:30 there, whose day began at 18:30 UTC.
    for hours_ago, requests in ((0, 1), (9, 2), (13.25, 4), (14, 8), (40, 16)):
        ledger.clock.move(-hours_ago * 3600)
        for _ in range(requests):
            counts.note(ANN, "image", Code.INSUFFICIENT_BALANCE)
        ledger.clock.move(hours_ago * 3600)
    await counts.write()
    assert {"insufficient_balance": 1} == await reader.today(ANN, UTC_ZONE)
    assert {"insufficient_balance": 7} == await reader.today(ANN, kolkata)
    assert {ANN: 7} == await reader.today_of([ANN, BEN], kolkata)
    by_day = [line.requests for line in await read(ledger, ANN, zone="Asia/Kolkata")]
    assert [16, 8, 7] == by_day
    assert 31 == sum(line.requests for line in await read(ledger, ANN, by="hour"))


async def test_a_clock_that_is_behind_is_the_reason_that_the_caller_is_told(ledger: ServiceParts) -> None:
    seeds = await ledger.seed()
    counts = RefusalCounts(ledger.stores.refusals, ledger.clock)
    operations = Operations(ledger.committer, ledger.clock, ledger.stores.prices, on_refusal=counts.note)
    await ledger.prices.set("scan", "1")
    ledger.clock.move(-5)
    outcome = await operations.charge(ChargeRequest(seeds.merchant, "scan", "key"), caller=None)
    assert Code.CLOCK_BEHIND is outcome.code
    await counts.write()
    assert ["clock_behind"] == [line.reason for line in await read(ledger, seeds.merchant_id)]


async def test_stray_types_are_bounded_in_memory(ledger: ServiceParts) -> None:
    writes = Writes()
    counts = counts_to(ledger, writes, lines_max=3, places_max=2)
    for number in range(10):
        counts.note(ANN, f"stray-{number}", Code.UNKNOWN_TYPE)
    counts.note(ANN, "image", Code.INSUFFICIENT_BALANCE)
    counts.note(ANN, "stray-1", Code.UNKNOWN_TYPE)
    counts.note(BEN, "image", Code.INSUFFICIENT_BALANCE)
    # One merchant more than there is room for goes uncounted until the next writing.
    counts.note(BEN + 1, "image", Code.INSUFFICIENT_BALANCE)
    await counts.write()
    assert [
        (ANN, "", "insufficient_balance", 1),
        (ANN, "", "unknown_type", 7),
        (ANN, "stray-0", "unknown_type", 1),
        (ANN, "stray-1", "unknown_type", 2),
        (ANN, "stray-2", "unknown_type", 1),
        (BEN, "image", "insufficient_balance", 1),
    ] == writes.written
    counts.note(BEN + 1, "image", Code.INSUFFICIENT_BALANCE)
    await counts.write()
    assert (BEN + 1, "image", "insufficient_balance", 1) in writes.written


async def test_many_lines_are_written_in_several_transactions(ledger: ServiceParts) -> None:
    writes = Writes()
    counts = counts_to(ledger, writes)
    for number in range(500):
        counts.note(ANN + number, "image", Code.INSUFFICIENT_BALANCE)
    await counts.write()
    assert 500 == sum(map(len, writes.batches))
    assert 200 == max(map(len, writes.batches))


@pytest.mark.parametrize("failure", [StoreUnavailable("away"), RuntimeError("unforeseen")])
async def test_counts_that_can_not_be_written_are_kept(ledger: ServiceParts, failure: Exception) -> None:
    writes = Writes(failure)
    counts = counts_to(ledger, writes)
    counts.note(ANN, "image", Code.INSUFFICIENT_BALANCE)
    with pytest.raises(type(failure)):
        await counts.write()
    counts.note(ANN, "image", Code.INSUFFICIENT_BALANCE)
    await counts.write()
    assert [(ANN, "image", "insufficient_balance", 2)] == writes.written


async def test_counts_whose_commit_is_unknown_are_not_counted_twice(ledger: ServiceParts) -> None:
    writes = Writes(CommitUnknown("gone"))
    counts = counts_to(ledger, writes)
    counts.note(ANN, "image", Code.INSUFFICIENT_BALANCE)
    with pytest.raises(CommitUnknown):
        await counts.write()
    await counts.write()
    assert [] == writes.written


async def test_counts_are_kept_for_some_weeks(ledger: ServiceParts) -> None:
    counts = RefusalCounts(ledger.stores.refusals, ledger.clock)
    counts.note(ANN, "image", Code.INSUFFICIENT_BALANCE)
    await counts.write()
    ledger.clock.move(KEPT_DAYS * 86_400)
    await counts.forget_old()
    first = "2027-01-15"
    assert 1 == len(await read(ledger, ANN, first=first))
    ledger.clock.move(900)
    await counts.forget_old()
    assert [] == await read(ledger, ANN, first=first)


async def test_days_that_make_no_sense_are_refused(ledger: ServiceParts) -> None:
    for wanted in ({"first": "2027-02-01"}, {"first": "2020-01-01"}, {"last": "x"}, {"zone": "Nowhere"}):
        with pytest.raises(InvalidInput):
            await read(ledger, ANN, **wanted)
    with pytest.raises(InvalidInput):
        await read(ledger, ANN, request_type="two words")
