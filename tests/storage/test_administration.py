"""Approvals, the audit log and usage, on every engine: the rest of the store's contract."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from farebox.core import audit_log
from farebox.core.accounts import Account, Kind
from farebox.core.alerts import MAILED_FROM_THE_START
from farebox.core.approvals import ApprovalState
from farebox.core.audit_log import Action, AuditEntry
from farebox.core.commands import (
    Actor,
    Adjust,
    Approve,
    CaptureHold,
    Charge,
    Command,
    CreateHold,
    Payer,
    Refund,
    Reject,
    ReleaseHold,
    RequestApproval,
    SetFrozen,
    TopUp,
)
from farebox.core.credit.budgets import BudgetUnit
from farebox.core.decide import decide
from farebox.core.fingerprints import Quantities
from farebox.core.holds import TTL_SECONDS_MAX
from farebox.core.ids import NUMBER_MAX
from farebox.core.prices import Price
from farebox.core.pricing.priced import read_priced
from farebox.core.pricing.rules import Line, Rates, Rule
from farebox.core.state import BatchState, Decision, reads
from farebox.storage.api_keys import KeyEnded
from farebox.storage.interface import AlreadyExists, NotFound, StorageError
from farebox.storage.records import ApiKey, Merchant, MerchantNote, Usage, User
from farebox.storage.stores import Stores
from tests.storage.engines import Engine, accepted, every_store
from tests.storage.rolling_up import write_roll_up_and_look
from tests.support.effort import examples
from tests.support.ledger import (
    ANN,
    BEN,
    BY_ANN,
    BY_BEN,
    NOW,
    UNIT,
    add_merchant,
    add_price,
    add_staff,
    book,
    charge,
    do,
    everything,
    loaded,
    merchant_key,
    staff_key,
    takes_an_entry,
    wallet,
)

LAST: Final = (NUMBER_MAX, NUMBER_MAX)
QUARTER: Final = 900_000_000


def audit_entry(number: int, merchant_id: int | None = ANN, **fields: Any) -> AuditEntry:
    actor = Actor(number, "ann", key_id=7, address="203.0.113.7")
    made = audit_log.audit_entry(actor, merchant_id=merchant_id, at=NOW, action=Action.RENAME_MERCHANT, detail="Ann")
    return replace(made, **fields)


async def audit_entries(stores: Stores, merchant_id: int | None = None) -> list[AuditEntry]:
    return list(await stores.audit_log.list(merchant_id=merchant_id, before=LAST, limit=100))


@every_store
async def test_entries_of_the_audit_log_are_kept_as_they_are_and_listed_newest_first(stores: Stores) -> None:
    await add_merchant(stores)
    kept = [
        audit_entry(5),
        audit_entry(6, at=NOW + 1, subject="x", key_id=None, address=None),
        audit_entry(4),
        audit_entry(9, None),
    ]
    for item in kept:
        await stores.merchants.rename(ANN, "Ann", item)
    assert [kept[1], kept[3], kept[0], kept[2]] == await audit_entries(stores)
    assert [kept[1], kept[0], kept[2]] == await audit_entries(stores, ANN)
    assert [] == await audit_entries(stores, BEN)
    assert [kept[1], kept[3]] == list(await stores.audit_log.list(merchant_id=None, before=LAST, limit=2))
    assert [kept[0]] == list(await stores.audit_log.list(merchant_id=None, before=(NOW, 9), limit=1))
    assert [kept[2]] == list(await stores.audit_log.list(merchant_id=ANN, before=(NOW, 5), limit=9))


@every_store
async def test_an_entry_is_read_back_as_it_was_written(stores: Stores) -> None:
    await add_merchant(stores)
    least = audit_entry(1, actor="", key_id=None, address=None, subject=None, detail="", at=0)
    most = audit_entry(
        2**63 - 1,
        at=2**63 - 2,
        actor="Ännchen 🦊",
        key_id=2**63 - 1,
        address="2001:db8::7",
        action=Action.SET_PRICE,
        subject="'quoted' \"twice\" \\",
        detail="№ 1 " * 1_000,
    )
    for item in (least, most):
        await stores.merchants.rename(ANN, "Ann", item)
    found = await stores.audit_log.list(merchant_id=ANN, before=(2**63 - 1, 2**63 - 1), limit=9)
    assert [most, least] == list(found)


@every_store
async def test_an_entry_that_is_written_again_stays_one(stores: Stores) -> None:
    await add_merchant(stores)
    for _ in range(2):
        await stores.merchants.rename(ANN, "Ann", audit_entry(5))
    assert [audit_entry(5)] == await audit_entries(stores)


ACTIONS: Final[dict[str, Callable[[Stores, AuditEntry], Awaitable[object]]]] = {
    "merchants.create": lambda stores, item: stores.merchants.create(
        Merchant(BEN, "Ben", NOW), Account(BEN, "USD"), merchant_key(BEN, BEN), item
    ),
    "merchants.rename": lambda stores, item: stores.merchants.rename(ANN, "Ann", item),
    "merchants.set_tags": lambda stores, item: stores.merchants.set_tags(ANN, ",eu,vip,", item),
    "merchants.add_note": lambda stores, item: stores.merchants.add_note(
        MerchantNote(ANN, 8, NOW, "ann", "pays late"), item
    ),
    "users.add": lambda stores, item: stores.users.add(User(ANN, 2, "new@example.com", NOW), item),
    "users.set_mail_kinds": lambda stores, item: stores.users.set_mail_kinds(ANN, "old@example.com", 0, item),
    "users.stop_mails": lambda stores, item: stores.users.stop_mails(ANN, 1, MAILED_FROM_THE_START, item),
    "api_keys.create": lambda stores, item: stores.api_keys.create(staff_key(50), item),
    "api_keys.create of a merchant": lambda stores, item: stores.api_keys.create(merchant_key(51), item),
    "api_keys.expire": lambda stores, item: stores.api_keys.expire(40, NOW + 1, now=NOW, audit_entry=item),
    "api_keys.expire of a merchant": lambda stores, item: stores.api_keys.expire(
        ANN, NOW + 1, now=NOW, audit_entry=item
    ),
    "api_keys.revoke": lambda stores, item: stores.api_keys.revoke(40, NOW, item),
    "api_keys.revoke of a merchant": lambda stores, item: stores.api_keys.revoke(ANN, NOW, item),
    "api_keys.suspend": lambda stores, item: stores.api_keys.suspend(ANN, NOW, item),
    "api_keys.resume": lambda stores, item: stores.api_keys.resume(45, item),
    "api_keys.rotate": lambda stores, item: stores.api_keys.rotate(
        40, successor=staff_key(41), expires_at=NOW, audit_entry=item
    ),
    "api_keys.assign": lambda stores, item: stores.api_keys.assign(40, frozenset({7}), item),
    "api_keys.rename": lambda stores, item: stores.api_keys.rename(staff_key(40), "till", item),
    "api_keys.rename of a merchant": lambda stores, item: stores.api_keys.rename(merchant_key(ANN), "batch jobs", item),
    "budgets.put": lambda stores, item: stores.budgets.put(
        ANN, ANN, [(BudgetUnit.DAY, UNIT)], zone="UTC", audit_entry=item
    ),
    "prices.add": lambda stores, item: stores.prices.add(Price(9, "scan", UNIT, NOW), NOW, item),
    "prices.add_all": lambda stores, item: stores.prices.add_all([Price(9, "scan", UNIT, NOW)], NOW, item),
    "prices.add of a merchant": lambda stores, item: stores.prices.add(Price(9, "scan", UNIT, NOW, ANN), NOW, item),
}


async def set_up(stores: Stores) -> None:
    """Make what the actions need."""
    await add_merchant(stores)
    await stores.users.add(User(ANN, 1, "old@example.com", NOW))
    await stores.api_keys.create(staff_key(40))
    await stores.api_keys.create(merchant_key(45))
    await stores.api_keys.suspend(45, NOW)


async def all_set_up(stores: Stores) -> list[Any]:
    """Read all that the actions change."""
    return [
        await stores.merchants.page(0, 9),
        await stores.merchants.notes(ANN, before=2**63 - 1, limit=9),
        *[await stores.users.list(number) for number in (ANN, BEN)],
        *[await stores.api_keys.list(number) for number in (None, ANN, BEN)],
        *[await stores.prices.list(number) for number in (None, ANN)],
    ]


ACTIONS_ELSEWHERE: Final = {"users.invite", "users.set_role", "users.remove", "prices.withdraw"}
"""Those that test_people.py does, and the tests of what can be done with a price's versions."""


