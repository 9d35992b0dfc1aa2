"""What a server works out behind the charges: snapshots of runways, and when keys were used."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import pytest

from farebox.core.commands import KeyKind
from farebox.service.insight.runway_snapshots import BATCH_MERCHANTS, MOVED_SECONDS, OLD_SECONDS, RunwaySnapshots
from farebox.service.people.api_keys import ParsedKey
from farebox.service.people.key_last_used import KEYS_MAX, LastUsed
from farebox.service.periodic import Periodic, running
from farebox.storage.interface import StoreUnavailable
from farebox.storage.office import Office
from farebox.storage.rows import RunwaySnapshot
from tests.service.conftest import ServiceParts
from tests.support.ledger import add_merchant

DAY: Final = 24 * 3600


@pytest.fixture
def office(ledger: ServiceParts) -> Office:
    return Office(ledger.store)


def snapshots_of(ledger: ServiceParts, office: Office, **options: Any) -> RunwaySnapshots:
    return RunwaySnapshots(ledger.store, office, ledger.clock, merchant_seconds=0, **options)


class Watched(Office):
    """An office that records what it wrote, and is away as often as a test says."""

    def __init__(self, ledger: ServiceParts, *failures: Exception) -> None:
        super().__init__(ledger.store)
        self.failures = list(failures)
        self.written: list[list[int]] = []
        self.noted: list[int] = []
        self.is_done = asyncio.Event()

    async def put_runway_snapshots(self, runway_snapshots: Sequence[RunwaySnapshot]) -> None:
        if self.failures:
            raise self.failures.pop()
        await super().put_runway_snapshots(runway_snapshots)
        self.written.append([runway_snapshot.merchant_id for runway_snapshot in runway_snapshots])
        self.is_done.set()

    async def note_keys(self, keys: Sequence[tuple[int | None, bytes]], at: int) -> None:
        if self.failures:
            raise self.failures.pop()
        await super().note_keys(keys, at)
        self.noted.append(len(keys))
        self.is_done.set()


async def test_snapshots_follow_the_book_after_a_while_and_the_time_after_longer(ledger: ServiceParts) -> None:
    office = Watched(ledger)
    walk = snapshots_of(ledger, office)
    seeds = await ledger.seed(balance="100")

    async def round_() -> int:
        """Walk over all merchants; return how many were worked out."""
        office.written.clear()
        assert await walk.run_once()
        return sum(map(len, office.written))

    assert 1 == await round_()
    found = await office.runway_snapshot(seeds.merchant_id)
    assert (
        RunwaySnapshot(seeds.merchant_id, 1, 100_000_000, ledger.clock.now(), None, None, ledger.clock.now()) == found
    )
    assert 0 == await round_()
    for _ in range(5):
        ledger.clock.move(DAY)
        await ledger.operations.top_up(
            seeds.merchant_id, amount="1", reference=str(ledger.clock.now()), note=None, principal=None
        )
    assert 1 == await round_()
    await ledger.operations.top_up(seeds.merchant_id, amount="1", reference="more", note=None, principal=None)
    ledger.clock.move(MOVED_SECONDS - 1)
    assert 0 == await round_()
    ledger.clock.move(1)
    assert 1 == await round_()
    ledger.clock.move(OLD_SECONDS - 1)
    assert 0 == await round_()
    ledger.clock.move(1)
    assert 1 == await round_()
    found = await office.runway_snapshot(seeds.merchant_id)
    assert found is not None
    assert (7, 106_000_000) == (found.seq, found.available)


async def test_a_walk_goes_on_where_it_was_and_begins_again(ledger: ServiceParts) -> None:
    numbers = [1000 + number for number in range(BATCH_MERCHANTS + 5)]
    for number in numbers:
        await add_merchant(ledger.store, number)
    office = Watched(ledger)
    walk = snapshots_of(ledger, office, stretch_merchants=BATCH_MERCHANTS + 3)
    assert [False, True] == [await walk.run_once() for _ in range(2)]
    ends = [0, BATCH_MERCHANTS, BATCH_MERCHANTS + 3, len(numbers)]
    assert [numbers[start:end] for start, end in pairwise(ends)] == office.written
    assert not await walk.run_once()
    assert 3 == len(office.written)


@pytest.mark.parametrize("failure", [StoreUnavailable("away"), RuntimeError("unforeseen")])
async def test_what_fails_is_walked_again(
    ledger: ServiceParts, caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    await add_merchant(ledger.store, 5)
    office = Watched(ledger, failure)
    async with running([Periodic("snapshots", snapshots_of(ledger, office).refresh_stretch, pause_seconds=0)]):
        await office.is_done.wait()
    assert await office.runway_snapshot(5) is not None
    assert 1 == len(caplog.records)


async def test_uses_of_keys_are_written_down_once_for_all(ledger: ServiceParts, office: Office) -> None:
    seeds = await ledger.seed()
    use = LastUsed(office, ledger.clock)
    merchant = (await ledger.merchants.keys(seeds.merchant_id))[0]
    staff = next(key for key in await ledger.merchants.keys(None) if key.kind == KeyKind.SERVICE)
    for _ in range(3):
        use.note(ParsedKey(KeyKind.MERCHANT, seeds.merchant_id, merchant.digest))
        use.note(ParsedKey(KeyKind.SERVICE, None, staff.digest))
    await use.write()
    assert ledger.clock.now() == (await ledger.merchants.keys(seeds.merchant_id))[0].used_at
    used = {key.key_id: key.used_at for key in await ledger.merchants.keys(None)}
    assert {staff.key_id: ledger.clock.now()} == {number: at for number, at in used.items() if at is not None}
    ledger.clock.move(1)
    await use.write()
    assert ledger.clock.now() - 1_000_000 == (await ledger.merchants.keys(seeds.merchant_id))[0].used_at


async def test_so_many_keys_are_noted_and_no_more(ledger: ServiceParts) -> None:
    office = Watched(ledger)
    use = LastUsed(office, ledger.clock)
    for number in range(KEYS_MAX + 5):
        use.note(ParsedKey(KeyKind.SERVICE, None, number.to_bytes(32, "big")))
    await use.write()
    assert KEYS_MAX == sum(office.noted)
    assert max(office.noted) < KEYS_MAX


@pytest.mark.parametrize("failure", [StoreUnavailable("away"), RuntimeError("unforeseen")])
async def test_what_can_not_be_written_is_kept(
    ledger: ServiceParts, caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    office = Watched(ledger, failure)
    use = LastUsed(office, ledger.clock)
    use.note(ParsedKey(KeyKind.SERVICE, None, b"\1" * 32))
    async with running([Periodic("uses of keys", use.write, pause_seconds=0)]):
        await office.is_done.wait()
    assert [1] == office.noted
    assert 1 == len(caplog.records)
