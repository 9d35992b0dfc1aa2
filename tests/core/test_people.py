"""Who counts as whom: stories of people, accounts, keys that make keys, and what they ask for and approve.

The stories are checked by a second telling, in which each account and key is simply somebody's hand: the person of
flesh who added the account or made the key, and all else who may hold it.
"""

from collections.abc import Callable
from random import Random
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from farebox.core.approvals import ALONE_MICROS, ApprovalLimits
from farebox.core.commands import (
    Actor,
    Adjust,
    Approve,
    Caller,
    KeyKind,
    Move,
    Refund,
    RequestApproval,
    SetCreditLimit,
    TopUp,
)
from farebox.core.outcomes import Code
from farebox.core.people import COMMAND_LINE, UNKNOWN, account_people, are_others, read_people, write_people
from farebox.core.staff_roles import EVERY_ROLE
from farebox.storage.records import ApiKey, Login, Maker, Realm
from tests.support.effort import examples
from tests.support.ledger import ANN, NOW, SECOND, UNIT, MemoryLedger, charge, digest, top_up
from tests.support.memory import at_once

PEOPLE: Final = st.frozensets(st.integers(0, 6), min_size=1)
LIMIT: Final = ApprovalLimits(100 * UNIT)


@given(PEOPLE, PEOPLE)
def test_people_are_others_if_nobody_is_common_and_nothing_unknown(one: frozenset[int], other: frozenset[int]) -> None:
    expected = not one & other and UNKNOWN not in one and UNKNOWN not in other
    assert expected == are_others(one, other) == are_others(other, one)
    assert one == read_people(write_people(one))
    assert not are_others(one, one)


def test_an_account_counts_as_itself_and_as_those_who_added_it() -> None:
    assert frozenset({7}) == account_people(7, "")
    assert frozenset({7, 8, 9}) == account_people(7, "8,9")


# Limits by currency, and over a day.


@pytest.mark.parametrize(("currency", "expected"), [("JPY", 20_000), ("KWD", 100), ("USD", 100)])
def test_a_currency_has_its_own_limit_or_that_of_all(currency: str, expected: int) -> None:
    assert expected == ApprovalLimits(100, (("JPY", 20_000),)).of(currency)
    assert (20_000 if currency == "JPY" else None) == ApprovalLimits(None, (("JPY", 20_000),)).of(currency)


def _account(on: MemoryLedger, number: int, *, counts_as: str = "") -> Actor:
    login = Login(number, Realm.SUPPORT, f"{number}@x.example", "x", NOW, roles=EVERY_ROLE, counts_as=counts_as)
    at_once(on.stores.logins.add(login))
    return Actor(number, f"account {number}", login_id=number)


def _ask(on: MemoryLedger, move: Move, number: int) -> bool:
    """Tell whether a move was made; False if it waits."""
    (outcome,) = on.run(RequestApproval(move, number, LIMIT))
    assert outcome.is_ok, outcome
    return outcome.approval is None


def test_what_one_person_moves_within_a_day_counts_together() -> None:
    on = MemoryLedger()
    ann = _account(on, 11)
    assert _ask(on, TopUp(ANN, 60 * UNIT, "A", actor=ann), 1)
    assert not _ask(on, TopUp(ANN, 41 * UNIT, "B", actor=ann), 2)
    assert _ask(on, TopUp(ANN, 40 * UNIT, "C", actor=ann), 3)
    # Another person has a limit of their own.
    assert _ask(on, TopUp(ANN, 100 * UNIT, "D", actor=_account(on, 12)), 4)
    # A day later it is forgotten, to the microsecond.
    on.now = NOW + ALONE_MICROS - 1
    assert not _ask(on, TopUp(ANN, UNIT, "E", actor=ann), 5)
    on.now = NOW + ALONE_MICROS
    assert _ask(on, TopUp(ANN, 100 * UNIT, "F", actor=ann), 6)