def test_every_action_that_takes_an_entry_is_in_the_list() -> None:
    assert takes_an_entry("merchants", "users", "api_keys", "budgets", "prices") - ACTIONS_ELSEWHERE == {
        name.partition(" ")[0] for name in ACTIONS
    }


@every_store
@pytest.mark.parametrize("name", ACTIONS)
async def test_what_is_set_up_by_hand_is_logged_with_it(stores: Stores, name: str) -> None:
    await set_up(stores)
    before = await all_set_up(stores)
    await ACTIONS[name](stores, audit_entry(5))
    assert [audit_entry(5)] == await audit_entries(stores)
    assert before != await all_set_up(stores)


@pytest.mark.parametrize("name", ACTIONS)
async def test_what_can_not_be_logged_is_not_done(stores: Stores, name: str) -> None:
    await set_up(stores)
    before = await all_set_up(stores)
    with pytest.raises(StorageError):
        await ACTIONS[name](stores, audit_entry(5, actor=None))
    assert before == await all_set_up(stores)
    assert [] == await audit_entries(stores)
    await ACTIONS[name](stores, audit_entry(5))
    assert [audit_entry(5)] == await audit_entries(stores)


@every_store
async def test_what_fails_is_not_logged(stores: Stores) -> None:
    await set_up(stores)
    await add_price(stores)
    before = await all_set_up(stores)
    failing: list[Awaitable[None]] = [
        stores.merchants.create(Merchant(ANN, "Again", NOW), Account(ANN, "USD"), merchant_key(70), audit_entry(1)),
        stores.merchants.rename(BEN, "Ben", audit_entry(1)),
        stores.users.add(User(ANN, 2, "old@example.com", NOW), audit_entry(2)),
        stores.api_keys.create(merchant_key(60, BEN), audit_entry(4)),
        stores.api_keys.expire(99, NOW, now=NOW, audit_entry=audit_entry(5)),
        stores.api_keys.revoke(99, NOW, audit_entry(6)),
        stores.api_keys.rotate(99, successor=staff_key(41), expires_at=NOW, audit_entry=audit_entry(7)),
        stores.prices.add(Price(1, "scan", UNIT, NOW), NOW, audit_entry(8)),
        stores.prices.add(Price(2, "scan", UNIT, NOW, BEN), NOW, audit_entry(9)),
    ]
    for attempt in failing:
        with pytest.raises((NotFound, AlreadyExists)):
            await attempt
    assert [] == await audit_entries(stores)
    assert before == await all_set_up(stores)


