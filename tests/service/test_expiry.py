"""Holds whose time is over are given back once, by whoever comes first, and what fails is tried again later."""

import asyncio
from collections.abc import Sequence

import pytest

from farebox.core.commands import CaptureHold, CreateHold, ExpireHold, ExtendHold, Payer, SetClosed
from farebox.core.outcomes import Code
from farebox.service.errors import Overloaded
from farebox.service.ledger.committer import Committer
from farebox.service.ledger.expiry import Expiry
from farebox.service.periodic import Periodic, running
from farebox.storage.interface import CommitUnknown, StorageError, StoreUnavailable
from tests.service.conftest import ServiceParts
from tests.support.ledger import faults
from tests.support.server import Seeds

UNIT = 1_000_000


async def _hold(ledger: ServiceParts, seeds: Seeds, key: str, *, ttl_seconds: int = 60) -> int:
    command = CreateHold(Payer(seeds.merchant_id), "call", 1, key, amount=UNIT, ttl_seconds=ttl_seconds)
    outcome = await ledger.committer.submit(command)
    assert outcome.hold is not None
    return outcome.hold.seq


async def _balances(ledger: ServiceParts, seeds: Seeds) -> tuple[int, int]:
    account = await ledger.stores.accounts.find(seeds.merchant_id)
    assert account is not None
    return account.wallet, account.held


async def test_hold_is_given_back_at_the_moment_its_time_is_over(ledger: ServiceParts) -> None:
    seeds = await ledger.seed(balance="10")
    await _hold(ledger, seeds, "a")
    for moved, expired, balances in (
        (0, 0, (9 * UNIT, UNIT)),
        (59_999_999, 0, (9 * UNIT, UNIT)),
        (1, 1, (10 * UNIT, 0)),
        (60_000_000, 0, (10 * UNIT, 0)),
    ):
        ledger.clock.move(micros=moved)
        assert expired == await ledger.expiry.sweep()
        assert balances == await _balances(ledger, seeds)


async def test_holds_of_all_merchants_are_swept(ledger: ServiceParts) -> None:
    several = [await ledger.seed(balance="10") for _ in range(3)]
    for seeds in several:
        for number in range(4):
            await _hold(ledger, seeds, f"k{number}", ttl_seconds=60 + number)
    ledger.clock.move(62)
    assert 9 == await ledger.expiry.sweep()
    assert [(9 * UNIT, UNIT)] * 3 == [await _balances(ledger, seeds) for seeds in several]


async def test_several_processes_expire_a_hold_once(ledger: ServiceParts) -> None:
    seeds = await ledger.seed(balance="20")
    for number in range(20):
        await _hold(ledger, seeds, f"k{number}")
    ledger.clock.move(60)
    other = Committer(ledger.stores.connector, ledger.clock)
    await other.start()
    sweeps = [ledger.expiry, Expiry(ledger.stores.holds, other, ledger.clock), ledger.expiry]
    await asyncio.gather(*[expiry.sweep() for expiry in sweeps])
    await other.close()
    assert (20 * UNIT, 0) == await _balances(ledger, seeds)
    account = await ledger.stores.accounts.find(seeds.merchant_id)
    assert account is not None
    assert 41 == account.seq


async def test_capture_and_expiry_that_race_have_one_winner(ledger: ServiceParts) -> None:
    seeds = await ledger.seed(balance="10")
    seq = await _hold(ledger, seeds, "a")
    ledger.clock.move(60, micros=-1)
    captured = await ledger.committer.submit(CaptureHold(seeds.merchant_id, seq, "c"))
    ledger.clock.move(micros=1)
    assert captured.is_ok
    assert 0 == await ledger.expiry.sweep()
    late = await _hold(ledger, seeds, "b")
    ledger.clock.move(60)
    assert Code.HOLD_EXPIRED is (await ledger.committer.submit(CaptureHold(seeds.merchant_id, late, "d"))).code
    assert 1 == await ledger.expiry.sweep()
    assert (9 * UNIT, 0) == await _balances(ledger, seeds)


async def test_sweep_has_a_maximum(ledger: ServiceParts) -> None:
    seeds = await ledger.seed(balance="10")
    for number in range(7):
        await _hold(ledger, seeds, f"k{number}")
    ledger.clock.move(60)
    expiry = _sweeping(ledger, holds_max=3)
    assert [3, 3, 1, 0] == [await expiry.sweep() for _ in range(4)]