def test_nothing_is_netted_and_every_way_of_raising_counts() -> None:
    on = MemoryLedger()
    ann = _account(on, 11)
    on.run(top_up(50), charge(30, "c"))
    assert _ask(on, SetCreditLimit(ANN, 30 * UNIT, actor=ann), 1)
    assert _ask(on, SetCreditLimit(ANN, 0, actor=ann), 2)
    assert _ask(on, SetCreditLimit(ANN, 30 * UNIT, actor=ann), 3)
    assert _ask(on, Refund(ANN, 2, "r", 10 * UNIT, actor=ann), 4)
    assert _ask(on, Adjust(ANN, 10 * UNIT, False, "down", "x", actor=ann), 5)
    assert _ask(on, Adjust(ANN, 10 * UNIT, True, "up", "x", actor=ann), 6)
    assert _ask(on, TopUp(ANN, 10 * UNIT, "t", actor=ann), 7)
    more: list[Move] = [
        TopUp(ANN, UNIT, "u", actor=ann),
        Adjust(ANN, UNIT, True, "v", "x", actor=ann),
        Refund(ANN, 2, "s", UNIT, actor=ann),
        SetCreditLimit(ANN, 31 * UNIT, actor=ann),
    ]
    assert [False] * 4 == [_ask(on, move, number) for number, move in enumerate(more, 10)]
    assert _ask(on, SetCreditLimit(ANN, 29 * UNIT, actor=ann), 20), "lowering is free"


def test_a_credit_limit_is_approved_by_another_person_and_once() -> None:
    on = MemoryLedger()
    ann, ben = _account(on, 11), _account(on, 12)
    move = SetCreditLimit(ANN, 100_000 * UNIT, actor=ann)
    assert not _ask(on, move, 7)
    assert 0 == on.ann.credit_limit
    assert Code.IDEMPOTENCY_CONFLICT is on.code(RequestApproval(replace(move, credit_limit=500 * UNIT), 8, LIMIT))
    assert Code.APPROVAL_NEEDS_ANOTHER_PERSON is on.code(Approve(move, 7))
    (approved,) = on.run(Approve(replace(move, actor=ben), 7))
    assert (Code.OK, 100_000 * UNIT) == (approved.code, on.ann.credit_limit)
    (again,) = on.run(Approve(replace(move, actor=ben), 7))
    assert again.is_replay
    # The same limit again, after it was lowered, is another request.
    on.run(SetCreditLimit(ANN, 0, actor=ann))
    assert not _ask(on, move, 9)


def test_a_refund_of_all_that_is_left_is_approved_as_it_was_asked_for() -> None:
    on = MemoryLedger()
    ann, ben = _account(on, 11), _account(on, 12)
    on.run(top_up(500), charge(300, "c"))
    move = Refund(ANN, 2, "r", None, actor=ann)
    assert not _ask(on, move, 7)
    on.run(Refund(ANN, 2, "part", 100 * UNIT))
    assert Code.REFUND_EXCEEDS_TRANSFER is on.code(Approve(replace(move, actor=ben), 7))
    other = replace(move, idempotency_key="q", amount=150 * UNIT)
    assert not _ask(on, other, 8)
    assert Code.OK is on.code(Approve(replace(other, actor=ben), 8))
    assert 450 * UNIT == on.ann.wallet


# A thousand stories.


