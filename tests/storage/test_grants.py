"""Grants of credit on each engine: batches meet those that they need, and none is spent twice or after its end."""

import asyncio
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from farebox.core.accounts import Kind
from farebox.core.commands import (
    CaptureHold,
    Charge,
    Command,
    CreateHold,
    EndGrant,
    ExpireHold,
    GiveCredit,
    Payer,
    Refund,
    ReleaseHold,
    SettleGrants,
    TopUp,
)
from farebox.core.credit.grants import GRANTS_LOADED_MAX, Grant, GrantState, read_given
from farebox.core.invariants import InvariantViolation
from farebox.core.state import BatchState, Decision, MoreGrantsNeeded, reads
from farebox.storage.stores import Stores
from tests.storage.engines import Engine, SqliteEngine, accepted, every_store
from tests.support.ledger import (
    ANN,
    BEN,
    NOW,
    SECOND,
    UNIT,
    account_of,
    add_merchant,
    add_neighbour,
    add_price,
    book,
    charge,
    do,
    everything,
    faults,
    hold,
    loaded,
)
from tests.support.memory import MemoryConnector

DAY: Final = 24 * 3600 * SECOND


def give(number: int, units: int = 1, merchant_id: int = ANN, **more: Any) -> GiveCredit:
    return GiveCredit(merchant_id, units * UNIT, f"G-{number}", "welcome", **more)


async def begin(stores: Stores) -> None:
    for merchant_id in (ANN, BEN):
        await add_merchant(stores, merchant_id, funds=50)
    await add_price(stores)
    await add_price(stores, 2, request_type="call")


# What a batch meets.


@every_store
async def test_a_batch_without_given_credit_meets_no_grant(stores: Stores) -> None:
    await begin(stores)
    await do(stores, give(1, merchant_id=BEN))
    state = await loaded(stores, charge(1), hold(1), TopUp(ANN, UNIT, "more"))
    assert ({}, frozenset(), {}) == (state.grants, state.grants_complete, state.first_grants)


@every_store
async def test_a_charge_that_the_first_grants_do_not_pay_for_meets_more_of_them(stores: Stores) -> None:
    await begin(stores)
    await do(stores, *[give(number, types="call") for number in range(GRANTS_LOADED_MAX - 1)], give(9, 2), give(10))
    first = (await loaded(stores, charge(1))).first_grants[ANN]
    assert ([*range(1, GRANTS_LOADED_MAX + 1)], False) == ([*first.lots], first.are_all)
    await do(stores, charge(1))
    assert [GRANTS_LOADED_MAX] == [
        grant.number for grant in await stores.grants.open(ANN, 99) if grant.left < grant.amount
    ]


@every_store
async def test_a_charge_meets_the_first_grants_in_the_order_of_spending(stores: Stores) -> None:
    await begin(stores)
    more: list[dict[str, Any]] = [
        {"priority": number % 3, "expires_at": NOW + DAY + number if number % 2 else None} for number in range(40)
    ]
    await do(stores, *[give(number, **fields) for number, fields in enumerate(more)])
    state = await loaded(stores, charge(1), charge(1, "other", BEN))
    grants = await stores.grants.open(ANN, 99)
    assert sorted(grants, key=lambda grant: grant.order) == list(grants)
    assert {ANN} == state.first_grants.keys()
    first = state.first_grants[ANN]
    assert 1 <= len(first.lots) <= GRANTS_LOADED_MAX
    assert ([grant.lot for grant in grants[: len(first.lots)]], False) == ([*first.lots.values()], first.are_all)
    many = [charge(1, f"of many {number}") for number in range(GRANTS_LOADED_MAX)]
    assert [grant.number for grant in grants[:GRANTS_LOADED_MAX]] == [
        *(await loaded(stores, *many)).first_grants[ANN].lots
    ]
    # One that is used up is passed over, and of a few all are there. Paid money goes ahead of some.
    await do(stores, charge(50 + 41 - GRANTS_LOADED_MAX))
    state = await loaded(stores, *many)
    assert state.first_grants[ANN].are_all
    assert set(range(1, 41)) - state.first_grants[ANN].lots.keys() == {
        grant.number for grant in await stores.grants.list(ANN, before=99, limit=99) if not grant.left
    }