async def test_what_is_there_already_is_not_logged_again(stores: Stores) -> None:
    await set_up(stores)
    failing: list[Awaitable[None]] = [
        stores.api_keys.create(staff_key(40), audit_entry(1)),
        stores.api_keys.create(merchant_key(ANN), audit_entry(2)),
        stores.api_keys.rotate(40, successor=staff_key(40), expires_at=NOW, audit_entry=audit_entry(3)),
        stores.api_keys.rotate(ANN, successor=merchant_key(ANN), expires_at=NOW, audit_entry=audit_entry(4)),
    ]
    before = await all_set_up(stores)
    for attempt in failing:
        with pytest.raises(AlreadyExists):
            await attempt
    assert [] == await audit_entries(stores)
    assert before == await all_set_up(stores)


@every_store
async def test_a_key_that_has_not_ended_ends_when_it_is_told_to(stores: Stores) -> None:
    await add_merchant(stores)
    await stores.api_keys.create(merchant_key(40))
    await stores.api_keys.create(staff_key(41))
    for number in (40, 41):
        for at in (NOW + 9, NOW + 5, NOW + 7):
            await stores.api_keys.expire(number, at, now=NOW)
            key = await stores.api_keys.find(number)
            assert key is not None
            assert at == key.expires_at
    assert [merchant_key(40, expires_at=NOW + 7), merchant_key(ANN)] == await stores.api_keys.list(ANN)
    assert [staff_key(41, expires_at=NOW + 7)] == await stores.api_keys.list(None)


