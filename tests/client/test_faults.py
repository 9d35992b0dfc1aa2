"""However bad the network, charges are those that were answered, each exactly once, and both clients agree."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Final

import pytest

from farebox_client import AsyncFarebox, Charge, ChargeFields, FareboxError, Transfer, Unreachable, new_key
from tests.client.conftest import TIMEOUT_S, AnyClient, Connect, Site, on_each_engine
from tests.support.misbehaving import DONE_ALL_THE_SAME, Fault

CALLERS: Final = 24
CHARGES: Final = 144
FAULT_SHARE: Final = 0.4
# Hanging costs the time-out each time.
_QUICK: Final = [fault for fault in Fault if fault not in (Fault.HANGS_BEFORE, Fault.HANGS_AFTER, Fault.TRICKLES)]


@asynccontextmanager
async def service(connect: Connect, site: Site, **settings: Any) -> AsyncIterator[AnyClient]:
    """Connect a service's client over the bad network."""
    client = connect(site.proxy.url, key=site.seeds.service_key, **{"timeout": TIMEOUT_S, **settings})
    try:
        yield client
    finally:
        await client.aclose()


async def transfers(site: Site, reference: str) -> list[Transfer]:
    """Read what the ledger has under a reference, newest first, over a good network."""
    async with AsyncFarebox(site.server.url, key=site.seeds.merchant_key) as merchant:
        return [transfer async for transfer in merchant.transfers(reference=reference)]


async def count_all(site: Site) -> Counter[str | None]:
    """Count the ledger's charges by reference."""
    async with AsyncFarebox(site.server.url, key=site.seeds.merchant_key) as merchant:
        return Counter([transfer.reference async for transfer in merchant.transfers(kind="charge")])


@pytest.mark.parametrize("fault", Fault)
async def test_a_charge_that_meets_a_fault_is_made_once(connect: Connect, site: Site, fault: Fault) -> None:
    reference = new_key()
    async with service(connect, site) as farebox:
        site.proxy.misbehave(fault)
        charge = await farebox.charge(merchant=site.seeds.merchant, type="image", reference=reference)
    assert (charge.is_replay, [charge.key] * 2) == (fault in DONE_ALL_THE_SAME, site.proxy.keys)
    assert [charge.transfer_id] == [transfer.transfer_id for transfer in await transfers(site, reference)]


@on_each_engine
@pytest.mark.parametrize("fault", [Fault.DROPPED_BEFORE, Fault.DROPPED_AFTER, Fault.UNKNOWN_AFTER])
async def test_every_step_that_moves_money_meets_a_fault_and_is_done_once(
    connect: Connect, site: Site, fault: Fault
) -> None:
    reference = new_key()
    async with service(connect, site) as farebox:
        fields: dict[str, Any] = {
            "merchant": site.seeds.merchant,
            "type": "call",
            "amount": "3",
            "reference": reference,
        }
        site.proxy.misbehave(fault, None, fault)
        held = await farebox.open_hold(**fields)
        capture = await farebox.capture(held, amount="2", reference=reference)
        other = await farebox.open_hold(**fields)
        site.proxy.misbehave(fault, None, fault, None, fault)
        await farebox.extend(other, ttl=2000)
        await farebox.release(other, reference=reference)
        refund = await farebox.refund(capture, amount="0.5", reference=reference)
    assert (fault in DONE_ALL_THE_SAME) is refund.is_replay
    booked = [(transfer.kind, str(transfer.amount)) for transfer in await transfers(site, reference)]
    released = [("release", "3.00")]
    captured = [("capture", "2.00"), ("hold", "3.00")]
    assert [("refund", "0.50"), *released, ("hold", "3.00"), *captured] == booked


