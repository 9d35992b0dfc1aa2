"""What a server works out behind the charges: snapshots of runways, and when keys were used."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any, Final

import pytest

from farebox.core.commands import KeyKind
from farebox.service.insight.runway_snapshots import BATCH_MERCHANTS, MOVED_SECONDS, OLD_SECONDS, RunwaySnapshots
from farebox.service.people.api_keys import ParsedKey
from farebox.service.people.key_last_used import KEYS_MAX, LastUsed
from farebox.service.periodic import Periodic, running
from farebox.storage.interface import StoreUnavailable
from farebox.storage.records import RunwaySnapshot
from farebox.storage.stores import Stores
from tests.service.conftest import ServiceParts
from tests.support.ledger import add_merchant
from tests.support.watched_stores import watched_stores

DAY: Final = 24 * 3600


def snapshots_of(ledger: ServiceParts, stores: Stores, **options: Any) -> RunwaySnapshots:
    return RunwaySnapshots(stores, ledger.clock, merchant_seconds=0, **options)


class WatchedWrites:
    """Stores that record what was written to them, and are away as often as a test says."""

    def __init__(self, ledger: ServiceParts, *failures: Exception) -> None:
        self.stores = watched_stores(ledger.stores, self._call)
        self.failures = list(failures)
        self.written: list[list[int]] = []
        self.noted: list[int] = []
        self.is_done = asyncio.Event()

    async def _call(self, name: str, method: Callable[..., Awaitable[Any]], *args: Any, **named: Any) -> Any:
        is_write = name in ("runway_snapshots.put", "api_keys.note_use")
        if is_write and self.failures:
            raise self.failures.pop()
        result = await method(*args, **named)
        if name == "runway_snapshots.put":
            self.written.append([runway_snapshot.merchant_id for runway_snapshot in args[0]])
        elif name == "api_keys.note_use":
            self.noted.append(len(args[0]))
        if is_write:
            self.is_done.set()
        return result


async def test_snapshots_follow_the_book_after_a_while_and_the_time_after_longer(ledger: ServiceParts) -> None:
    watched = WatchedWrites(ledger)
    walk = snapshots_of(ledger, watched.stores)
    seeds = await ledger.seed(balance="100")

    async def round_() -> int:
        """Walk over all merchants; return how many were worked out."""
        watched.written.clear()
        assert await walk.run_once()
        return sum(map(len, watched.written))

    assert 1 == await round_()
    found = await ledger.stores.runway_snapshots.find(seeds.merchant_id)
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
    found = await ledger.stores.runway_snapshots.find(seeds.merchant_id)
    assert found is not None
    assert (7, 106_000_000) == (found.seq, found.available)


async def test_a_walk_goes_on_where_it_was_and_begins_again(ledger: ServiceParts) -> None:
    numbers = [1000 + number for number in range(BATCH_MERCHANTS + 5)]
    for number in numbers:
        await add_merchant(ledger.stores, number)
    watched = WatchedWrites(ledger)
    walk = snapshots_of(ledger, watched.stores, stretch_merchants=BATCH_MERCHANTS + 3)
    assert [False, True] == [await walk.run_once() for _ in range(2)]
    ends = [0, BATCH_MERCHANTS, BATCH_MERCHANTS + 3, len(numbers)]
    assert [numbers[start:end] for start, end in pairwise(ends)] == watched.written
    assert not await walk.run_once()
    assert 3 == len(watched.written)


@pytest.mark.parametrize("failure", [StoreUnavailable("away"), RuntimeError("unforeseen")])
async def test_what_fails_is_walked_again(
    ledger: ServiceParts, caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    await add_merchant(ledger.stores, 5)
    watched = WatchedWrites(ledger, failure)
    async with running([Periodic("snapshots", snapshots_of(ledger, watched.stores).refresh_stretch, pause_seconds=0)]):
        await watched.is_done.wait()
    assert await ledger.stores.runway_snapshots.find(5) is not None
    assert 1 == len(caplog.records)


async def test_uses_of_keys_are_written_down_once_for_all(ledger: ServiceParts) -> None:
    seeds = await ledger.seed()
    use = LastUsed(ledger.stores.api_keys, ledger.clock)
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
    watched = WatchedWrites(ledger)
    use = LastUsed(watched.stores.api_keys, ledger.clock)
    for number in range(KEYS_MAX + 5):
        use.note(ParsedKey(KeyKind.SERVICE, None, number.to_bytes(32, "big")))
    await use.write()
    assert KEYS_MAX == sum(watched.noted)
    assert max(watched.noted) < KEYS_MAX


@pytest.mark.parametrize("failure", [StoreUnavailable("away"), RuntimeError("unforeseen")])
async def test_what_can_not_be_written_is_kept(
    ledger: ServiceParts, caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    watched = WatchedWrites(ledger, failure)
    use = LastUsed(watched.stores.api_keys, ledger.clock)
    use.note(ParsedKey(KeyKind.SERVICE, None, b"\1" * 32))
    async with running([Periodic("uses of keys", use.write, pause_seconds=0)]):
        await watched.is_done.wait()
    assert [1] == watched.noted
    assert 1 == len(caplog.records)
