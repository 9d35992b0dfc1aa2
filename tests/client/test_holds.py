"""A hold that lasts as long as a block is captured if the block succeeds, and released in every other case."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from farebox_client import (
    AsyncFarebox,
    AsyncHold,
    Capture,
    CaptureExceedsHold,
    Farebox,
    HoldExpired,
    InsufficientBalance,
    Release,
    Transfer,
    new_key,
)
from tests.client.conftest import Site, on_each_engine
from tests.support.misbehaving import Fault


class Broken(Exception):
    """The work failed."""


def connect(site: Site) -> AsyncFarebox:
    return AsyncFarebox(site.proxy.url, key=site.seeds.service_key, timeout=2)


async def fail_within(hold: AsyncHold, work: Callable[[str], Awaitable[object]] | None = None) -> None:
    """Do some work with a hold's id within its block, and then fail."""
    async with hold:
        if work is not None:
            await work(hold.hold_id)
        raise Broken


def fields(site: Site, reference: str) -> dict[str, Any]:
    return {"merchant": site.seeds.merchant, "type": "call", "amount": "3", "reference": reference}


async def task_that_holds(farebox: AsyncFarebox, site: Site, reference: str) -> asyncio.Task[None]:
    """Start a task, and return it once it is in the block of a hold, where it stays."""
    is_in_block = asyncio.Event()

    async def work() -> None:
        async with farebox.hold(**fields(site, reference)):
            is_in_block.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await is_in_block.wait()
    return task


async def kinds(site: Site, hold_transfer: str) -> list[str]:
    """Tell what became of a hold: the kinds of the transfers that refer to the one that made it."""
    async with AsyncFarebox(site.server.url, key=site.seeds.merchant_key) as merchant:
        return [transfer.kind async for transfer in merchant.transfers() if transfer.refers_to == hold_transfer]


async def made(site: Site, reference: str) -> Transfer:
    """Find the transfer that made a hold."""
    async with AsyncFarebox(site.server.url, key=site.seeds.merchant_key) as merchant:
        (transfer,) = [transfer async for transfer in merchant.transfers(reference=reference, kind="hold")]
    return transfer


async def held(site: Site) -> Decimal:
    async with AsyncFarebox(site.server.url, key=site.seeds.merchant_key) as merchant:
        return (await merchant.account()).held


@on_each_engine
async def test_a_block_that_succeeds_captures_all_or_what_it_names(site: Site) -> None:
    async with connect(site) as farebox:
        async with farebox.hold(**fields(site, new_key())) as whole:
            assert Decimal(3) == whole.amount
        async with farebox.hold(**fields(site, new_key())) as part:
            part.capture_with(amount="2.75")
            part.capture_with(amount=Decimal("0.5"), quantity=1)
        async with farebox.hold(**fields(site, new_key())) as none:
            none.release_at_end()
    assert isinstance(whole.result, Capture)
    assert isinstance(part.result, Capture)
    assert isinstance(none.result, Release)
    assert (Decimal(3), Decimal(0)) == (whole.result.captured, whole.result.released)
    assert (Decimal("0.5"), Decimal("2.5")) == (part.result.captured, part.result.released)
    assert (Decimal(3), Decimal(0)) == (none.result.released, await held(site))


@on_each_engine
async def test_work_above_its_hold_is_charged_if_asked_for(site: Site) -> None:
    async with connect(site) as farebox:
        async with farebox.hold(**fields(site, new_key())) as hold:
            hold.capture_with(amount=5, above="charge", quantity=1)
        assert isinstance(hold.result, Capture)
        assert hold.result.above is not None
        assert (Decimal(3), Decimal(2)) == (hold.result.captured, hold.result.above.charged)
        refund = await farebox.refund(hold.result.above)
        assert (hold.result.above.transfer_id, Decimal(2)) == (refund.refers_to, refund.amount)
        with pytest.raises(CaptureExceedsHold):
            async with farebox.hold(**fields(site, new_key())) as refused:
                refused.capture_with(amount=5, quantity=1)
        await farebox.release(refused.hold_id)
    assert Decimal(0) == await held(site)


@on_each_engine
async def test_a_block_that_raises_releases_and_raises_the_same(site: Site) -> None:
    async with connect(site) as farebox:
        hold = farebox.hold(**fields(site, new_key()))
        hold.capture_with(amount=1)
        with pytest.raises(Broken):
            await fail_within(hold)
    assert isinstance(hold.result, Release)
    assert (["release"], Decimal(0)) == (await kinds(site, hold.made.transfer_id), await held(site))


async def test_a_refused_hold_never_runs_the_block(site: Site) -> None:
    has_run = False
    async with connect(site) as farebox:
        with pytest.raises(InsufficientBalance):
            async with farebox.hold(merchant=site.seeds.merchant, type="call", amount="99999999"):
                has_run = True
    assert not has_run


@on_each_engine
async def test_a_task_that_is_cancelled_in_the_block_releases(site: Site) -> None:
    reference = new_key()
    async with connect(site) as farebox:
        task = await task_that_holds(farebox, site, reference)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ["release"] == await kinds(site, (await made(site, reference)).transfer_id)