@every_store
async def test_a_batch_meets_all_that_is_open_or_waits_once_something_is_due(stores: Stores) -> None:
    await begin(stores)
    await do(
        stores,
        give(1, expires_at=NOW + DAY),
        give(2),
        give(3, starts_at=NOW + 2 * DAY),
        give(4, expires_at=NOW + 3 * DAY),
        give(5),
        EndGrant(ANN, 5, "mistake"),
        # Nothing is left of the first one.
        charge(1),
    )
    before = await loaded(stores, TopUp(ANN, UNIT, "more"), now=NOW + DAY - 1)
    assert ({}, frozenset()) == (before.grants, before.grants_complete)
    state = await loaded(stores, TopUp(ANN, UNIT, "more"), now=NOW + DAY)
    assert [1, 2, 3, 4] == sorted(number for _, number in state.grants)
    assert {ANN} == state.grants_complete
    # The book's own time counts where the clock is behind it.
    await do(stores, charge(1, "late"), now=NOW + 2 * DAY - 1)
    await do(stores, TopUp(ANN, UNIT, "later"), now=NOW + 2 * DAY)
    account = await account_of(stores)
    assert NOW + 3 * DAY == account.grants_due_at
    state = await loaded(stores, SettleGrants(ANN), now=NOW)
    assert {} == state.grants


@every_store
async def test_what_gives_back_meets_the_grants_that_it_names_and_a_repetition_its_own(stores: Stores) -> None:
    await begin(stores)
    await do(stores, *[give(number) for number in range(1, 6)], charge(3), hold(2), give(6, starts_at=NOW + DAY))
    for command, numbers in (
        (Refund(ANN, 7, "refund"), [1, 2, 3]),
        (ReleaseHold(ANN, 8, "release"), [4, 5]),
        (CaptureHold(ANN, 8, "capture"), [4, 5]),
        (ExpireHold(ANN, 8), [4, 5]),
        (give(6, starts_at=NOW + DAY), [6]),
        (give(7), []),
        (EndGrant(ANN, 2, "mistake"), [2, 6]),
    ):
        state = await loaded(stores, command)
        assert numbers == sorted(number for _, number in state.grants), command


@every_store
async def test_more_grants_are_met_if_they_are_asked_for(stores: Stores) -> None:
    await begin(stores)
    await do(stores, *[give(number) for number in range(30)], *[give(n, merchant_id=BEN) for n in range(30)])
    (outcome,) = await do(stores, charge(25))
    assert outcome.transfer is not None
    assert 25 == len(read_given(outcome.transfer.given))
    # Two books at once, each of which needs more than it has at first.
    both = await do(stores, charge(5, "both"), charge(70, "both", BEN))
    assert [5, 30] == [len(read_given(one.transfer.given)) for one in both if one.transfer is not None]
    assert [] == [*await faults(stores), *await faults(stores, BEN)]


async def test_a_batch_that_is_never_content_is_given_up(stores: Stores) -> None:
    await begin(stores)
    other = await add_neighbour(stores)
    await do(stores, give(1), give(1, merchant_id=other))
    seen: list[frozenset[int]] = []

    def never(state: BatchState) -> Decision:
        seen.append(frozenset(state.grants_complete))
        raise MoreGrantsNeeded(ANN)

    commands = [charge(1), charge(1, "charge", other)]
    with pytest.raises(InvariantViolation, match="more grants"):
        await stores.connector.transact(reads(commands, NOW), never)
    assert [frozenset(), {ANN}, {ANN, other}] == seen
    assert all(outcome.is_ok for outcome in await do(stores, *commands))


# The same as the store in memory.