@on_each_engine
@pytest.mark.parametrize("fault", [Fault.DROPPED_AFTER, Fault.OVERLOADED, Fault.HANGS_AFTER, Fault.BAD_GATEWAY_BEFORE])
async def test_a_batch_that_meets_a_fault_is_charged_once(connect: Connect, site: Site, fault: Fault) -> None:
    reference = new_key()
    charges = [ChargeFields(site.seeds.merchant, kind, reference=reference) for kind in ("image", "none", "image")]
    async with service(connect, site) as farebox:
        site.proxy.misbehave(fault)
        one, refused, other = await farebox.charge_batch(charges)
    assert isinstance(one, Charge)
    assert isinstance(other, Charge)
    assert isinstance(refused, FareboxError)
    assert (charges[1].key, "unknown_type", True) == (refused.key, refused.code, refused.is_known)
    booked = [transfer.transfer_id for transfer in await transfers(site, reference)]
    assert [other.transfer_id, one.transfer_id] == booked


def _unknown(answers: Mapping[str, Charge | FareboxError]) -> list[FareboxError]:
    return [answer for answer in answers.values() if isinstance(answer, FareboxError) and not answer.is_known]


@on_each_engine
@pytest.mark.parametrize("share", [FAULT_SHARE, 1.0])
async def test_all_that_is_answered_is_charged_once_and_all_that_is_refused_never(
    connect: Connect, site: Site, share: float
) -> None:
    """With every answer a fault, nothing succeeds: what is not known may be charged, once, and then is told so."""
    random = Random(14)
    answers: dict[str, Charge | FareboxError] = {}

    async def charge(farebox: AnyClient, reference: str) -> None:
        try:
            answers[reference] = await farebox.charge(merchant=site.seeds.merchant, type="image", reference=reference)
        except FareboxError as error:
            answers[reference] = error

    async with service(connect, site, attempts=4 if share < 1 else 2) as farebox:
        site.proxy.faults = lambda: random.choice(_QUICK) if random.random() < share else None
        for _ in range(CHARGES // CALLERS):
            await asyncio.gather(*[charge(farebox, new_key()) for _ in range(CALLERS)])
            # Those that share a request share its fate, and all of them may know that nothing was done.
            if share == 1 and len(_unknown(answers)) >= CALLERS // 2:
                break
        site.proxy.misbehave()
        booked = await count_all(site)
        for reference, answer in answers.items():
            if isinstance(answer, Charge):
                assert (reference, 1) == (reference, booked[reference])
            elif answer.is_known:
                assert (reference, 0) == (reference, booked[reference])
            else:
                assert booked[reference] <= 1
                # It is asked once more, as its reader is told to, and charged by now.
                again = await farebox.charge(
                    merchant=site.seeds.merchant, type="image", reference=reference, key=answer.key
                )
                assert (booked[reference] == 1) is again.is_replay
    unknown = _unknown(answers)
    charged = [answer for answer in answers.values() if isinstance(answer, Charge)]
    assert len(unknown) >= CALLERS // 2 if share == 1 else len(charged) > CHARGES // 2
    booked = await count_all(site)
    assert {1} == {booked[reference] for reference, answer in answers.items() if answer in [*charged, *unknown]}


@on_each_engine
async def test_a_lost_request_tells_its_key_and_may_be_asked_again(connect: Connect, site: Site) -> None:
    reference = new_key()
    fields: dict[str, Any] = {"merchant": site.seeds.merchant, "type": "image", "reference": reference}
    async with service(connect, site, attempts=2) as farebox:
        site.proxy.misbehave(Fault.HANGS_BEFORE, Fault.DROPPED_AFTER)
        with pytest.raises(Unreachable) as lost:
            await farebox.charge(**fields)
        assert (lost.value.is_known, [lost.value.key] * 2) == (False, site.proxy.keys)
        charge = await farebox.charge(**fields, key=lost.value.key)
    assert charge.is_replay
    assert [charge.transfer_id] == [transfer.transfer_id for transfer in await transfers(site, reference)]


async def test_a_server_that_is_not_there_moved_nothing(connect: Connect, site: Site, free_port: int) -> None:
    client = connect(f"http://127.0.0.1:{free_port}", key=site.seeds.service_key, attempts=2)
    try:
        with pytest.raises(Unreachable) as lost:
            await client.charge(merchant=site.seeds.merchant, type="image")
        assert lost.value.is_known
        assert lost.value.key is not None
    finally:
        await client.aclose()


@on_each_engine
async def test_a_refusal_after_a_lost_answer_does_not_say_that_nothing_moved(connect: Connect, site: Site) -> None:
    async with service(connect, site, attempts=3) as farebox:
        site.proxy.misbehave(Fault.DROPPED_AFTER, Fault.OVERLOADED, Fault.OVERLOADED)
        with pytest.raises(FareboxError) as unknown:
            await farebox.charge(merchant=site.seeds.merchant, type="image")
    assert ("outcome_unknown", 503, False) == (unknown.value.code, unknown.value.status, unknown.value.is_known)
    assert unknown.value.key == site.proxy.keys[0]


async def test_overload_alone_is_told_as_such(connect: Connect, site: Site) -> None:
    async with service(connect, site, attempts=3) as farebox:
        site.proxy.misbehave(*[Fault.OVERLOADED] * 3)
        with pytest.raises(FareboxError) as overloaded:
            await farebox.charge(merchant=site.seeds.merchant, type="image")
    assert ("overloaded", True, 3) == (overloaded.value.code, overloaded.value.is_known, len(site.proxy.seen))


@pytest.mark.parametrize("fault", [Fault.OVERLOADED, Fault.RATE_LIMITED, Fault.MAINTENANCE])
async def test_retry_after_is_honoured(connect: Connect, site: Site, fault: Fault) -> None:
    async with service(connect, site) as farebox:
        site.proxy.misbehave(fault)
        site.proxy.retry_after = "1"
        await farebox.charge(merchant=site.seeds.merchant, type="image")
    first, second = site.proxy.seen
    assert 1.0 <= second.at - first.at < 5.0


async def test_a_pause_beyond_the_deadline_is_not_waited_for(connect: Connect, site: Site) -> None:
    async with service(connect, site, give_up_after=2.0) as farebox:
        site.proxy.misbehave(Fault.OVERLOADED)
        site.proxy.retry_after = "30"
        with pytest.raises(FareboxError) as overloaded:
            await farebox.charge(merchant=site.seeds.merchant, type="image")
    assert (30.0, 1) == (overloaded.value.retry_after, len(site.proxy.seen))


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"type": "image", "quantity": 0}, 422, "invalid_value"),
        ({"type": "none"}, 422, "unknown_type"),
        ({"type": "call", "amount": "999999"}, 402, "insufficient_balance"),
        ({"type": "image", "merchant": "mer_0000000000000"}, 404, "merchant_not_found"),
    ],
)
async def test_a_refusal_is_asked_once(
    connect: Connect, site: Site, fields: dict[str, Any], status: int, code: str
) -> None:
    async with service(connect, site) as farebox:
        with pytest.raises(FareboxError) as refused:
            await farebox.charge(**{"merchant": site.seeds.merchant, **fields})
    assert (status, code, True, 1) == (
        refused.value.status,
        refused.value.code,
        refused.value.is_known,
        len(site.proxy.seen),
    )


@on_each_engine
async def test_a_conflict_of_keys_is_not_asked_again(connect: Connect, site: Site) -> None:
    async with service(connect, site) as farebox:
        charge = await farebox.charge(merchant=site.seeds.merchant, type="image")
        site.proxy.misbehave()
        with pytest.raises(FareboxError) as conflict:
            await farebox.charge(merchant=site.seeds.merchant, type="image", quantity=2, key=charge.key)
    assert ("idempotency_conflict", 409, 1) == (conflict.value.code, conflict.value.status, len(site.proxy.seen))


async def test_reads_meet_faults_too(connect: Connect, site: Site) -> None:
    client = connect(site.proxy.url, key=site.seeds.merchant_key, timeout=TIMEOUT_S)
    try:
        site.proxy.misbehave(Fault.DROPPED_BEFORE, None, Fault.CUT, None, Fault.HANGS_BEFORE)
        first = await client.balance()
        assert first == await client.balance()
        prices = await client.prices()
        assert prices is await client.prices(known=prices)
    finally:
        await client.aclose()