@every_store
@pytest.mark.parametrize("ending", [{"revoked_at": NOW}, {"expires_at": NOW}])
@pytest.mark.parametrize("make", [merchant_key, staff_key])
async def test_a_key_that_has_ended_stays_so_and_nothing_is_logged(
    stores: Stores, make: Callable[..., ApiKey], ending: dict[str, int]
) -> None:
    await add_merchant(stores)
    key = make(40, **ending)
    await stores.api_keys.create(key)
    with pytest.raises(KeyEnded):
        await stores.api_keys.expire(40, NOW + 9, now=NOW, audit_entry=audit_entry(1))
    with pytest.raises(KeyEnded):
        await stores.api_keys.rotate(40, successor=make(41), expires_at=NOW + 9, audit_entry=audit_entry(2))
    assert [key, None] == [await stores.api_keys.find(number) for number in (40, 41)]
    assert [] == await audit_entries(stores)


# Approvals.


def requested(number: int, reference: str, merchant_id: int = ANN) -> RequestApproval:
    return RequestApproval(
        TopUp(merchant_id, 5 * UNIT, reference, "wire", actor=replace(BY_ANN, entry_id=number)), number
    )


@every_store
async def test_requests_are_listed_newest_first_and_decided_once(stores: Stores) -> None:
    await add_merchant(stores)
    await add_merchant(stores, BEN)
    await add_staff(stores)
    await do(stores, requested(11, "A"), requested(12, "B"))
    await do(stores, requested(13, "C", BEN))
    ben = replace(BY_BEN, entry_id=99)
    approved = (await do(stores, Approve(replace(requested(11, "A").move, actor=ben), 11)))[0].approval
    rejected = (await do(stores, Reject(ANN, 12, actor=ben), now=NOW + 1))[0].approval
    assert approved is not None
    assert rejected is not None
    assert (ApprovalState.APPROVED, 1) == (approved.state, approved.transfer_seq)
    pending = await stores.approvals.find(BEN, 13)
    assert pending is not None
    assert [pending, rejected, approved] == list(
        await stores.approvals.list(merchant_id=None, before=NUMBER_MAX, limit=9)
    )
    assert [rejected] == list(await stores.approvals.list(merchant_id=ANN, before=NUMBER_MAX, limit=1))
    assert [approved] == list(await stores.approvals.list(merchant_id=ANN, before=12, limit=9))
    assert await stores.approvals.find(ANN, 13) is None
    assert 5 == await wallet(stores)


@every_store
async def test_a_request_is_read_back_as_it_was_written(stores: Stores) -> None:
    await add_merchant(stores)
    moves: list[TopUp | Adjust] = [
        TopUp(ANN, 10_000, "R"),
        Adjust(ANN, 10**18, True, "№ 1 🦊", "Grüße; 'quoted' \"twice\" \\", actor=Actor(1, "Ännchen 🦊")),
        Adjust(ANN, 10**18, False, "S", "x" * 500, actor=Actor(2, "ben")),
    ]
    numbers = (1, 2**63 - 2, 2**62)
    commands = [RequestApproval(move, number) for move, number in zip(moves, numbers, strict=True)]
    made = [outcome.approval for outcome in await do(stores, *commands)]
    assert made == [await stores.approvals.find(ANN, number) for number in numbers]


@every_store
async def test_a_batch_meets_the_requests_that_it_names_by_number_or_by_key_and_no_others(stores: Stores) -> None:
    await add_merchant(stores)
    await add_merchant(stores, BEN)
    await do(stores, *[requested(number, f"R{number}") for number in range(1, 7)])
    await do(stores, requested(3, "R3", BEN), requested(9, "R5", BEN))
    asked: list[Command] = [
        *(Approve(requested(1, "R1").move, 1), Reject(ANN, 3), Reject(ANN, 77), Reject(BEN, 4)),
        *(requested(99, "R5"), requested(99, "new"), SetFrozen(ANN, True)),
    ]
    state = await loaded(stores, *asked)
    assert [await stores.approvals.find(ANN, number) for number in (1, 3, 5)] == list(state.approvals)
    assert [] == list((await loaded(stores, SetFrozen(ANN, True), charge(1, "top_up R1"))).approvals)
    (of_reference,) = (await loaded(stores, TopUp(ANN, UNIT, "R1"))).approvals
    assert await stores.approvals.find(ANN, 1) == of_reference


