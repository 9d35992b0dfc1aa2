"""Approvals, the audit log and usage, on every engine: the rest of the store's contract."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from farebox.core import auditlog
from farebox.core.accounts import Account, Kind
from farebox.core.approvals import ApprovalState
from farebox.core.auditlog import AuditEntry
from farebox.core.commands import (
    Approve,
    CaptureHold,
    Charge,
    CreateHold,
    Origin,
    Payer,
    Refund,
    Reject,
    RequestApproval,
    SetFrozen,
    TopUp,
)
from farebox.core.ids import NUMBER_MAX
from farebox.core.pricing import Price
from farebox.storage.interface import AlreadyExists, NotFound, Store
from farebox.storage.rows import Merchant, Usage, User
from tests.storage.engines import Engine, Refused
from tests.storage.ledgers import (
    ANN,
    BEN,
    NOW,
    UNIT,
    add_merchant,
    add_price,
    book,
    charge,
    do,
    merchant_key,
    staff_key,
    wallet,
)
from tests.support.effort import examples

every_store = pytest.mark.parametrize("engine", ["sqlite", "postgres", "memory"], indirect=True)
LAST: Final = (NUMBER_MAX, NUMBER_MAX)
QUARTER: Final = 900_000_000


def entry(number: int, merchant_id: int | None = ANN, **fields: Any) -> AuditEntry:
    origin = Origin(number, "ann", key_id=7, address="203.0.113.7")
    made = auditlog.entry(origin, merchant_id=merchant_id, at=NOW, action="rename_merchant", detail="Ann")
    return replace(made, **fields)


async def entries(store: Store, merchant_id: int | None = None) -> list[AuditEntry]:
    return list(await store.audit_entries(merchant_id=merchant_id, before=LAST, limit=100))


@every_store
async def test_entries_of_the_audit_log_are_kept_as_they_are_and_listed_newest_first(store: Store) -> None:
    await add_merchant(store)
    kept = [entry(5), entry(6, at=NOW + 1, subject="x", key_id=None, address=None), entry(4), entry(9, None)]
    for item in kept:
        await store.rename_merchant(ANN, "Ann", item)
    assert [kept[1], kept[3], kept[0], kept[2]] == await entries(store)
    assert [kept[1], kept[0], kept[2]] == await entries(store, ANN)
    assert [] == await entries(store, BEN)
    assert [kept[1], kept[3]] == list(await store.audit_entries(merchant_id=None, before=LAST, limit=2))
    assert [kept[0]] == list(await store.audit_entries(merchant_id=None, before=(NOW, 9), limit=1))
    assert [kept[2]] == list(await store.audit_entries(merchant_id=ANN, before=(NOW, 5), limit=9))


@every_store
async def test_an_entry_that_is_written_again_stays_one(store: Store) -> None:
    await add_merchant(store)
    for _ in range(2):
        await store.rename_merchant(ANN, "Ann", entry(5))
    assert [entry(5)] == await entries(store)


DEEDS: Final[dict[str, Callable[[Store, AuditEntry], Awaitable[None]]]] = {
    "create_merchant": lambda store, item: store.create_merchant(
        Merchant(BEN, "Ben", NOW), Account(BEN, "USD"), merchant_key(BEN, BEN), item
    ),
    "rename_merchant": lambda store, item: store.rename_merchant(ANN, "Ann", item),
    "add_user": lambda store, item: store.add_user(User(ANN, 2, "new@example.com", NOW), item),
    "remove_user": lambda store, item: store.remove_user(ANN, "old@example.com", item),
    "create_key": lambda store, item: store.create_key(staff_key(50), item),
    "expire_key": lambda store, item: store.expire_key(40, NOW + 1, item),
    "revoke_key": lambda store, item: store.revoke_key(40, NOW, item),
    "rotate_key": lambda store, item: store.rotate_key(40, successor=staff_key(41), expires_at=NOW, entry=item),
    "set_price": lambda store, item: store.set_price(Price(9, "scan", UNIT, NOW), NOW, item),
}


@every_store
@pytest.mark.parametrize("name", DEEDS)
async def test_what_is_set_up_by_hand_is_logged_with_it(store: Store, name: str) -> None:
    await add_merchant(store)
    await store.add_user(User(ANN, 1, "old@example.com", NOW))
    await store.create_key(staff_key(40))
    await DEEDS[name](store, entry(5))
    assert [entry(5)] == await entries(store)


@every_store
async def test_what_fails_is_not_logged(store: Store) -> None:
    await add_merchant(store)
    await store.add_user(User(ANN, 1, "old@example.com", NOW))
    failing: list[Awaitable[None]] = [
        store.rename_merchant(BEN, "Ben", entry(1)),
        store.add_user(User(ANN, 2, "old@example.com", NOW), entry(2)),
        store.remove_user(ANN, "nobody@example.com", entry(3)),
        store.create_key(merchant_key(60, BEN), entry(4)),
        store.expire_key(99, NOW, entry(5)),
        store.revoke_key(99, NOW, entry(6)),
        store.rotate_key(99, successor=staff_key(41), expires_at=NOW, entry=entry(7)),
    ]
    for attempt in failing:
        with pytest.raises((NotFound, AlreadyExists)):
            await attempt
    assert [] == await entries(store)


@every_store
async def test_a_key_ends_at_the_earliest_time_that_it_was_given(store: Store) -> None:
    await add_merchant(store)
    await store.create_key(merchant_key(40))
    await store.create_key(staff_key(41))
    for number in (40, 41):
        for at, expected in ((NOW + 9, NOW + 9), (NOW + 5, NOW + 5), (NOW + 7, NOW + 5)):
            await store.expire_key(number, at)
            key = await store.key(number)
            assert key is not None
            assert expected == key.expires_at


# Approvals.


def requested(number: int, reference: str, merchant_id: int = ANN) -> RequestApproval:
    return RequestApproval(TopUp(merchant_id, 5 * UNIT, reference, "wire", origin=Origin(number, "ann")), number)


@every_store
async def test_requests_are_listed_newest_first_and_decided_once(store: Store) -> None:
    await add_merchant(store)
    await add_merchant(store, BEN)
    await do(store, requested(11, "A"), requested(12, "B"))
    await do(store, requested(13, "C", BEN))
    ben = Origin(99, "ben")
    approved = (await do(store, Approve(replace(requested(11, "A").move, origin=ben), 11)))[0].approval
    rejected = (await do(store, Reject(ANN, 12, origin=ben), now=NOW + 1))[0].approval
    assert approved is not None
    assert rejected is not None
    assert (ApprovalState.APPROVED, 1) == (approved.state, approved.transfer_seq)
    pending = await store.approval(BEN, 13)
    assert pending is not None
    assert [pending, rejected, approved] == list(await store.approvals(merchant_id=None, before=NUMBER_MAX, limit=9))
    assert [rejected] == list(await store.approvals(merchant_id=ANN, before=NUMBER_MAX, limit=1))
    assert [approved] == list(await store.approvals(merchant_id=ANN, before=12, limit=9))
    assert await store.approval(ANN, 13) is None
    assert 5 == await wallet(store)


async def test_of_stores_that_approve_and_reject_at_once_one_does(engine: Engine, store: Store) -> None:
    await add_merchant(store)
    other = engine.store()
    await other.open()
    for number in range(20):
        await do(store, requested(number + 1, f"R{number}"))
        move = replace(requested(number + 1, f"R{number}").move, origin=Origin(1000 + number, "ben"))
        decided = await asyncio.gather(
            do(store, Approve(move, number + 1)), do(other, Reject(ANN, number + 1, origin=Origin(number, "ben")))
        )
        assert 1 == sum(outcome.is_ok for (outcome,) in decided)
    transfers, approvals = len(await book(store)), await store.approvals(merchant_id=ANN, before=NUMBER_MAX, limit=99)
    assert transfers == sum(item.state == ApprovalState.APPROVED for item in approvals)
    await other.close()


BAD_APPROVALS: Final = {
    "approved by who requested it": "UPDATE approval SET state = 2, decided_by = requested_by, transfer_seq = 1",
    "decided by nobody": "UPDATE approval SET state = 3",
    "approved without a transfer": "UPDATE approval SET state = 2, decided_by = 'ben'",
    "pending with a transfer": "UPDATE approval SET transfer_seq = 1",
    "no amount": "UPDATE approval SET amount = 0",
    "a charge": "UPDATE approval SET kind = 3",
    "an unknown state": "UPDATE approval SET state = 4, decided_by = 'ben'",
    "a second request of a reference": "INSERT INTO approval SELECT * FROM approval",
}


async def test_the_database_refuses_approvals_that_break_the_rules(engine: Engine, store: Store) -> None:
    await add_merchant(store)
    await do(store, requested(11, "A"))
    taken = []
    for name, statement in BAD_APPROVALS.items():
        try:
            await engine.execute(statement)
        except Refused:
            continue
        taken.append(name)
    assert [] == taken


# Usage.


async def quarters(store: Store, first: int, last: int, offset: int = 0, length: int = 1) -> list[Usage]:
    found = await store.usage(
        ANN, first_quarter=first, last_quarter=last, offset_quarters=offset, bucket_quarters=length
    )
    return list(found)


async def counted(store: Store, first: int, last: int, offset: int, length: int) -> list[Usage]:
    """Sum usage up slowly, transfer by transfer."""
    sums: dict[tuple[int, str], Counter[str]] = {}
    for item in await book(store):
        quarter = item.committed_at // QUARTER
        if item.kind in (Kind.CHARGE, Kind.CAPTURE, Kind.REFUND) and first <= quarter <= last:
            line = sums.setdefault(((quarter + offset) // length, item.request_type or ""), Counter())
            is_refund = item.kind == Kind.REFUND
            line["requests"] += 0 if is_refund else item.quantity or 0
            line["cost"] += 0 if is_refund else item.amount
            line["refunded"] += item.amount if is_refund else 0
    return [Usage(*place, line["requests"], line["cost"], line["refunded"]) for place, line in sorted(sums.items())]


STEPS: Final = st.lists(
    st.one_of(
        st.tuples(st.just("move"), st.sampled_from(["charge", "hold", "capture", "refund"]), st.integers(0, 400)),
        st.tuples(st.just("sum"), st.integers(0, 1), st.integers(1, 5)),
    ),
    min_size=1,
    max_size=25,
)


@examples(25)
@given(steps=STEPS, offset=st.integers(-48, 56), length=st.sampled_from([1, 4, 96]))
async def test_usage_is_exact_however_much_of_it_is_summed_up(
    engine: Engine, store: Store, steps: list[tuple[str, Any, int]], offset: int, length: int
) -> None:
    await engine.clear()
    await add_merchant(store, funds=10_000)
    await add_price(store)
    await add_price(store, 2, request_type="scan", unit_price=2 * UNIT)
    stores = [store, engine.store()]
    await stores[1].open()
    now, holds, taken = NOW, list[int](), list[int]()
    for number, (what, which, amount) in enumerate(steps):
        key = f"k{number}"
        if what == "sum":
            await stores[which].sum_usage(ANN, transfers_max=amount)
            continue
        now += amount * QUARTER // 100
        request_type = "scan" if amount % 3 == 0 else "image"
        if which == "hold":
            outcome = (await do(store, CreateHold(Payer(ANN), request_type, 1 + amount % 4, key), now=now))[0]
            holds += [outcome.hold.seq] if outcome.hold else []
        elif which == "capture" and holds:
            outcome = (await do(store, CaptureHold(ANN, holds.pop(), key, UNIT), now=now))[0]
            taken += [outcome.transfer.seq] if outcome.transfer else []
        elif which == "refund" and taken:
            await do(store, Refund(ANN, taken.pop(), key), now=now)
        else:
            outcome = (await do(store, Charge(Payer(ANN), request_type, 1 + amount % 4, key), now=now))[0]
            taken += [outcome.transfer.seq] if outcome.transfer else []
    start, end = NOW // QUARTER, now // QUARTER
    for first, last in ((start, end), (start + 1, end), (start, end - 1), (end, end), (end + 1, end + 9)):
        assert await counted(store, first, last, offset, length) == await quarters(store, first, last, offset, length)
    await stores[1].close()


@every_store
async def test_books_are_summed_up_once_and_those_with_much_to_sum_up_are_listed(store: Store) -> None:
    await add_merchant(store, funds=100)
    await add_merchant(store, BEN, funds=100)
    await add_price(store)
    await do(store, *[charge(f"k{number}") for number in range(9)])
    assert [ANN] == list(await store.unsummed_books(-1, transfers_min=10, limit=9))
    assert [ANN, BEN] == list(await store.unsummed_books(-1, transfers_min=1, limit=9))
    assert [ANN] == list(await store.unsummed_books(-1, transfers_min=1, limit=1))
    assert [BEN] == list(await store.unsummed_books(ANN, transfers_min=1, limit=9))
    assert [4, 4, 2, 0] == [await store.sum_usage(ANN, transfers_max=4) for _ in range(4)]
    assert [BEN] == list(await store.unsummed_books(-1, transfers_min=1, limit=9))
    await do(store, charge("one more"))
    assert 1 == await store.sum_usage(ANN, transfers_max=4)
    with pytest.raises(NotFound):
        await store.sum_usage(5, transfers_max=4)


async def test_stores_that_sum_up_at_once_count_each_transfer_once(engine: Engine, store: Store) -> None:
    await add_merchant(store, funds=1_000)
    await add_price(store)
    await do(store, *[charge(f"k{number}") for number in range(200)])
    stores = [store, engine.store()]
    await stores[1].open()
    summed = await asyncio.gather(*[stores[turn % 2].sum_usage(ANN, transfers_max=7) for turn in range(40)])
    assert 201 == sum(summed)
    found = await quarters(store, 0, NOW // QUARTER)
    assert [(200, 200 * UNIT, 0)] == [(line.requests, line.cost, line.refunded) for line in found]
    await stores[1].close()


@every_store
async def test_a_deed_that_moves_no_money_is_logged_with_its_change(store: Store) -> None:
    await add_merchant(store)
    await do(store, SetFrozen(ANN, True, origin=Origin(3, "ann")))
    assert [("set_frozen", "frozen", NOW)] == [(item.action, item.detail, item.at) for item in await entries(store)]