async def test_holds_of_nothing_of_a_closed_merchant_keep_no_others_from_their_end(ledger: ServiceParts) -> None:
    gone, seeds = await ledger.seed(balance=None), await ledger.seed(balance="10")
    await ledger.prices.set("ping", "0")
    for number in range(3):
        command = CreateHold(Payer(gone.merchant_id), "ping", 1, f"k{number}", ttl_seconds=59)
        assert (await ledger.committer.submit(command)).is_ok
    await _hold(ledger, seeds, "a")
    assert (await ledger.committer.submit(SetClosed(gone.merchant_id, True, "gone"))).is_ok
    ledger.clock.move(60)
    expiry = _sweeping(ledger, holds_max=2)
    assert [0.0, 0.0, None] == [await expiry.expire_due() for _ in range(3)]
    assert (10 * UNIT, 0) == await _balances(ledger, seeds)
    assert [] == await faults(ledger.stores, gone.merchant_id)


def _sweeping(ledger: ServiceParts, *, holds_max: int) -> Expiry:
    return Expiry(ledger.stores.holds, ledger.committer, ledger.clock, sweep_holds_max=holds_max)


async def test_sweeper_goes_on_at_once_while_there_is_more(ledger: ServiceParts) -> None:
    seeds = await ledger.seed(balance="10")
    for number in range(7):
        await _hold(ledger, seeds, f"k{number}")
    ledger.clock.move(60)
    expiry = _sweeping(ledger, holds_max=2)
    assert [0.0, 0.0, 0.0, None] == [await expiry.expire_due() for _ in range(4)]
    assert (10 * UNIT, 0) == await _balances(ledger, seeds)


@pytest.mark.parametrize(
    "error", [StoreUnavailable("away"), StorageError("odd"), Overloaded(), ZeroDivisionError(), CommitUnknown("lost")]
)
async def test_sweeper_outlives_every_trouble_and_pauses_before_it_tries_again(
    ledger: ServiceParts, monkeypatch: pytest.MonkeyPatch, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    seeds = await ledger.seed(balance="10")
    await _hold(ledger, seeds, "a")
    ledger.clock.move(60)
    find, errors = ledger.stores.holds.due, [error, error]

    async def due_holds(now: int, limit: int) -> Sequence[object]:
        if errors:
            raise errors.pop()
        return await find(now, limit)

    monkeypatch.setattr(ledger.stores.holds, "due", due_holds)
    async with running([Periodic("holds", ledger.expiry.expire_due, pause_seconds=0.001)]):
        async with asyncio.timeout(10):
            while await _balances(ledger, seeds) != (10 * UNIT, 0):
                await asyncio.sleep(0.001)
    assert [] == errors
    assert (10 * UNIT, 0) == await _balances(ledger, seeds)
    assert 1 == len([record for record in caplog.records if record.name == "farebox.background"])


async def test_sweeper_pauses_when_holds_can_be_seen_but_not_expired(
    ledger: ServiceParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = await ledger.seed(balance="10")
    for number in range(4):
        await _hold(ledger, seeds, f"k{number}")
    ledger.clock.move(60)
    sweeps = 0

    async def fail(*_: object) -> None:
        nonlocal sweeps
        sweeps += 1
        raise StoreUnavailable("takes no writes")

    monkeypatch.setattr(ledger.stores.connector, "transact", fail)
    expiry = _sweeping(ledger, holds_max=2)
    assert [None, None, None] == [await expiry.expire_due() for _ in range(3)]
    assert 3 == sweeps


async def test_a_hold_that_was_extended_meanwhile_is_left_by_the_sweeper(ledger: ServiceParts) -> None:
    """Whether the sweeper saw it before or after; and what was asked for at its very end comes too late."""
    seeds = await ledger.seed(balance="10")
    seq = await _hold(ledger, seeds, "a")
    due = ExpireHold(seeds.merchant_id, seq)
    ledger.clock.move(60, micros=-1)
    end = ledger.clock.now() + 60 * UNIT
    assert (await ledger.committer.submit(ExtendHold(seeds.merchant_id, seq, end))).is_ok
    ledger.clock.move(micros=1)
    assert 0 == await ledger.expiry.sweep()
    assert Code.HOLD_NOT_DUE is (await ledger.committer.submit(due)).code
    ledger.clock.move(60, micros=-1)
    late = await ledger.committer.submit(ExtendHold(seeds.merchant_id, seq, end + 60 * UNIT))
    assert Code.HOLD_EXPIRED is late.code
    assert 1 == await ledger.expiry.sweep()
    assert (10 * UNIT, 0) == await _balances(ledger, seeds)