class Story:
    """Makes up what happens to two books that have grants, from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._number = 0

    def batch(self, now: int) -> list[Command]:
        """Make up a few commands, some of which are refused."""
        return [self._command(now) for _ in range(self._random.randint(1, 6))]

    def _command(self, now: int) -> Command:
        random = self._random
        self._number += 1
        key, merchant_id = f"key {self._number}", random.choice((ANN, ANN, ANN, BEN))
        payer, request_type, units = Payer(merchant_id), random.choice(("image", "call")), random.randint(1, 9)
        # Holds, captures and refunds that name what is none of theirs are refused.
        seq = random.randint(1, 3 * self._number)
        choices: list[Command] = [
            *[Charge(payer, request_type, units, key)] * 5,
            *[CreateHold(payer, request_type, units, key, ttl_seconds=3_600)] * 3,
            CaptureHold(merchant_id, seq, key),
            CaptureHold(merchant_id, seq, key, UNIT),
            ReleaseHold(merchant_id, seq, key),
            ExpireHold(merchant_id, seq),
            *[Refund(merchant_id, seq, key, random.choice((None, UNIT)))] * 3,
            TopUp(merchant_id, 3 * UNIT, key),
            *[self._grant(merchant_id, now)] * 6,
            EndGrant(merchant_id, random.randint(1, 9), "mistake"),
            SettleGrants(merchant_id),
        ]
        return random.choice(choices)

    def _grant(self, merchant_id: int, now: int) -> GiveCredit:
        random = self._random
        starts_at = random.choice((None, None, now + random.randint(1, 3) * DAY))
        return give(
            self._number,
            random.randint(1, 9),
            merchant_id,
            starts_at=starts_at,
            expires_at=random.choice((None, (starts_at or now) + random.randint(1, 4 * DAY))),
            types=random.choice((None, None, "image", "call image")),
            priority=random.choice((0, 0, 1, 7)),
        )


@pytest.mark.parametrize("seed", range(3))
async def test_books_with_grants_are_those_of_the_store_in_memory(stores: Stores, seed: int) -> None:
    memory = MemoryConnector()
    for each in (stores, memory.stores):
        await begin(each)
    story, now = Story(seed), NOW
    for number in range(60):
        commands = story.batch(now)
        assert await do(memory.stores, *commands, now=now) == await do(stores, *commands, now=now)
        now += number % 3 * DAY // 4
    expected = memory.rows()
    assert {GrantState.WAITING, GrantState.OPEN, GrantState.ENDED} == {grant.state for grant in expected["grants"]}
    assert {Kind.GRANT, Kind.GRANT_EXPIRY} <= {transfer.kind for transfer in expected["transfers"]}
    found = await everything(stores, [ANN, BEN])
    assert {name: expected[name] for name in found} == found
    assert [] == [*await faults(stores), *await faults(stores, BEN)]


# Reading.


@every_store
async def test_grants_are_read_by_number_by_age_and_by_their_times(stores: Stores) -> None:
    await begin(stores)
    await do(
        stores,
        give(1, expires_at=NOW + 3 * DAY),
        give(2, starts_at=NOW + 2 * DAY),
        give(3, starts_at=NOW + DAY, expires_at=NOW + 4 * DAY),
        give(4, 2, priority=1, types="call image"),
        give(1, merchant_id=BEN, expires_at=NOW + 2 * DAY),
    )
    grants = await stores.grants.list(ANN, before=99, limit=9)
    assert [4, 3, 2, 1] == [grant.number for grant in grants]
    assert [2, 1] == [grant.number for grant in await stores.grants.list(ANN, before=3, limit=9)]
    assert [4] == [grant.number for grant in await stores.grants.list(ANN, before=99, limit=1)]
    fourth = Grant(
        *(
            ANN,
            4,
            2 * UNIT,
            2 * UNIT,
            "G-4",
            "welcome",
            "grant G-4",
            give(4, 2, priority=1, types="call image").fingerprint(),
        ),
        priority=1,
        starts_at=NOW,
        types="call image",
        transfer_seq=3,
    )
    assert fourth == await stores.grants.find(ANN, 4)
    assert None is await stores.grants.find(BEN, 4)
    assert [2, 4] == [grant.number for grant in await stores.grants.at(ANN, [4, 2, 9])]
    assert [1, 4] == [grant.number for grant in await stores.grants.open(ANN, 9)]
    assert [1] == [grant.number for grant in await stores.grants.open(ANN, 1)]
    assert [3, 2] == [grant.number for grant in await stores.grants.waiting(ANN, 9)]
    assert [3] == [grant.number for grant in await stores.grants.waiting(ANN, 1)]
    assert [] == await stores.grants.due(NOW + DAY - 1, 9)
    assert [ANN] == await stores.grants.due(NOW + DAY, 9)
    assert [ANN, {ANN, BEN}] == [(due := await stores.grants.due(NOW + 2 * DAY, 9))[0], set(due)]
    assert [ANN] == await stores.grants.due(NOW + 9 * DAY, 1)
    async with stores.connector.snapshot() as snapshot:
        assert list(reversed(grants)) == list(await snapshot.grants(ANN))


@every_store
async def test_what_came_in_counts_grants_and_their_ends(stores: Stores) -> None:
    await begin(stores)
    await do(stores, give(1, expires_at=NOW + DAY), give(2), give(3), charge(2), EndGrant(ANN, 3, "mistake"))
    await do(stores, Refund(ANN, 5, "refund"), now=NOW + DAY)
    kinds = [(transfer.seq, Kind(transfer.kind)) for transfer in await stores.transfers.funding_after(ANN, 2)]
    grants = [(2, Kind.GRANT), (3, Kind.GRANT), (4, Kind.GRANT)]
    # What the refund gave back of the first grant ended at once.
    ends = [(6, Kind.GRANT_EXPIRY), (8, Kind.GRANT_EXPIRY)]
    assert [*grants, *ends] == kinds
    assert ends == [(item.seq, Kind(item.kind)) for item in await stores.transfers.funding_after(ANN, 5)]
    assert [1] == [transfer.seq for transfer in await stores.transfers.funding_after(BEN, 1)]


# Several at once.


async def test_stores_that_spend_the_same_grants_at_once_take_each_micro_once(engine: Engine, stores: Stores) -> None:
    await begin(stores)
    other = engine.stores()
    await other.connector.open()
    await do(stores, *[give(number, 2, expires_at=NOW + DAY + number) for number in range(20)])
    outcomes = await asyncio.gather(
        *[do((stores, other)[number % 2], charge(1 + number % 3, f"charge {number}")) for number in range(40)]
    )
    taken = sum(
        micros
        for (outcome,) in outcomes
        if outcome.transfer is not None
        for _, micros in read_given(outcome.transfer.given)
    )
    assert 40 * UNIT == taken
    assert [] == await faults(stores)
    assert [] == await stores.grants.open(ANN, 9)
    account = await account_of(other)
    assert (0, 90 * UNIT - sum(1 + number % 3 for number in range(40)) * UNIT) == (account.given, account.wallet)
    await other.connector.close()


async def test_a_grant_ends_at_its_very_microsecond_whoever_comes_first(engine: Engine, stores: Stores) -> None:
    await begin(stores)
    other = engine.stores()
    await other.connector.open()
    end = NOW + DAY
    await do(stores, *[give(number, 3, expires_at=end) for number in range(5)])
    (before,) = await do(stores, charge(1, "before"), now=end - 1)
    assert before.transfer is not None
    assert f"1:{UNIT}" == before.transfer.given
    found = await asyncio.gather(
        *[do((stores, other)[number % 2], SettleGrants(ANN), now=end) for number in range(4)],
        *[do((stores, other)[number % 2], charge(1, f"after {number}"), now=end) for number in range(4)],
    )
    assert [None] * 4 == [outcome.transfer.given for (outcome,) in found if outcome.transfer is not None]
    ends = [transfer.amount for transfer in await book(stores) if transfer.kind == Kind.GRANT_EXPIRY]
    assert [2 * UNIT, *[3 * UNIT] * 4] == ends
    assert [] == await faults(stores)
    await other.connector.close()


# The database's own constraints.

BAD_ROWS: Final = {
    "less than nothing is left": "UPDATE credit_grant SET remaining = -1 WHERE number = 1",
    "more is left than was given": "UPDATE credit_grant SET remaining = amount + 1 WHERE number = 1",
    "something is left of one that waits": "UPDATE credit_grant SET remaining = 1 WHERE number = 2",
    "something is left of one that has ended": "UPDATE credit_grant SET remaining = 1 WHERE number = 3",
    "a grant of nothing": "UPDATE credit_grant SET amount = 0, remaining = 0 WHERE number = 3",
    "an end before the start": "UPDATE credit_grant SET expires_at = starts_at WHERE number = 1",
    "an open grant that no transfer brought": "UPDATE credit_grant SET transfer_seq = NULL WHERE number = 1",
    "a waiting grant that a transfer brought": "UPDATE credit_grant SET transfer_seq = 1 WHERE number = 2",
    "an ended grant without an end": "UPDATE credit_grant SET ended_at = NULL WHERE number = 3",
    "an open grant with an end": "UPDATE credit_grant SET ended_at = 5 WHERE number = 1",
    "a grant in no state": "UPDATE credit_grant SET state = 4, remaining = 0 WHERE number = 1",
    "a priority beyond the last": "UPDATE credit_grant SET priority = 101",
    "no types": "UPDATE credit_grant SET types = ''",
    "number 0": "UPDATE credit_grant SET number = 0 WHERE number = 1",
    "a grant of no merchant": "UPDATE credit_grant SET merchant_id = 5",
    "a reference twice": "UPDATE credit_grant SET idempotency_key = 'grant G-1' WHERE number = 2",
    "more given than the wallet and the credit limit have": "UPDATE account SET given = wallet + 1",
    "promotions above nothing": "UPDATE account SET promotions = 1, adjustments = adjustments - promotions - 1",
}


async def test_the_database_itself_refuses_rows_that_break_a_rule_of_grants(engine: Engine, stores: Stores) -> None:
    await begin(stores)
    await do(stores, give(1), give(2, starts_at=NOW + DAY), give(3), EndGrant(ANN, 3, "mistake"))
    before = await everything(stores, [ANN])
    assert [] == await accepted(engine, BAD_ROWS)
    assert before == await everything(stores, [ANN])


DROP_CONSTRAINTS: Final = """
DO $$ BEGIN EXECUTE (
    SELECT 'ALTER TABLE credit_grant ' || string_agg('DROP CONSTRAINT ' || conname, ', ')
    FROM pg_constraint WHERE contype = 'c' AND conrelid = 'credit_grant'::regclass
); END $$
"""


async def test_a_damaged_grant_is_noticed_before_anything_is_decided(engine: Engine, stores: Stores) -> None:
    await begin(stores)
    await do(stores, give(1))
    damage = "UPDATE credit_grant SET remaining = amount + 1"
    if isinstance(engine, SqliteEngine):
        await engine.execute(f"PRAGMA ignore_check_constraints = 1; {damage}")
    else:
        await engine.execute(DROP_CONSTRAINTS)
        await engine.execute(damage)
    with pytest.raises(InvariantViolation, match="is left"):
        await do(stores, charge(1))


async def test_a_backup_has_grants(engine: Engine, stores: Stores, tmp_path: Path) -> None:
    if not isinstance(engine, SqliteEngine):
        # A server's own tools make its backups, with every table.
        assert "credit_grant" in {name for (name,) in await engine.execute("SELECT relname FROM pg_class")}
        return
    await begin(stores)
    await do(stores, give(1, 5, expires_at=NOW + DAY), give(2, starts_at=NOW + DAY), charge(2))
    await stores.connector.backup(tmp_path / "backup.db")
    await do(stores, charge(3, "later"))
    kept = SqliteEngine(tmp_path / "backup.db").stores()
    await kept.connector.open()
    assert [] == await faults(kept)
    (outcome,) = await do(kept, charge(4, "next"))
    assert outcome.transfer is not None
    assert f"1:{3 * UNIT}" == outcome.transfer.given
    assert [ANN, ANN] == await kept.grants.due(NOW + DAY, 9)
    await kept.connector.close()