async def test_of_stores_that_request_one_reference_at_once_one_does(engine: Engine, stores: Stores) -> None:
    await add_merchant(stores)
    other = engine.stores()
    await other.connector.open()
    outcomes = await asyncio.gather(*[do((stores, other)[turn % 2], requested(turn + 1, "A")) for turn in range(12)])
    assert [False] + [True] * 11 == sorted(outcome.is_replay for (outcome,) in outcomes)
    found = list(await stores.approvals.list(merchant_id=ANN, before=NUMBER_MAX, limit=99))
    assert 1 == len(found)
    assert {found[0].approval_id} == {outcome.approval.approval_id for (outcome,) in outcomes if outcome.approval}
    assert [found[0].approval_id] == [item.entry_id for item in await audit_entries(stores)]
    await other.connector.close()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("new_approvals", {"amount": 0}),
        ("changed_approvals", {"decided_people": "501"}),
        ("audit_entries", {"actor": None}),
        ("transfers", {"amount": 0}),
    ],
)
async def test_a_decision_that_the_database_refuses_is_rolled_back_with_its_requests_and_entries(
    stores: Stores, name: str, change: dict[str, Any]
) -> None:
    await add_merchant(stores)
    await add_staff(stores)
    await do(stores, requested(1, "A"))
    before = await everything(stores, [ANN])
    ben = replace(BY_BEN, entry_id=99)
    commands: list[Command] = [Approve(replace(requested(1, "A").move, actor=ben), 1), requested(2, "B")]

    def decide_wrongly(state: BatchState) -> Decision:
        decision = decide(state, commands, NOW)
        assert getattr(decision, name)
        setattr(decision, name, [replace(row, **change) for row in getattr(decision, name)])
        return decision

    with pytest.raises(StorageError):
        await stores.connector.transact(reads(commands, NOW), decide_wrongly)
    assert before == await everything(stores, [ANN])
    assert [True, True] == [outcome.is_ok for outcome in await do(stores, *commands)]
    assert 3 == len(await audit_entries(stores))


async def test_of_stores_that_approve_and_reject_at_once_one_does(engine: Engine, stores: Stores) -> None:
    await add_merchant(stores)
    await add_staff(stores)
    other = engine.stores()
    await other.connector.open()
    for number in range(20):
        await do(stores, requested(number + 1, f"R{number}"))
        move = replace(requested(number + 1, f"R{number}").move, actor=replace(BY_BEN, entry_id=1000 + number))
        decided = await asyncio.gather(
            do(stores, Approve(move, number + 1)),
            do(other, Reject(ANN, number + 1, actor=replace(BY_BEN, entry_id=number))),
        )
        assert 1 == sum(outcome.is_ok for (outcome,) in decided)
    transfers, approvals = (
        len(await book(stores)),
        await stores.approvals.list(merchant_id=ANN, before=NUMBER_MAX, limit=99),
    )
    assert transfers == sum(item.state == ApprovalState.APPROVED for item in approvals)
    await other.connector.close()


BAD_APPROVALS: Final = {
    "approved by who requested it": (
        "UPDATE approval SET state = 2, decided_by = 'ben', decided_at = 1, transfer_seq = 1,"
        " decided_people = requested_people"
    ),
    "decided by nobody": "UPDATE approval SET state = 3, decided_at = 1, decided_people = '5'",
    "decided by no people": "UPDATE approval SET state = 3, decided_at = 1, decided_by = 'ben'",
    "decided at no time": "UPDATE approval SET state = 3, decided_by = 'ben', decided_people = '5'",
    "pending with a time of decision": "UPDATE approval SET decided_at = 1",
    "pending with people who decided": "UPDATE approval SET decided_people = '5'",
    "approved without a transfer": (
        "UPDATE approval SET state = 2, decided_by = 'ben', decided_at = 1, decided_people = '5'"
    ),
    "requested by no people": "UPDATE approval SET requested_people = ''",
    "a refund of nothing": "UPDATE approval SET kind = 4",
    "a top-up of a transfer": "UPDATE approval SET refers_to = 1",
    "pending with a transfer": "UPDATE approval SET transfer_seq = 1",
    "no amount": "UPDATE approval SET amount = 0",
    "a charge": "UPDATE approval SET kind = 3",
    "an unknown state": "UPDATE approval SET state = 4, decided_by = 'ben', decided_at = 1, decided_people = '5'",
    "decided without being decided": "UPDATE approval SET decided_by = 'ben'",
    "a request twice": "INSERT INTO approval SELECT * FROM approval WHERE number = 11",
    "a second request of a reference": (
        "UPDATE approval SET idempotency_key = (SELECT idempotency_key FROM approval WHERE number = 11)"
        " WHERE number = 12"
    ),
    "a request without a merchant": "UPDATE approval SET merchant_id = 5",
    "a short fingerprint": "UPDATE approval SET content = {short}",
    "a request by nobody": "UPDATE approval SET requested_by = NULL",
    "an audit_entry without a person": "UPDATE audit_log SET person = NULL",
    "an audit_entry without a time": "UPDATE audit_log SET at = NULL",
    "an audit_entry of nothing": "UPDATE audit_log SET action = NULL",
}