class _Story:
    """People of flesh, what each of them holds, and a limit of 0: everything waits for another person."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.on = MemoryLedger()
        self.hands: dict[str, frozenset[int]] = {}
        """Of each way in, the people of flesh who may hold it; 1 is everybody at the machine."""
        self.ways: dict[str, tuple[Caller | None, Actor]] = {"shell": (None, Actor(1, "shell:root"))}
        self.hands["shell"] = frozenset({COMMAND_LINE})
        self.logins: dict[str, int] = {}
        self.serial = 100
        for _ in range(self.random.randint(1, 3)):
            self.add_account("shell")

    def next(self) -> int:
        self.serial += 1
        return self.serial

    def maker(self, way: str) -> Maker:
        caller, actor = self.ways[way]
        return Maker(actor.login_id, None if caller is None else caller.digest)

    def add_account(self, by: str) -> None:
        """Add an account: it is its own person, and until it is confirmed those who added it may hold it."""
        number = self.next()
        people = at_once(self.on.stores.logins.people(self.maker(by))) - {COMMAND_LINE}
        name = f"account {number}"
        login = Login(number, Realm.SUPPORT, f"{number}@x.example", name, NOW, counts_as=write_people(people))
        at_once(self.on.stores.logins.add(login))
        self.ways[name] = (None, Actor(number, name, login_id=number))
        self.hands[name] = frozenset({number}) | (self.hands[by] - {COMMAND_LINE})
        self.logins[name] = number

    def make_key(self, by: str) -> None:
        number = self.next()
        key = ApiKey(number, KeyKind.SUPPORT, digest(number), "fbu", NOW, name=f"key {number}", roles=EVERY_ROLE)
        at_once(self.on.stores.api_keys.create(key, maker=self.maker(by)))
        self.ways[f"key {number}"] = (Caller(digest(number)), Actor(number, f"key {number}", number))
        self.hands[f"key {number}"] = self.hands[by]

    def rotate_key(self, by: str) -> None:
        keys = [name for name in self.ways if name.startswith("key ")]
        if not keys:
            return
        old, number = self.random.choice(keys), self.next()
        key = ApiKey(number, KeyKind.SUPPORT, digest(number), "fbu", NOW, name=f"key {number}", roles=EVERY_ROLE)
        at_once(
            self.on.stores.api_keys.rotate(
                int(old.split()[1]), successor=key, expires_at=NOW + 9 * SECOND, maker=self.maker(by)
            )
        )
        self.ways[f"key {number}"] = (Caller(digest(number)), Actor(number, f"key {number}", number))
        self.hands[f"key {number}"] = self.hands[old] | (frozenset() if by == "shell" else self.hands[by])

    def confirm(self, by: str) -> None:
        """Let somebody say that an account is another person's: only one who is nobody of those who may hold it."""
        name = self.random.choice(list(self.logins))
        login = at_once(self.on.stores.logins.get(self.logins[name]))
        assert login is not None
        people = at_once(self.on.stores.logins.people(self.maker(by)))
        is_other = are_others(people, account_people(login.login_id, login.counts_as))
        assert is_other is not bool(self.hands[by] & self.hands[name]), (by, name)
        if is_other:
            at_once(self.on.stores.logins.add(replace(login, counts_as="")))
            self.hands[name] = frozenset({login.login_id})

    def ask_and_approve(self, asker: str) -> None:
        """Ask by one way, let some things happen, approve by another: it goes through if no hand is common."""
        number = self.next()
        move = TopUp(ANN, UNIT, f"R {number}", None, *self.ways[asker])
        asking = self.hands[asker]
        (asked,) = self.on.run(RequestApproval(move, number))
        assert asked.approval is not None
        for _ in range(self.random.randint(0, 3)):
            self.happen(is_quiet=True)
        approver = self.random.choice(list(self.ways))
        caller, actor = self.ways[approver]
        (outcome,) = self.on.run(Approve(replace(move, caller=caller, actor=actor), number))
        is_other = not asking & self.hands[approver]
        expected = Code.OK if is_other else Code.APPROVAL_NEEDS_ANOTHER_PERSON
        assert expected is outcome.code, (asker, approver, self.hands)

    def happen(self, *, is_quiet: bool = False) -> None:
        by = self.random.choice(list(self.ways))
        actions: list[Callable[[str], None]] = [self.add_account, self.make_key, self.make_key]
        actions += [self.rotate_key, self.confirm]
        if not is_quiet:
            actions += [self.ask_and_approve] * 4
        self.random.choice(actions)(by)


@examples(250)
@given(st.integers(0, 2**32))
def test_in_no_story_does_one_person_approve_what_they_asked_for(seed: int) -> None:
    story = _Story(seed)
    for _ in range(12):
        story.happen()


@examples(150)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 90), st.integers(0, 20))))
def test_in_no_stretch_of_a_day_does_one_person_move_more_than_the_limit(moves: list[tuple[int, int, int]]) -> None:
    on = MemoryLedger()
    actors = [_account(on, 11), _account(on, 12), _account(on, 13, counts_as="11")]
    alone: list[tuple[int, frozenset[int], int]] = []
    people = [frozenset({11}), frozenset({12}), frozenset({11, 13})]
    for number, (who, amount, hours) in enumerate(moves):
        on.now += hours * 3600 * SECOND
        made = _ask(on, TopUp(ANN, amount * UNIT, f"R {number}", actor=actors[who]), 1000 + number)
        earlier = sum(sum_ for at, them, sum_ in alone if at > on.now - ALONE_MICROS and them & people[who])
        assert made is (earlier + amount <= 100)
        if made:
            alone.append((on.now, people[who], amount))
