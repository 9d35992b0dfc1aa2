"""Reads: balances of the same moment are one query and never stale; a key opens what its kind and times allow."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from farebox.core.commands import KeyKind
from farebox.service.errors import Forbidden, InvalidKey, Missing, Unavailable
from farebox.service.ledger.queries import Balances
from farebox.service.people import api_keys
from farebox.service.people.api_keys import ParsedKey
from farebox.storage.interface import StorageError, StoreUnavailable
from tests.service.conftest import ServiceParts

UNIT = 1_000_000
MERCHANT, SERVICE, SUPPORT = (frozenset({kind}) for kind in (KeyKind.MERCHANT, KeyKind.SERVICE, KeyKind.SUPPORT))


def _key(text: str) -> ParsedKey:
    key = api_keys.parse_key(text)
    assert key is not None
    return key


class _Recorder:
    """Notes each query for balances, and lets it wait or fail."""

    def __init__(self, ledger: ServiceParts, monkeypatch: pytest.MonkeyPatch) -> None:
        self.queries: list[set[bytes]] = []
        self.errors: list[Exception | None] = []
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self._ask = ledger.stores.connector.balances
        monkeypatch.setattr(ledger.stores.connector, "balances", self._balances)

    async def _balances(self, keys: Sequence[tuple[int, bytes]], now: int) -> Mapping[bytes, int]:
        assert len(keys) == len(set(keys))
        self.queries.append({digest for _, digest in keys})
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        found = await self._ask(keys, now)
        self.asked.set()
        await self.gate.wait()
        return found


async def test_balances_of_the_same_moment_are_one_query(ledger: ServiceParts, monkeypatch: pytest.MonkeyPatch) -> None:
    several = [await ledger.seed(balance=str(number)) for number in range(1, 4)]
    recorder = _Recorder(ledger, monkeypatch)
    keys = [_key(seeds.merchant_key) for seeds in several] * 5
    found = await asyncio.gather(*[ledger.balances.available(key) for key in keys])
    assert [UNIT, 2 * UNIT, 3 * UNIT] * 5 == found
    assert [{key.digest for key in keys}] == recorder.queries


async def test_read_begins_after_its_request_came(ledger: ServiceParts, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = await ledger.seed(balance="1")
    recorder = _Recorder(ledger, monkeypatch)
    recorder.gate.clear()
    key = _key(seeds.merchant_key)
    early = asyncio.create_task(ledger.balances.available(key))
    await recorder.asked.wait()
    # The first query has read already; what is committed now must be seen by whoever asks from now on.
    await ledger.operations.top_up(seeds.merchant_id, amount="5", reference="R", note=None, principal=None)
    late = [asyncio.create_task(ledger.balances.available(key)) for _ in range(3)]
    await asyncio.sleep(0)
    recorder.gate.set()
    assert UNIT == await early
    assert [6 * UNIT] * 3 == await asyncio.gather(*late)
    assert 2 == len(recorder.queries)


async def test_each_poll_asks_anew(ledger: ServiceParts, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = await ledger.seed(balance="1")
    recorder = _Recorder(ledger, monkeypatch)
    for _ in range(3):
        assert UNIT == await ledger.balances.available(_key(seeds.merchant_key))
    assert 3 == len(recorder.queries)


async def test_key_that_opens_nothing_has_no_balance(ledger: ServiceParts) -> None:
    seeds = await ledger.seed(balance="1")
    good, unknown = _key(seeds.merchant_key), _key(api_keys.make_key(KeyKind.MERCHANT, seeds.merchant_id))
    service = _key(seeds.service_key)
    found = await asyncio.gather(*[ledger.balances.available(key) for key in (good, unknown, service)])
    assert [UNIT, None, None] == found


@pytest.mark.parametrize(("micros", "is_open"), [(-1, True), (0, False), (1, False)])
async def test_key_opens_until_the_very_moment_it_expires(ledger: ServiceParts, micros: int, is_open: bool) -> None:
    seeds = await ledger.seed(balance="1")
    (old,) = await ledger.merchants.keys(seeds.merchant_id)
    await ledger.merchants.rotate_key(old.key_id, overlap_seconds=10)
    ledger.clock.move(10, micros=micros)
    key = _key(seeds.merchant_key)
    assert (UNIT if is_open else None) == await ledger.balances.available(key)
    if is_open:
        assert (await ledger.queries.authorize(key, MERCHANT)).merchant_id == seeds.merchant_id
    else:
        with pytest.raises(InvalidKey):
            await ledger.queries.authorize(key, MERCHANT)


async def test_failed_query_is_told_to_exactly_its_callers(
    ledger: ServiceParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = await ledger.seed(balance="1")
    recorder = _Recorder(ledger, monkeypatch)
    key = _key(seeds.merchant_key)
    for error, expected in (
        (StoreUnavailable("away"), Unavailable),
        (StorageError("no such table"), StorageError),
        (ZeroDivisionError(), ZeroDivisionError),
    ):
        recorder.errors.append(error)
        results = await asyncio.gather(*[ledger.balances.available(key) for _ in range(3)], return_exceptions=True)
        assert all(isinstance(result, expected) for result in results)
        assert UNIT == await ledger.balances.available(key)


async def test_caller_that_goes_away_disturbs_no_other(ledger: ServiceParts, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = await ledger.seed(balance="1")
    recorder = _Recorder(ledger, monkeypatch)
    recorder.gate.clear()
    recorder.errors.extend([None, StoreUnavailable("away")])
    key = _key(seeds.merchant_key)
    tasks = [asyncio.create_task(ledger.balances.available(key)) for _ in range(3)]
    await recorder.asked.wait()
    behind = asyncio.create_task(ledger.balances.available(key))
    await asyncio.sleep(0)
    tasks[0].cancel()
    behind.cancel()
    recorder.gate.set()
    results = await asyncio.gather(*tasks, behind, return_exceptions=True)
    assert [True, False, False, True] == [isinstance(result, asyncio.CancelledError) for result in results]
    assert UNIT == await ledger.balances.available(key)


async def test_balances_can_be_asked_for_from_any_task_at_any_time(ledger: ServiceParts) -> None:
    seeds = await ledger.seed(balance="1")
    balances = Balances(ledger.stores.connector, ledger.clock)

    async def poll() -> None:
        for _ in range(20):
            assert UNIT == await balances.available(_key(seeds.merchant_key))
            await asyncio.sleep(0)

    await asyncio.gather(*[poll() for _ in range(10)])


async def test_each_kind_of_key_may_do_what_its_kind_may(ledger: ServiceParts) -> None:
    seeds = await ledger.seed()
    allowed = {seeds.merchant_key: MERCHANT, seeds.service_key: SERVICE, seeds.support_key: SUPPORT}
    for text, kinds in allowed.items():
        for asked in (MERCHANT, SERVICE, SUPPORT, SERVICE | SUPPORT):
            if kinds <= asked:
                record = await ledger.queries.authorize(_key(text), asked)
                assert record.kind in kinds
            else:
                with pytest.raises(Forbidden):
                    await ledger.queries.authorize(_key(text), asked)


async def test_closed_key_is_invalid_before_it_is_of_the_wrong_kind(ledger: ServiceParts) -> None:
    await ledger.seed()
    service = await ledger.merchants.create_key(KeyKind.SERVICE, name="closed")
    await ledger.merchants.revoke_key(service.key.key_id)
    for text in (service.text, api_keys.make_key(KeyKind.SERVICE), api_keys.make_key(KeyKind.MERCHANT, 5)):
        for kinds in (MERCHANT, SERVICE, SUPPORT):
            with pytest.raises(InvalidKey) as raised:
                await ledger.queries.authorize(_key(text), kinds)
            assert "Invalid API key" == raised.value.message


async def test_account_of_nobody_is_missing(ledger: ServiceParts) -> None:
    with pytest.raises(Missing):
        await ledger.queries.account_view(5)


async def test_account_is_shown_whole(ledger: ServiceParts) -> None:
    seeds = await ledger.seed(balance="7", credit_limit="3")
    view = await ledger.queries.account_view(seeds.merchant_id)
    assert ("Northwind Imaging", "USD") == (view.merchant.name, view.account.currency)
    assert (7 * UNIT, 0, 3 * UNIT) == (view.account.available, view.account.held, view.account.credit_limit)


async def test_database_that_is_away_is_unavailable_to_every_read(
    ledger: ServiceParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = await ledger.seed()

    async def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    stores = ledger.stores
    for store, name in (
        (stores.connector, "balances"),
        (stores.api_keys, "authenticate"),
        (stores.merchants, "find"),
        (stores.accounts, "find"),
        (stores.transfers, "page"),
    ):
        monkeypatch.setattr(store, name, fail)
    key = _key(seeds.merchant_key)
    for read in (
        ledger.balances.available(key),
        ledger.queries.authorize(key, MERCHANT),
        ledger.queries.account_view(seeds.merchant_id),
    ):
        with pytest.raises(Unavailable):
            await read