async def test_the_database_refuses_approvals_that_break_the_rules(engine: Engine, stores: Stores) -> None:
    await add_merchant(stores)
    await do(stores, requested(11, "A"), requested(12, "B"))
    before = await everything(stores, [ANN])
    written = {name: statement.format(short=engine.blob(bytes(7))) for name, statement in BAD_APPROVALS.items()}
    assert [] == await accepted(engine, written)
    assert before == await everything(stores, [ANN])


# Usage.


async def quarters(stores: Stores, first: int, last: int, offset: int = 0, length: int = 1) -> list[Usage]:
    found = await stores.usage.buckets(
        ANN, first_quarter=first, last_quarter=last, offset_quarters=offset, bucket_quarters=length
    )
    return list(found)


async def counted(stores: Stores, first: int, last: int, offset: int, length: int) -> list[Usage]:
    """Sum usage up slowly, transfer by transfer."""
    sums: dict[tuple[int, str], Counter[str]] = {}
    for item in await book(stores):
        quarter = item.committed_at // QUARTER
        if item.kind in (Kind.CHARGE, Kind.CAPTURE, Kind.REFUND) and first <= quarter <= last:
            line = sums.setdefault(((quarter + offset) // length, item.request_type or ""), Counter())
            is_refund = item.kind == Kind.REFUND
            line["requests"] += 0 if is_refund else item.quantity or 0
            line["cost"] += 0 if is_refund else item.amount
            line["refunded"] += item.amount if is_refund else 0
            for name, number in read_priced(item.pricing or "").quantities.items():
                line[f"/{name}"] += number
    return [
        Usage(
            *(*place, line["requests"], line["cost"], line["refunded"]),
            {name[1:]: number for name, number in line.items() if name.startswith("/")},
        )
        for place, line in sorted(sums.items())
    ]


CHAT: Final = Rule(Rates((Line("input", 1, 1000), Line("output", 2, 1000))))
"""So cheap that even the largest quantities fit a wallet."""


STEPS: Final = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["charge", "variable", "hold", "capture", "release", "refund"]), st.integers(0, 400)),
        st.tuples(st.sampled_from(["chat", "hold chat", "capture chat", "release chat"]), st.integers(0, 400)),
        st.tuples(st.sampled_from(["sum", "sum elsewhere", "sum ben's", "look"]), st.integers(1, 5)),
    ),
    min_size=1,
    max_size=25,
)


