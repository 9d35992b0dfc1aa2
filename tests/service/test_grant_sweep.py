"""Grants start and end within a second though nothing else happens, once over several processes."""

import asyncio
from collections.abc import Sequence

import pytest

from farebox.core.accounts import Kind
from farebox.core.commands import GiveCredit
from farebox.core.credit.grants import GrantState
from farebox.core.ids import SEQ_MAX
from farebox.service.errors import Overloaded
from farebox.service.ledger.committer import Committer
from farebox.service.ledger.expiry import SWEEP_SECONDS
from farebox.service.ledger.grant_sweep import GrantSweep
from farebox.service.periodic import Periodic, running
from farebox.storage.interface import CommitUnknown, StorageError, StoreUnavailable
from tests.service.conftest import ServiceParts
from tests.support.server import Seeds

UNIT = 1_000_000
MINUTE = 60 * UNIT


async def _give(
    ledger: ServiceParts, seeds: Seeds, number: int, *, starts_in: int | None = None, ends_in: int | None = None
) -> None:
    now = ledger.clock.now()
    starts_at, expires_at = (None if time is None else now + time for time in (starts_in, ends_in))
    command = GiveCredit(seeds.merchant_id, UNIT, f"G-{number}", "welcome", starts_at, expires_at)
    assert (await ledger.committer.submit(command)).is_ok


async def _given(ledger: ServiceParts, seeds: Seeds) -> int:
    account = await ledger.stores.accounts.find(seeds.merchant_id)
    assert account is not None
    assert account.wallet == account.given + 10 * UNIT
    return account.given // UNIT


async def _kinds(ledger: ServiceParts, seeds: Seeds) -> list[Kind]:
    page = await ledger.stores.transfers.page(
        seeds.merchant_id, first_seq=2, last_seq=SEQ_MAX, limit=99, newest_first=False
    )
    return [Kind(transfer.kind) for transfer in page]


def _sweep(ledger: ServiceParts, committer: Committer | None = None, *, grants_max: int = 500) -> GrantSweep:
    return GrantSweep(ledger.stores.grants, committer or ledger.committer, ledger.clock, sweep_grants_max=grants_max)


def test_a_sweep_comes_within_a_second() -> None:
    assert SWEEP_SECONDS < 1


async def test_a_grant_starts_and_ends_at_its_moments(ledger: ServiceParts) -> None:
    seeds = await ledger.seed(balance="10")
    await _give(ledger, seeds, 1, starts_in=MINUTE, ends_in=2 * MINUTE)
    await _give(ledger, seeds, 2, ends_in=3 * MINUTE)
    sweep = _sweep(ledger)
    for moved, settled, given in (
        (MINUTE - 1, 0, 1),
        (1, 1, 2),
        (MINUTE - 1, 0, 2),
        (1, 1, 1),
        (MINUTE, 1, 0),
        (MINUTE, 0, 0),
    ):
        ledger.clock.move(micros=moved)
        assert settled == await sweep.sweep()
        assert given == await _given(ledger, seeds)
    assert [Kind.GRANT, Kind.GRANT, Kind.GRANT_EXPIRY, Kind.GRANT_EXPIRY] == await _kinds(ledger, seeds)


async def test_what_was_missed_while_no_server_ran_is_made_up_for(ledger: ServiceParts) -> None:
    seeds = await ledger.seed(balance="10")
    await _give(ledger, seeds, 1, starts_in=MINUTE, ends_in=2 * MINUTE)
    ledger.clock.move(3 * 3_600)
    assert 1 == await _sweep(ledger).sweep()
    assert [Kind.GRANT, Kind.GRANT_EXPIRY] == await _kinds(ledger, seeds)
    grant = await ledger.stores.grants.find(seeds.merchant_id, 1)
    assert grant is not None
    assert (GrantState.ENDED, grant.expires_at, 0) == (grant.state, grant.ended_at, grant.left)


async def test_several_processes_settle_a_grant_once(ledger: ServiceParts) -> None:
    several = [await ledger.seed(balance="10") for _ in range(3)]
    for seeds in several:
        for number in range(5):
            await _give(ledger, seeds, number, starts_in=MINUTE, ends_in=2 * MINUTE)
    other = Committer(ledger.stores.connector, ledger.clock)
    await other.start()
    for given in (5, 0):
        ledger.clock.move(60)
        await asyncio.gather(*[_sweep(ledger, committer).sweep() for committer in (ledger.committer, other, other)])
        assert [given] * 3 == [await _given(ledger, seeds) for seeds in several]
    await other.close()
    for seeds in several:
        assert [*[Kind.GRANT] * 5, *[Kind.GRANT_EXPIRY] * 5] == await _kinds(ledger, seeds)


async def test_a_sweep_goes_on_at_once_while_there_is_more(ledger: ServiceParts) -> None:
    several = [await ledger.seed(balance="10") for _ in range(3)]
    for seeds in several:
        for number in range(2):
            await _give(ledger, seeds, number, ends_in=MINUTE)
    ledger.clock.move(60)
    # A book is settled as a whole, whichever of its grants were seen.
    sweep = _sweep(ledger, grants_max=2)
    found = [await sweep.settle_due() for _ in range(4)]
    assert {0.0, None} == set(found)
    assert None is found[-1]
    assert [0] * 3 == [await _given(ledger, seeds) for seeds in several]


@pytest.mark.parametrize(
    "error", [StoreUnavailable("away"), StorageError("odd"), Overloaded(), ZeroDivisionError(), CommitUnknown("lost")]
)
async def test_a_sweep_outlives_every_trouble_and_pauses_before_it_tries_again(
    ledger: ServiceParts, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    seeds = await ledger.seed(balance="10")
    await _give(ledger, seeds, 1, ends_in=MINUTE)
    ledger.clock.move(60)
    find, errors = ledger.stores.grants.due, [error, error]

    async def due(now: int, limit: int) -> Sequence[int]:
        if errors:
            raise errors.pop()
        return await find(now, limit)

    monkeypatch.setattr(ledger.stores.grants, "due", due)
    async with running([Periodic("grants", _sweep(ledger).settle_due, pause_seconds=0.001)]):
        async with asyncio.timeout(10):
            while await _given(ledger, seeds):
                await asyncio.sleep(0.001)
    assert [] == errors


async def test_a_sweep_pauses_when_grants_can_be_seen_but_not_settled(
    ledger: ServiceParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = await ledger.seed(balance="10")
    for number in range(4):
        await _give(ledger, seeds, number, ends_in=MINUTE)
    ledger.clock.move(60)

    async def fail(*_: object) -> None:
        raise StoreUnavailable("takes no writes")

    monkeypatch.setattr(ledger.stores.connector, "transact", fail)
    sweep = _sweep(ledger, grants_max=2)
    assert [None, None, None] == [await sweep.settle_due() for _ in range(3)]