@on_each_engine
@pytest.mark.parametrize("fault", [None, Fault.DROPPED_AFTER, Fault.OVERLOADED])
async def test_a_task_that_is_cancelled_again_and_again_still_releases(site: Site, fault: Fault | None) -> None:
    """Frameworks cancel at every await of a request that is over, so nothing may be awaited for long at the end."""
    reference = new_key()
    async with connect(site) as farebox:
        task = await task_that_holds(farebox, site, reference)
        site.proxy.misbehave(fault)
        while not task.done():
            task.cancel()
            await asyncio.sleep(0)
        assert task.cancelled()
    # The client's end waited for it.
    assert ["release"] == await kinds(site, (await made(site, reference)).transfer_id)


@on_each_engine
async def test_a_task_that_is_cancelled_while_its_hold_is_made_releases_it(site: Site) -> None:
    reference = new_key()

    async def work(farebox: AsyncFarebox) -> None:
        async with farebox.hold(**fields(site, reference)):
            raise AssertionError("it was cancelled before")

    async with connect(site) as farebox:
        await farebox.quote(type="image")
        site.proxy.misbehave(Fault.HANGS_AFTER)
        task = asyncio.create_task(work(farebox))
        while not site.proxy.seen:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert ["release"] == await kinds(site, (await made(site, reference)).transfer_id)


@on_each_engine
async def test_a_task_that_is_cancelled_while_it_captures_has_captured(site: Site) -> None:
    reference = new_key()
    at_end = asyncio.Event()

    async def work(farebox: AsyncFarebox) -> None:
        async with farebox.hold(**fields(site, reference)):
            site.proxy.misbehave(Fault.DROPPED_BEFORE)
            at_end.set()

    async with connect(site) as farebox:
        task = asyncio.create_task(work(farebox))
        await at_end.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert ["capture"] == await kinds(site, (await made(site, reference)).transfer_id)


async def test_a_release_that_fails_does_not_hide_why_the_block_failed(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    async with connect(site) as farebox:
        hold = farebox.hold(**fields(site, new_key()))
        with pytest.raises(Broken):
            await fail_within(hold, farebox.capture)
    (record,) = [record for record in caplog.records if record.name == "farebox_client"]
    assert (logging.WARNING, None) == (record.levelno, hold.result)
    assert "hold_already_captured" in record.getMessage()


@on_each_engine
async def test_a_hold_whose_time_was_over_can_not_be_captured(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    async with connect(site) as farebox:
        with pytest.raises(HoldExpired):
            async with farebox.hold(**fields(site, new_key()), ttl=1):
                await asyncio.sleep(1.3)
        with pytest.raises(Broken):
            await fail_within(farebox.hold(**fields(site, new_key()), ttl=1), lambda _: asyncio.sleep(1.3))
    assert [] == [record for record in caplog.records if record.name == "farebox_client"]


@on_each_engine
async def test_open_holds_are_listed(site: Site) -> None:
    reference = new_key()
    async with connect(site) as farebox, farebox.hold(**fields(site, reference)) as hold:
        listed = [each async for each in farebox.holds(merchant=site.seeds.merchant)]
        page = await farebox.hold_page(merchant=site.seeds.merchant, limit=1)
    # Those of the tests before may not have ended yet.
    own = [(each.hold_id, each.amount) for each in listed if each.reference == reference]
    assert [(hold.hold_id, Decimal(3))] == own
    assert 1 == len(page.holds)


@on_each_engine
def test_the_blocking_client_does_the_same(site: Site) -> None:
    with Farebox(site.proxy.url, key=site.seeds.service_key, timeout=2) as farebox:
        with farebox.hold(**fields(site, new_key())) as whole:
            whole.capture_with(amount="1", quantity=1)
        with pytest.raises(KeyboardInterrupt), farebox.hold(**fields(site, new_key())) as interrupted:
            raise KeyboardInterrupt
        with pytest.raises(HoldExpired), farebox.hold(**fields(site, new_key()), ttl=1):
            # The server's own clock has to pass.
            time.sleep(1.3)
        listed = [each.hold_id for each in farebox.holds(merchant=site.seeds.merchant)]
    assert isinstance(whole.result, Capture)
    assert isinstance(interrupted.result, Release)
    assert Decimal(1) == whole.result.captured
    # The one that has expired is listed until the server has swept it away.
    assert {whole.hold_id, interrupted.hold_id}.isdisjoint(listed)


async def test_a_hold_is_known_once_its_block_is_entered(site: Site) -> None:
    async with connect(site) as farebox:
        hold = farebox.hold(**fields(site, new_key()))
        with pytest.raises(RuntimeError, match="entered"):
            _ = hold.hold_id


async def test_a_hold_lasts_for_one_block(site: Site) -> None:
    async with connect(site) as farebox:
        hold = farebox.hold(**fields(site, new_key()))
        async with hold:
            pass
        with pytest.raises(RuntimeError, match="one block"):
            await hold.__aenter__()