class Spender:
    """Asks for what a step says, of what there is to be ended or given back."""

    def __init__(self, stores: Stores) -> None:
        self.now = NOW
        self._store = stores
        self._holds: list[int] = []
        self._chats: list[tuple[int, int]] = []
        """Holds of chats, each with its amount."""
        self._taken: list[int] = []

    async def move(self, what: str, number: int, key: str) -> None:
        """Spend or give back, some time after the last move; another merchant does the same."""
        self.now += number * QUARTER // 100
        request_type = "scan" if number % 3 == 0 else "image"
        command: Command = Charge(Payer(ANN), request_type, 1 + number % 4, key)
        if what == "hold":
            command = CreateHold(Payer(ANN), request_type, 1 + number % 4, key, ttl_seconds=TTL_SECONDS_MAX)
        elif what == "variable":
            command = Charge(Payer(ANN), "call", 1 + number % 4, key, 1 + number)
        elif what == "capture" and self._holds:
            command = CaptureHold(ANN, self._holds.pop(), key, UNIT - number % 2)
        elif what == "release" and self._holds:
            command = ReleaseHold(ANN, self._holds.pop(), key)
        elif what in ("chat", "hold chat"):
            named: Quantities = (("input", 10**12 - number), ("output", number % 2)) if number else ()
            command = Charge(Payer(ANN), "chat", 1, key, quantities=named)
            if what == "hold chat":
                command = CreateHold(Payer(ANN), "chat", 1, key, quantities=named, ttl_seconds=TTL_SECONDS_MAX)
        elif what == "capture chat" and self._chats:
            half = (("input", number // 2),) if number % 3 == 0 else None
            hold_seq, held = self._chats.pop()
            command = CaptureHold(ANN, hold_seq, key, 1 if number % 3 == 1 and held else None, quantities=half)
            if half and not held:
                command = ReleaseHold(ANN, hold_seq, key)
        elif what == "release chat" and self._chats:
            command = ReleaseHold(ANN, self._chats.pop()[0], key)
        elif what == "refund" and self._taken:
            command = Refund(ANN, self._taken.pop(), key, None if number % 2 else 1)
        outcome, _ = await do(self._store, command, Charge(Payer(BEN), "image", 1, key), now=self.now)
        assert outcome.transfer is not None
        if outcome.transfer.kind == Kind.HOLD:
            if outcome.transfer.pricing is None:
                self._holds.append(outcome.transfer.seq)
            else:
                self._chats.append((outcome.transfer.seq, outcome.transfer.amount))
        elif outcome.transfer.kind in (Kind.CHARGE, Kind.CAPTURE) and outcome.transfer.amount:
            self._taken.append(outcome.transfer.seq)


async def _clear(engine: Engine, stores: Stores) -> None:
    """Empty a database, and open it anew: a connector that was open all the time would miss what it committed."""
    await engine.clear()
    if engine.name != "memory":
        await stores.connector.close()
        await stores.connector.open()


@every_store
@examples(25)
@given(steps=STEPS, offset=st.integers(-48, 56), length=st.sampled_from([1, 4, 96]))
async def test_usage_is_exact_however_much_of_it_is_summed_up(
    engine: Engine, stores: Stores, steps: list[tuple[str, int]], offset: int, length: int
) -> None:
    await _clear(engine, stores)
    for merchant_id in (ANN, BEN):
        await add_merchant(stores, merchant_id, funds=1_000_000)
    for number, (request_type, unit_price) in enumerate([("image", UNIT), ("scan", 2 * UNIT), ("call", None)], 1):
        await add_price(stores, number, request_type=request_type, unit_price=unit_price)
    await add_price(stores, 4, request_type="chat", unit_price=None, rule=CHAT)
    other = engine.stores()
    await other.connector.open()
    spender = Spender(stores)

    async def assert_exact() -> None:
        start, end = NOW // QUARTER, spender.now // QUARTER
        for first, last in ((start, end), (start + 1, end), (start, end - 1), (end, end), (end + 1, end + 9)):
            expected = await counted(stores, first, last, offset, length)
            assert expected == await quarters(other, first, last, offset, length)

    for number, (what, amount) in enumerate(steps):
        match what:
            case "sum":
                await stores.usage.roll_up(ANN, transfers_max=amount)
            case "sum elsewhere":
                await other.usage.roll_up(ANN, transfers_max=amount)
            case "sum ben's":
                await stores.usage.roll_up(BEN, transfers_max=amount)
            case "look":
                await assert_exact()
            case _:
                await spender.move(what, amount, f"k{number}")
    await assert_exact()
    if engine.name != "memory":
        await other.connector.close()


@every_store
async def test_usage_is_cut_into_days_where_the_time_zone_has_its_midnight(stores: Stores) -> None:
    """To the microsecond: a quarter's last one is still its own, the next one is the next quarter's."""
    await add_merchant(stores, funds=5_000)
    await add_price(stores)
    midnight = NOW // QUARTER // 96 * 96 + 96
    half_past_five = midnight + 22
    for number, moment in enumerate([midnight * QUARTER, half_past_five * QUARTER]):
        await do(stores, charge(1 + 9 * number, f"before {number}"), now=moment - 1)
        await do(stores, charge(100 + 900 * number, f"at {number}"), now=moment)

    async def days(offset: int, first: int = midnight - 1, last: int = half_past_five) -> dict[int, int]:
        found = await quarters(stores, first, last, offset, 96)
        return {line.bucket - midnight // 96: line.requests for line in found}

    for summed in (0, 3, 99):
        await stores.usage.roll_up(ANN, transfers_max=summed)
        assert {-1: 1, 0: 1110} == await days(0)
        assert {-1: 111, 0: 1000} == await days(-22)
        assert {0: 1111} == await days(22)
        assert {0: 1010} == await days(0, first=midnight + 1)
        assert {-1: 1, 0: 110} == await days(0, last=half_past_five - 1)


@every_store
async def test_books_are_summed_up_once_and_those_with_much_to_sum_up_are_listed(stores: Stores) -> None:
    await add_merchant(stores, funds=100)
    await add_merchant(stores, BEN, funds=100)
    await add_price(stores)
    await do(stores, *[charge(1, f"k{number}") for number in range(9)])
    assert [ANN] == list(await stores.usage.books_to_roll_up(-1, transfers_min=10, limit=9))
    assert [ANN, BEN] == list(await stores.usage.books_to_roll_up(-1, transfers_min=1, limit=9))
    assert [ANN] == list(await stores.usage.books_to_roll_up(-1, transfers_min=1, limit=1))
    assert [BEN] == list(await stores.usage.books_to_roll_up(ANN, transfers_min=1, limit=9))
    assert [4, 4, 2, 0] == [await stores.usage.roll_up(ANN, transfers_max=4) for _ in range(4)]
    assert [BEN] == list(await stores.usage.books_to_roll_up(-1, transfers_min=1, limit=9))
    await do(stores, charge(1, "one more"))
    assert 1 == await stores.usage.roll_up(ANN, transfers_max=4)
    with pytest.raises(NotFound):
        await stores.usage.roll_up(5, transfers_max=4)


@every_store
async def test_several_books_are_summed_up_at_once_each_so_far(stores: Stores) -> None:
    for merchant_id in (ANN, BEN):
        await add_merchant(stores, merchant_id, funds=100)
    await add_price(stores)
    await do(stores, *[charge(1, f"k{number}") for number in range(9)])
    before = await quarters(stores, 0, NOW // QUARTER)
    await stores.usage.roll_up_books([BEN, ANN], transfers_max=6)
    assert [ANN] == list(await stores.usage.books_to_roll_up(-1, transfers_min=1, limit=9))
    await stores.usage.roll_up_books([ANN], transfers_max=6)
    assert [] == list(await stores.usage.books_to_roll_up(-1, transfers_min=1, limit=9))
    assert before == await quarters(stores, 0, NOW // QUARTER)
    with pytest.raises(NotFound):
        await stores.usage.roll_up_books([ANN, 5], transfers_max=4)


async def test_stores_that_sum_up_at_once_count_each_transfer_once(engine: Engine, stores: Stores) -> None:
    await add_merchant(stores, funds=1_000)
    await add_price(stores)
    await do(stores, *[charge(1, f"k{number}") for number in range(200)])
    both = [stores, engine.stores()]
    await both[1].connector.open()
    summed = await asyncio.gather(*[both[turn % 2].usage.roll_up(ANN, transfers_max=17) for turn in range(16)])
    assert 201 == sum(summed)
    found = await quarters(stores, 0, NOW // QUARTER)
    assert [(200, 200 * UNIT, 0)] == [(line.requests, line.cost, line.refunded) for line in found]
    await both[1].connector.close()


async def test_usage_is_never_counted_twice_or_lost_while_it_is_summed_up(engine: Engine, stores: Stores) -> None:
    """What one store reads while others charge and sum up is never less than before, and no more than was charged."""
    await add_merchant(stores, funds=1_000)
    await add_price(stores)

    async def look(reader: Stores) -> int:
        return sum(line.requests for line in await quarters(reader, 0, NOW // QUARTER))

    charged = await write_roll_up_and_look(engine, write=lambda number: do(stores, charge(1, f"k{number}")), look=look)
    found = [(line.requests, line.cost) for line in await quarters(stores, 0, NOW // QUARTER)]
    assert [(charged, charged * UNIT)] == found


async def test_a_book_that_is_not_there_is_not_marked_as_summed_up(engine: Engine, stores: Stores) -> None:
    with pytest.raises(NotFound):
        await stores.usage.roll_up(ANN, transfers_max=4)
    assert [] == await engine.execute("SELECT * FROM usage_mark")


@every_store
async def test_an_action_that_moves_no_money_is_logged_with_its_change(stores: Stores) -> None:
    await add_merchant(stores)
    await do(stores, SetFrozen(ANN, True, actor=Actor(3, "ann")))
    assert [("set_frozen", "frozen", NOW)] == [
        (item.action, item.detail, item.at) for item in await audit_entries(stores)
    ]
