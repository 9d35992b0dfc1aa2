"""Tables of the ledger's rules: who may ask what, which refusal comes first, what each kind moves, what fires."""

from collections.abc import Sequence
from typing import Final

import pytest
from msgspec.structs import replace

from farebox.core import chain
from farebox.core.accounts import DEBIT_AND_CREDIT, KIND_WORDS, Account, Kind, debit_and_credit
from farebox.core.commands import (
    Adjust,
    Caller,
    CaptureHold,
    Charge,
    Command,
    CreateHold,
    ExpireHold,
    KeyKind,
    Payer,
    Refund,
    ReleaseHold,
    ReverseTopUp,
    SetCreditLimit,
    SetFrozen,
    SetThresholds,
    TopUp,
)
from farebox.core.holds import Hold, HoldState
from farebox.core.invariants import InvariantViolation, account_faults, check_account, check_hold, hold_faults
from farebox.core.money import AMOUNT_MICROS_MAX, BALANCE_MICROS_MAX
from farebox.core.outcomes import Code, Outcome
from farebox.core.state import KeyRecord, key_allows
from farebox.core.thresholds import Threshold
from tests.core import strategies as some
from tests.core.applied import Books
from tests.core.strategies import ANN, ANNS, BOB, FORGED, NOBODY, SECOND, SERVICE, START, SUPPORT, UNIT

ME: Final = Payer(ANN)
IN_AN_HOUR: Final = START + 3600 * SECOND
MAX: Final = AMOUNT_MICROS_MAX


def _ask(books: Books, command: Command, seconds: int = 0) -> Outcome:
    return books.run([command], START + seconds * SECOND).outcomes[0]


def _done(commands: Sequence[Command]) -> Books:
    books = some.new_books()
    for command in commands:
        outcome = _ask(books, command)
        assert outcome.is_ok, (command, outcome)
    return books


def _wallet_held(books: Books) -> tuple[int, int]:
    account = books.accounts[ANN]
    return account.wallet, account.held


# What has happened before each row of the table: numbers are those of the book's transfers.
BEFORE: Final[tuple[Command, ...]] = (
    TopUp(ANN, 100 * UNIT, "T1"),  # 1
    Charge(ME, "image", 10, "charge"),  # 2
    CreateHold(ME, "image", 2, "open"),  # 3
    CreateHold(ME, "image", 2, "captured"),  # 4
    CaptureHold(ANN, 4, "capture"),  # 5
    CreateHold(ME, "image", 2, "released"),  # 6
    ReleaseHold(ANN, 6, "release"),  # 7
    CreateHold(ME, "image", 2, "over", ttl_seconds=1),  # 8
    CreateHold(ME, "image", 1, "swept", ttl_seconds=1),  # 9
    Adjust(ANN, 83 * UNIT, False, "A1", "leaves none until the last hold comes back"),  # 10
)
SWEEP: Final = ExpireHold(ANN, 9)
FREEZE: Final = SetFrozen(ANN, True)
OWES: Final = (SetCreditLimit(ANN, 5 * UNIT), Charge(ME, "image", 4, "owes"))

REFUSALS: Final[tuple[tuple[Code, tuple[Command, ...], Command], ...]] = (
    (Code.INVALID_API_KEY, (), Charge(Payer(NOBODY), "unheard", 1, "n", caller=Caller(FORGED))),
    (Code.INVALID_API_KEY, (), TopUp(NOBODY, MAX + 1, "T1", caller=Caller(b"ended"))),
    (Code.INVALID_API_KEY, (), TopUp(ANN, UNIT, "n", caller=Caller(b"revoked"))),
    (Code.INVALID_API_KEY, (), Charge(ME, "image", 1, "n", caller=Caller(SERVICE, ANN))),
    (Code.FORBIDDEN, (), Charge(Payer(NOBODY), "image", 1, "n", caller=Caller(SUPPORT))),
    (Code.FORBIDDEN, (), Charge(ME, "image", 11, "charge", caller=Caller(ANNS, ANN))),
    (Code.FORBIDDEN, (), TopUp(NOBODY, UNIT, "n", caller=Caller(SERVICE))),
    (Code.FORBIDDEN, (), SetCreditLimit(NOBODY, UNIT, caller=Caller(SERVICE))),
    (Code.MERCHANT_NOT_FOUND, (), Charge(Payer(NOBODY), "unheard", 1, "n")),
    (Code.MERCHANT_NOT_FOUND, (), Charge(Payer(ANN, FORGED), "image", 11, "charge")),
    (Code.MERCHANT_NOT_FOUND, (), Charge(Payer(BOB, ANNS), "image", 1, "n")),
    (Code.MERCHANT_NOT_FOUND, (), SetFrozen(NOBODY, True)),
    (Code.MERCHANT_NOT_FOUND, (), TopUp(NOBODY, MAX + 1, "n")),
    (Code.IDEMPOTENCY_CONFLICT, (FREEZE,), Charge(ME, "unheard", 1, "charge")),
    (Code.IDEMPOTENCY_CONFLICT, (), CreateHold(ME, "image", 10, "charge")),
    (Code.IDEMPOTENCY_CONFLICT, (), CaptureHold(ANN, 99, "charge")),
    (Code.IDEMPOTENCY_CONFLICT, (), Refund(ANN, 99, "charge")),
    (Code.IDEMPOTENCY_CONFLICT, (), TopUp(ANN, MAX + 1, "T1")),
    (Code.IDEMPOTENCY_CONFLICT, (), Adjust(ANN, 83 * UNIT, True, "A1", "the other way")),
    (Code.MERCHANT_FROZEN, (FREEZE,), Charge(ME, "unheard", 1, "n")),
    (Code.MERCHANT_FROZEN, (FREEZE,), CreateHold(ME, "review", 1, "n", amount=MAX + 1)),
    (Code.UNKNOWN_TYPE, (), Charge(ME, "unheard", 1, "n", amount=MAX + 1)),
    (Code.UNKNOWN_TYPE, (), Charge(ME, "later", 1, "n")),
    (Code.AMOUNT_REQUIRED, (), Charge(ME, "review", 1, "n")),
    (Code.AMOUNT_NOT_ALLOWED, (), Charge(ME, "image", 1, "n", amount=MAX + 1)),
    (Code.HOLD_NOT_FOUND, (), CaptureHold(ANN, 99, "n", amount=MAX + 1)),
    (Code.HOLD_NOT_FOUND, (), ReleaseHold(ANN, 2, "n")),
    (Code.HOLD_NOT_FOUND, (), ExpireHold(ANN, 99)),
    (Code.HOLD_NOT_FOUND, (), ReleaseHold(BOB, 3, "n")),
    (Code.HOLD_ALREADY_CAPTURED, (), CaptureHold(ANN, 4, "n", amount=MAX + 1)),
    (Code.HOLD_ALREADY_CAPTURED, (), ReleaseHold(ANN, 4, "n")),
    (Code.HOLD_ALREADY_CAPTURED, (), ExpireHold(ANN, 4)),
    (Code.HOLD_ALREADY_RELEASED, (), CaptureHold(ANN, 6, "n", amount=MAX + 1)),
    (Code.HOLD_ALREADY_RELEASED, (), ReleaseHold(ANN, 6, "n")),
    (Code.HOLD_ALREADY_RELEASED, (), ExpireHold(ANN, 6)),
    (Code.HOLD_EXPIRED, (), CaptureHold(ANN, 8, "n", amount=MAX + 1)),
    (Code.HOLD_EXPIRED, (), ReleaseHold(ANN, 8, "n")),
    (Code.HOLD_EXPIRED, (), CaptureHold(ANN, 9, "n", amount=MAX + 1)),
    (Code.HOLD_EXPIRED, (), ReleaseHold(ANN, 9, "n")),
    (Code.HOLD_NOT_DUE, (), ExpireHold(ANN, 3)),
    (Code.CAPTURE_EXCEEDS_HOLD, (), CaptureHold(ANN, 3, "n", amount=2 * UNIT + 1)),
    (Code.CAPTURE_EXCEEDS_HOLD, (), CaptureHold(ANN, 3, "n", amount=MAX + 1)),
    (Code.TRANSFER_NOT_FOUND, (), Refund(ANN, 99, "n", amount=MAX + 1)),
    (Code.TRANSFER_NOT_FOUND, (), ReverseTopUp(BOB, 1, "n", "bounced")),
    (Code.TRANSFER_NOT_REFUNDABLE, (), Refund(ANN, 1, "n", amount=MAX + 1)),
    (Code.TRANSFER_NOT_REFUNDABLE, (), Refund(ANN, 3, "n")),
    (Code.TRANSFER_NOT_REFUNDABLE, (), Refund(ANN, 10, "n")),
    (Code.TRANSFER_NOT_REVERSIBLE, (), ReverseTopUp(ANN, 2, "n", "bounced", amount=MAX + 1)),
    (Code.TRANSFER_NOT_REVERSIBLE, (), ReverseTopUp(ANN, 10, "n", "bounced")),
    (Code.REFUND_EXCEEDS_TRANSFER, (), Refund(ANN, 2, "n", amount=10 * UNIT + 1)),
    (Code.REFUND_EXCEEDS_TRANSFER, (), Refund(ANN, 2, "n", amount=MAX + 1)),
    (Code.REFUND_EXCEEDS_TRANSFER, (Refund(ANN, 2, "all"),), Refund(ANN, 2, "n")),
    (Code.REVERSAL_EXCEEDS_TOP_UP, (), ReverseTopUp(ANN, 1, "n", "bounced", amount=100 * UNIT + 1)),
    (Code.REVERSAL_EXCEEDS_TOP_UP, (), ReverseTopUp(ANN, 1, "n", "bounced", amount=MAX + 1)),
    (Code.CREDIT_LIMIT_IN_USE, OWES, SetCreditLimit(ANN, 3 * UNIT - 1)),
    (Code.AMOUNT_TOO_LARGE, (), TopUp(ANN, MAX + 1, "n")),
    (Code.AMOUNT_TOO_LARGE, (), Charge(ME, "review", 1, "n", amount=MAX + 1)),
    (Code.AMOUNT_TOO_LARGE, (), Adjust(ANN, MAX + 1, False, "n", "too much")),
    (Code.INSUFFICIENT_BALANCE, (), Charge(ME, "image", 2, "n")),
    (Code.INSUFFICIENT_BALANCE, (), CreateHold(ME, "review", 1, "n", amount=UNIT + 1)),
    (Code.INSUFFICIENT_BALANCE, (), Adjust(ANN, UNIT + 1, False, "n", "too much")),
    (Code.INSUFFICIENT_BALANCE, (), ReverseTopUp(ANN, 1, "n", "bounced")),
    (Code.INSUFFICIENT_BALANCE, OWES, Charge(ME, "review", 1, "n", amount=2 * UNIT + 1)),
)


def _world_of_refusals(more: Sequence[Command]) -> Books:
    books = some.new_books()
    books.keys[b"ended"] = KeyRecord(8, KeyKind.SUPPORT, None, START + 5 * SECOND, None)
    books.keys[b"revoked"] = KeyRecord(9, KeyKind.SUPPORT, None, None, START + 5 * SECOND)
    for command in BEFORE:
        assert _ask(books, command).is_ok, command
    for command in (SWEEP, *more):
        outcome = _ask(books, command, 5)
        assert outcome.is_ok, (command, outcome)
    return books


@pytest.mark.parametrize(("code", "more", "command"), REFUSALS)
def test_of_several_faults_the_first_in_order_is_named(code: Code, more: tuple[Command, ...], command: Command) -> None:
    books = _world_of_refusals(more)
    before = dict(books.accounts), dict(books.transfers), dict(books.holds)
    outcome = _ask(books, command, 5)
    assert (code, None, None, False) == (outcome.code, outcome.transfer, outcome.hold, outcome.is_replay)
    assert outcome.message
    assert before == (books.accounts, books.transfers, books.holds)


def test_every_refusal_has_its_row() -> None:
    # The limit of a balance takes a book of its own: it has its tests below.
    assert set(Code) == {code for code, _, _ in REFUSALS} | {Code.OK, Code.BALANCE_LIMIT_EXCEEDED}


def test_the_table_of_refusals_stands_in_their_order() -> None:
    order = [list(Code).index(code) for code, _, _ in REFUSALS]
    assert sorted(order) == order


@pytest.mark.parametrize(
    ("command", "kinds"),
    [
        (Charge(ME, "image", 1, "n"), {KeyKind.SERVICE}),
        (CreateHold(ME, "image", 1, "n"), {KeyKind.SERVICE}),
        (CaptureHold(ANN, 3, "n"), {KeyKind.SERVICE}),
        (ReleaseHold(ANN, 3, "n"), {KeyKind.SERVICE}),
        (Refund(ANN, 2, "n"), {KeyKind.SERVICE, KeyKind.SUPPORT}),
        (TopUp(ANN, 1, "n"), {KeyKind.SUPPORT}),
        (ReverseTopUp(ANN, 1, "n", "bounced", amount=1), {KeyKind.SUPPORT}),
        (Adjust(ANN, 1, True, "n", "a gift"), {KeyKind.SUPPORT}),
        (SetThresholds(ANN, (1,)), {KeyKind.SUPPORT}),
        (SetCreditLimit(ANN, 1), {KeyKind.SUPPORT}),
        (SetFrozen(ANN, True), {KeyKind.SUPPORT}),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, set) else "",
)
def test_a_kind_of_key_may_do_what_the_table_says(command: Command, kinds: set[KeyKind]) -> None:
    callers = {
        KeyKind.SERVICE: Caller(SERVICE),
        KeyKind.SUPPORT: Caller(SUPPORT),
        KeyKind.MERCHANT: Caller(ANNS, ANN),
    }
    assert not isinstance(command, ExpireHold)
    for kind, caller in callers.items():
        outcome = _ask(_world_of_refusals(()), replace(command, caller=caller), 5)
        assert (Code.OK if kind in kinds else Code.FORBIDDEN) == outcome.code
    assert _ask(_world_of_refusals(()), command, 5).is_ok


def test_a_key_opens_until_the_moment_it_ends() -> None:
    for record in (
        KeyRecord(1, KeyKind.SERVICE, None, START, None),
        KeyRecord(1, KeyKind.SERVICE, None, None, START),
        KeyRecord(1, KeyKind.SERVICE, None, START + 9, START),
    ):
        for now, expected in ((START - 1, True), (START, None), (START + 1, None)):
            assert expected is key_allows(record, now, frozenset({KeyKind.SERVICE}))
        assert False is key_allows(record, START - 1, frozenset({KeyKind.SUPPORT}))
    assert None is key_allows(None, START, frozenset(KeyKind))


@pytest.mark.parametrize(
    ("kind", "word", "debit", "credit"),
    [
        (Kind.TOP_UP, "top_up", "funding", "wallet"),
        (Kind.TOP_UP_REVERSAL, "top_up_reversal", "wallet", "funding"),
        (Kind.CHARGE, "charge", "wallet", "revenue"),
        (Kind.REFUND, "refund", "revenue", "wallet"),
        (Kind.HOLD, "hold", "wallet", "held"),
        (Kind.CAPTURE, "capture", "held", "revenue"),
        (Kind.RELEASE, "release", "held", "wallet"),
        (Kind.EXPIRE, "expire", "held", "wallet"),
        (Kind.ADJUSTMENT_CREDIT, "adjustment", "adjustments", "wallet"),
        (Kind.ADJUSTMENT_DEBIT, "adjustment", "wallet", "adjustments"),
    ],
)
def test_a_kind_debits_and_credits_what_the_table_says(kind: Kind, word: str, debit: str, credit: str) -> None:
    assert (word, (debit, credit), (debit, credit)) == (
        KIND_WORDS[kind],
        debit_and_credit(kind),
        DEBIT_AND_CREDIT[kind],
    )


def test_every_transfer_moves_its_amount_from_its_debit_to_its_credit() -> None:
    books = some.new_books()
    seen = set()
    for command in (*BEFORE, Refund(ANN, 2, "f"), ReverseTopUp(ANN, 1, "r", "bounced", amount=UNIT), *_CREDIT):
        before = books.accounts[ANN]
        outcome = _ask(books, command)
        row = outcome.transfer
        assert row is not None, (command, outcome)
        debit, credit = DEBIT_AND_CREDIT[row.kind]
        moved = {name: getattr(books.accounts[ANN], name) - getattr(before, name) for name in _BALANCES}
        assert dict.fromkeys(_BALANCES, 0) | {debit: -row.amount, credit: row.amount} == moved
        assert (books.accounts[ANN].wallet, books.accounts[ANN].held) == (row.wallet_after, row.held_after)
        assert row.wallet_after + row.held_after == row.posted_after == books.accounts[ANN].posted
        assert books.accounts[ANN].wallet == books.accounts[ANN].available
        seen.add(row.kind)
    assert set(Kind) - {Kind.EXPIRE} == seen


_BALANCES: Final = ("wallet", "held", "revenue", "funding", "adjustments")
_CREDIT: Final = (Adjust(ANN, 7, True, "A2", "a gift"),)


def _held(units: int = 4, wallet: int = 10, ttl: int = 60) -> Books:
    """A book whose transfer 2 is a hold."""
    return _done([TopUp(ANN, wallet * UNIT, "T1"), CreateHold(ME, "image", units, "h", ttl_seconds=ttl)])


def test_a_hold_sets_money_aside() -> None:
    books = _held()
    assert (6 * UNIT, 4 * UNIT) == _wallet_held(books)
    assert Hold(ANN, 2, 4 * UNIT, START + 60 * SECOND) == books.holds[ANN, 2]


def test_a_full_capture_takes_all_and_makes_one_transfer() -> None:
    books = _held()
    outcome = _ask(books, CaptureHold(ANN, 2, "k"))
    assert (6 * UNIT, 0, 4 * UNIT) == (*_wallet_held(books), books.accounts[ANN].revenue)
    assert HoldState.CAPTURED == books.holds[ANN, 2].state
    assert (outcome.hold, 3) == (books.holds[ANN, 2], books.accounts[ANN].seq)


def test_a_partial_capture_gives_the_rest_back_at_once() -> None:
    books = _held()
    outcome = _ask(books, CaptureHold(ANN, 2, "k", amount=UNIT, reference="job"))
    assert (9 * UNIT, 0, UNIT) == (*_wallet_held(books), books.accounts[ANN].revenue)
    capture, rest = books.book(ANN)[2:]
    assert capture == outcome.transfer
    assert (Kind.CAPTURE, UNIT, 2, "job") == (capture.kind, capture.amount, capture.refers_to, capture.reference)
    assert (Kind.RELEASE, 3 * UNIT, 2, None) == (rest.kind, rest.amount, rest.refers_to, rest.reference)
    assert (HoldState.CAPTURED, UNIT) == (books.holds[ANN, 2].state, books.holds[ANN, 2].captured)
    assert [] == books.faults(ANN)


def test_a_capture_that_no_balance_could_take_is_refused_and_the_hold_stays() -> None:
    books = _done([TopUp(ANN, 5, "T"), CreateHold(ME, "review", 1, "h", amount=5)])
    for number, amount in enumerate((MAX, MAX, MAX, MAX - 4)):
        assert _ask(books, Adjust(ANN, amount, True, f"A{number}", "much")).is_ok
        assert _ask(books, Charge(ME, "review", 1, f"c{number}", amount=amount)).is_ok
    assert Code.BALANCE_LIMIT_EXCEEDED is _ask(books, CaptureHold(ANN, 2, "k")).code
    assert HoldState.HELD == books.holds[ANN, 2].state
    assert Code.OK is _ask(books, CaptureHold(ANN, 2, "k", amount=4)).code


def test_a_hold_is_captured_or_released_once() -> None:
    for first, code in (
        (CaptureHold(ANN, 2, "a"), Code.HOLD_ALREADY_CAPTURED),
        (CaptureHold(ANN, 2, "a", amount=1), Code.HOLD_ALREADY_CAPTURED),
        (ReleaseHold(ANN, 2, "a"), Code.HOLD_ALREADY_RELEASED),
    ):
        for second in (CaptureHold(ANN, 2, "b"), ReleaseHold(ANN, 2, "b"), ExpireHold(ANN, 2)):
            # One after the other, and both in one batch.
            books = _held()
            assert _ask(books, first).is_ok
            assert code is _ask(books, second, 3600).code
            assert [Code.OK, code] == [outcome.code for outcome in _held().run([first, second], START).outcomes]


def test_a_capture_or_release_that_is_asked_again_answers_with_the_hold_again() -> None:
    for command in (CaptureHold(ANN, 2, "k", amount=UNIT), ReleaseHold(ANN, 2, "k")):
        books = _held()
        first, again = _ask(books, command), _ask(books, command, 3600)
        assert replace(first, is_replay=True) == again
        assert again.hold == books.holds[ANN, 2]


def test_a_hold_ends_at_the_microsecond_that_its_time_is_over() -> None:
    end = START + 60 * SECOND
    for early in (CaptureHold(ANN, 2, "k"), ReleaseHold(ANN, 2, "k")):
        assert Code.OK is _held().run([early], end - 1).outcomes[0].code
        assert Code.HOLD_EXPIRED is _held().run([early], end).outcomes[0].code
    assert Code.HOLD_NOT_DUE is _held().run([ExpireHold(ANN, 2)], end - 1).outcomes[0].code
    books = _held()
    assert Code.OK is books.run([ExpireHold(ANN, 2)], end).outcomes[0].code
    assert (10 * UNIT, 0) == _wallet_held(books)
    assert HoldState.EXPIRED == books.holds[ANN, 2].state


def test_an_expiry_that_is_asked_again_moves_nothing() -> None:
    books = _held()
    outcomes = books.run([ExpireHold(ANN, 2), ExpireHold(ANN, 2)], IN_AN_HOUR).outcomes
    outcomes += books.run([ExpireHold(ANN, 2)], IN_AN_HOUR).outcomes
    assert [(Code.OK, False), (Code.OK, True), (Code.OK, True)] == [(each.code, each.is_replay) for each in outcomes]
    assert (10 * UNIT, 0) == _wallet_held(books)


def test_a_hold_can_be_captured_by_a_frozen_merchant_who_can_be_topped_up_too() -> None:
    books = _held()
    more: list[Command] = [FREEZE, TopUp(ANN, UNIT, "T2"), CaptureHold(ANN, 2, "k", amount=UNIT), Refund(ANN, 4, "f")]
    assert [Code.OK] * 4 == [outcome.code for outcome in (_ask(books, command) for command in more)]
    assert Code.MERCHANT_FROZEN is _ask(books, Charge(ME, "image", 1, "n")).code
    assert Code.OK is _ask(books, CreateHold(ME, "image", 4, "h", ttl_seconds=60)).code
    books.run([SetFrozen(ANN, False)], START)
    assert Code.OK is _ask(books, Charge(ME, "image", 1, "n")).code


def test_a_refusal_is_not_remembered() -> None:
    books = _done([TopUp(ANN, UNIT, "T1")])
    charge = Charge(ME, "image", 3, "again")
    assert Code.INSUFFICIENT_BALANCE is _ask(books, charge).code
    assert _ask(books, TopUp(ANN, 2 * UNIT, "T2")).is_ok
    first, second = _ask(books, charge), _ask(books, charge)
    assert (Code.OK, False, Code.OK, True) == (first.code, first.is_replay, second.code, second.is_replay)
    assert first.transfer == second.transfer


def test_a_reference_is_unique_among_its_own_kind_alone() -> None:
    books = some.new_books()
    asked: list[Command] = [
        TopUp(ANN, UNIT, "R"),
        Adjust(ANN, UNIT, True, "R", "a gift"),
        ReverseTopUp(ANN, 1, "R", "bounced"),
        Charge(ME, "image", 1, "R", reference="R"),
    ]
    assert [(Code.OK, False)] * 4 == [(each.code, each.is_replay) for each in books.run(asked, START).outcomes]
    assert [(Code.OK, True)] * 4 == [(each.code, each.is_replay) for each in books.run(asked, START).outcomes]
    assert Code.OK is _ask(books, TopUp(BOB, 5 * UNIT, "R")).code


def test_a_remark_is_no_part_of_what_is_asked() -> None:
    books = _done([TopUp(ANN, UNIT, "R", note="one"), Charge(ME, "image", 1, "c"), Refund(ANN, 2, "f", note="one")])
    for command in (TopUp(ANN, UNIT, "R", note="two"), Refund(ANN, 2, "f", note="two")):
        assert _ask(books, command).is_replay


@pytest.mark.parametrize("amounts", [(None,), (10,), (4, 6), (3, 3, None)])
def test_a_charge_is_refunded_in_parts_up_to_its_amount(amounts: tuple[int | None, ...]) -> None:
    ways: tuple[list[Command], ...] = (
        [TopUp(ANN, 10, "T"), TopUp(ANN, 1, "T2"), Charge(ME, "review", 1, "c", amount=10)],
        [TopUp(ANN, 11, "T"), CreateHold(ME, "review", 1, "h", amount=11), CaptureHold(ANN, 2, "c", amount=10)],
    )
    for taken in ways:
        books = _done(taken)
        for number, amount in enumerate(amounts):
            assert _ask(books, Refund(ANN, 3, f"f{number}", amount=amount)).is_ok
        assert (11, 0) == (books.accounts[ANN].wallet, books.accounts[ANN].revenue)
        for amount in (1, None):
            assert Code.REFUND_EXCEEDS_TRANSFER is _ask(books, Refund(ANN, 3, "n", amount=amount)).code


def test_a_top_up_is_reversed_in_parts_up_to_its_amount_within_one_batch_too() -> None:
    books = _done([TopUp(ANN, 10, "T1"), TopUp(ANN, 10, "T2")])
    parts: list[Command] = [ReverseTopUp(ANN, 1, f"R{number}", "bounced", amount=4) for number in range(3)]
    rest: list[Command] = [ReverseTopUp(ANN, 1, "R3", "bounced"), ReverseTopUp(ANN, 1, "R4", "bounced")]
    limit = Code.REVERSAL_EXCEEDS_TOP_UP
    outcomes = books.run([*parts, *rest], START).outcomes
    assert [Code.OK, Code.OK, limit, Code.OK, limit] == [each.code for each in outcomes]
    assert (10, -10) == (books.accounts[ANN].wallet, books.accounts[ANN].funding)


def test_what_was_made_in_a_batch_can_be_given_back_in_it() -> None:
    books = some.new_books()
    commands: list[Command] = [
        TopUp(ANN, 10, "T"),
        ReverseTopUp(ANN, 1, "R", "bounced", amount=3),
        ReverseTopUp(ANN, 1, "S", "rest"),
    ]
    assert [Code.OK] * 3 == [each.code for each in books.run(commands, START).outcomes]
    assert 0 == books.accounts[ANN].wallet


@pytest.mark.parametrize(
    ("taking", "kind"),
    [
        (Charge(ME, "review", 1, "n", amount=13), Kind.CHARGE),
        (CreateHold(ME, "review", 1, "n", amount=13), Kind.HOLD),
        (Adjust(ANN, 13, False, "n", "too much"), Kind.ADJUSTMENT_DEBIT),
        (ReverseTopUp(ANN, 2, "n", "bounced"), Kind.TOP_UP_REVERSAL),
    ],
)
def test_everything_that_takes_from_the_wallet_stops_at_the_credit_limit(taking: Command, kind: Kind) -> None:
    setup: list[Command] = [TopUp(ANN, 8, "T1"), TopUp(ANN, 13, "T2"), Charge(ME, "review", 1, "c", amount=11)]
    for limit, code in ((2, Code.INSUFFICIENT_BALANCE), (3, Code.OK)):
        books = _done([*setup, SetCreditLimit(ANN, limit)])
        outcome = _ask(books, taking)
        assert code is outcome.code
        assert (-3 if code is Code.OK else 10) == books.accounts[ANN].wallet
        assert outcome.transfer is None or kind == outcome.transfer.kind


def test_a_credit_limit_can_be_lowered_to_what_is_in_use() -> None:
    books = _done([SetCreditLimit(ANN, 5), Charge(ME, "review", 1, "c", amount=3)])
    assert Code.CREDIT_LIMIT_IN_USE is _ask(books, SetCreditLimit(ANN, 2)).code
    assert Code.OK is _ask(books, SetCreditLimit(ANN, 3)).code
    assert Code.INSUFFICIENT_BALANCE is _ask(books, Charge(ME, "review", 1, "d", amount=1)).code


@pytest.mark.parametrize(
    ("merchant_id", "request_type", "seconds", "price_id", "unit_price"),
    [
        (ANN, "image", 29, 1, UNIT),
        (ANN, "image", 30, 3, UNIT // 2),
        (ANN, "image", 60, 3, UNIT // 2),
        (BOB, "image", 59, 1, UNIT),
        (BOB, "image", 60, 2, 2 * UNIT),
        (ANN, "review", 0, 5, None),
        (some.CYD, "review", 0, 6, 3 * UNIT),
        (ANN, "later", 100, 8, UNIT),
    ],
)
def test_the_newest_price_applies_and_a_merchants_own_before_the_default(
    merchant_id: int, request_type: str, seconds: int, price_id: int, unit_price: int | None
) -> None:
    books = _done([TopUp(merchant_id, 100 * UNIT, "T")])
    amount = None if unit_price is not None else 77
    row = _ask(books, Charge(Payer(merchant_id), request_type, 3, "c", amount=amount), seconds).transfer
    assert row is not None
    assert (price_id, unit_price, 3, request_type) == (row.price_id, row.unit_price, row.quantity, row.request_type)
    assert (77 if unit_price is None else 3 * unit_price) == row.amount


def _fired(books: Books) -> list[tuple[int, int, int | None]]:
    return [(firing.threshold, firing.posted, firing.transfer_seq) for firing in books.firings]


def _watched(*amounts: int, wallet: int = 10) -> Books:
    return _done([TopUp(ANN, wallet, "T1"), SetThresholds(ANN, amounts)])


def _spend(amount: int, key: str) -> Command:
    return Charge(ME, "review", 1, key, amount=amount)


def test_a_threshold_fires_below_it_and_not_at_it() -> None:
    books = _watched(5)
    _ask(books, _spend(5, "a"))
    assert [] == _fired(books)
    _ask(books, _spend(1, "b"), 7)
    assert [(5, 4, 3)] == _fired(books)
    assert (ANN, 1, START + 7 * SECOND) == (
        books.firings[0].merchant_id,
        books.firings[0].number,
        books.firings[0].fired_at,
    )
    _ask(books, _spend(1, "c"))
    assert [(5, 4, 3)] == _fired(books)


def test_several_thresholds_crossed_at_once_fire_once_and_name_the_lowest() -> None:
    books = _watched(9, 3, 6, 1)
    _ask(books, _spend(8, "a"))
    assert [(3, 2, 2)] == _fired(books)
    assert ((1, True), (3, False), (6, False), (9, False)) == tuple(
        (threshold.amount, threshold.is_armed) for threshold in books.accounts[ANN].thresholds
    )
    _ask(books, _spend(2, "b"))
    assert [(3, 2, 2), (1, 0, 3)] == _fired(books)


@pytest.mark.parametrize(
    "taking",
    [
        [_spend(6, "x")],
        [CreateHold(ME, "review", 1, "x", amount=6), CaptureHold(ANN, 2, "y")],
        [CreateHold(ME, "review", 1, "x", amount=8), CaptureHold(ANN, 2, "y", amount=6)],
        [Adjust(ANN, 6, False, "x", "a mistake")],
        [ReverseTopUp(ANN, 1, "x", "bounced", amount=6)],
    ],
)
def test_a_threshold_fires_by_a_charge_capture_adjustment_or_reversal(taking: list[Command]) -> None:
    books = _watched(5)
    for command in taking:
        assert [] == _fired(books)
        assert _ask(books, command).is_ok
    assert [(5, 4)] == [(threshold, posted) for threshold, posted, _ in _fired(books)]
    assert Kind.RELEASE != books.transfers[ANN, books.firings[0].transfer_seq or 0].kind


def test_what_is_held_counts_as_posted() -> None:
    books = _watched(5)
    for command in (CreateHold(ME, "review", 1, "h", amount=9), ReleaseHold(ANN, 2, "r")):
        assert _ask(books, command).is_ok
    assert [] == _fired(books)


@pytest.mark.parametrize(
    ("giving", "is_armed"),
    [
        ([Refund(ANN, 2, "f")], False),
        ([CreateHold(ME, "review", 1, "h", amount=4), ReleaseHold(ANN, 3, "r")], False),
        ([TopUp(ANN, 1, "T2")], True),
        ([Adjust(ANN, 1, True, "A", "a gift")], True),
        ([SetThresholds(ANN, (5,))], False),
        ([SetThresholds(ANN, ()), SetThresholds(ANN, (3,))], True),
        ([SetThresholds(ANN, (4,))], True),
    ],
)
def test_a_top_up_or_adjustment_arms_a_threshold_again_and_nothing_else_does(
    giving: list[Command], is_armed: bool
) -> None:
    books = _watched(5)
    _ask(books, _spend(6, "a"))
    for command in giving:
        assert _ask(books, command).is_ok
    assert [is_armed] == [threshold.is_armed for threshold in books.accounts[ANN].thresholds]
    assert 1 == len(books.firings)


def test_a_refund_and_a_charge_in_turn_do_not_make_a_threshold_flutter() -> None:
    books = _watched(5)
    for number in range(4):
        assert _ask(books, _spend(6, f"c{number}")).is_ok
        assert _ask(books, Refund(ANN, books.accounts[ANN].seq, f"f{number}")).is_ok
    assert [(5, 4, 2)] == _fired(books)
    _ask(books, TopUp(ANN, 1, "T2"))
    _ask(books, _spend(7, "last"))
    assert [(5, 4, 2), (5, 4, 11)] == _fired(books)


def test_a_top_up_that_does_not_reach_a_threshold_leaves_it_silent() -> None:
    books = _watched(5)
    for command in (_spend(9, "a"), TopUp(ANN, 3, "T2"), _spend(1, "b")):
        assert _ask(books, command).is_ok
    assert [(5, 1, 2)] == _fired(books)


def test_a_threshold_set_above_posted_fires_at_once_and_one_kept_does_not_again() -> None:
    books = _watched(11, 20, 10)
    assert [(11, 10, None)] == _fired(books)
    _ask(books, SetThresholds(ANN, (20, 11)))
    assert [(11, 10, None)] == _fired(books)
    _ask(books, SetThresholds(ANN, (20, 15, 12)))
    assert [(11, 10, None), (12, 10, None)] == _fired(books)
    assert [1, 2] == [firing.number for firing in books.firings]
    assert (12, 15, 20) == tuple(threshold.amount for threshold in books.accounts[ANN].thresholds)


def test_a_clock_that_steps_back_does_not_turn_a_books_times_back() -> None:
    books = _done([TopUp(ANN, 10, "T1")])
    for seconds, key in ((50, "a"), (10, "b"), (49, "c"), (51, "d")):
        assert _ask(books, _spend(1, key), seconds).is_ok
    assert [0, 50, 50, 50, 51] == [(row.committed_at - START) // SECOND for row in books.book(ANN)]
    assert [] == books.faults(ANN)


def test_a_hold_and_a_firing_keep_to_the_clock_even_if_it_stepped_back() -> None:
    books = _watched(5)
    _ask(books, _spend(1, "a"), 50)
    hold = _ask(books, CreateHold(ME, "review", 1, "h", amount=4, ttl_seconds=9), 10).hold
    assert hold is not None
    assert START + 19 * SECOND == hold.expires_at
    _ask(books, CaptureHold(ANN, hold.seq, "k"), 18)
    _ask(books, _spend(1, "b"), 11)
    assert [START + 11 * SECOND] == [firing.fired_at for firing in books.firings]


def test_amounts_are_limited_to_the_largest() -> None:
    books = some.new_books()
    assert Code.AMOUNT_TOO_LARGE is _ask(books, TopUp(ANN, MAX + 1, "T")).code
    assert Code.OK is _ask(books, TopUp(ANN, MAX, "T")).code
    assert Code.OK is _ask(books, Charge(ME, "review", 1, "c", amount=MAX)).code
    dear = some.new_books()
    dear.prices = [replace(some.PRICES[0], unit_price=MAX // 2)]
    dear.run([SetCreditLimit(ANN, 2 * MAX)], START)
    assert Code.AMOUNT_TOO_LARGE is _ask(dear, Charge(ME, "image", 3, "c")).code
    assert Code.OK is _ask(dear, Charge(ME, "image", 2, "c")).code


@pytest.mark.parametrize(
    ("commands", "last"),
    [
        ([TopUp(ANN, MAX, f"T{number}") for number in range(4)], TopUp(ANN, 1, "n")),
        ([Adjust(ANN, MAX, True, f"A{number}", "much") for number in range(4)], TopUp(ANN, 1, "n")),
        (
            [
                command
                for number in range(4)
                for command in (TopUp(ANN, MAX, f"T{number}"), Charge(ME, "review", 1, f"c{number}", amount=MAX))
            ],
            TopUp(ANN, 1, "n"),
        ),
        (
            [
                *(Adjust(ANN, MAX, True, f"A{number}", "much") for number in range(4)),
                *(Charge(ME, "review", 1, f"c{number}", amount=MAX) for number in range(4)),
            ],
            # No balance could take it: this comes before having too little.
            Charge(ME, "review", 1, "n", amount=1),
        ),
        (
            # What is held counts, because it may come back.
            [
                *(TopUp(ANN, MAX, f"T{number}") for number in range(4)),
                CreateHold(ME, "review", 1, "h", amount=MAX),
            ],
            Adjust(ANN, 1, True, "n", "much"),
        ),
        (
            [
                SetCreditLimit(ANN, 4 * MAX),
                *(Adjust(ANN, MAX, False, f"A{number}", "much") for number in range(4)),
            ],
            Adjust(ANN, 1, False, "n", "much"),
        ),
        (
            [
                SetCreditLimit(ANN, 4 * MAX),
                *(CreateHold(ME, "review", 1, f"h{number}", amount=MAX) for number in range(4)),
            ],
            CreateHold(ME, "review", 1, "n", amount=1),
        ),
    ],
)
def test_no_balance_leaves_the_range_that_is_exact(commands: list[Command], last: Command) -> None:
    books = _done(commands)
    assert Code.BALANCE_LIMIT_EXCEEDED is _ask(books, last).code
    account = books.accounts[ANN]
    assert BALANCE_MICROS_MAX >= max(abs(getattr(account, name)) for name in _BALANCES)
    assert [] == books.faults(ANN)


def test_a_hold_can_always_be_released_however_full_the_wallet() -> None:
    books = _done([TopUp(ANN, MAX, "T0"), CreateHold(ME, "review", 1, "h", amount=MAX)])
    for number in range(1, 5):
        _ask(books, Adjust(ANN, MAX, True, f"A{number}", "much"))
    assert Code.OK is _ask(books, ReleaseHold(ANN, 2, "r")).code
    assert BALANCE_MICROS_MAX == books.accounts[ANN].wallet


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"wallet": 9}, "sum to zero"),
        ({"wallet": -1, "funding": 1}, "below the credit limit"),
        ({"held": -1, "wallet": 11}, "held is negative"),
        ({"revenue": -1, "wallet": 11}, "more was refunded"),
        ({"funding": 1, "wallet": -1, "credit_limit": 5}, "more was reversed"),
        ({"credit_limit": -1}, "credit limit is negative"),
        ({"wallet": 5 * MAX, "funding": -5 * MAX}, "beyond the largest"),
        ({"thresholds": tuple(Threshold(amount, True) for amount in range(6))}, "more thresholds"),
        ({"thresholds": (Threshold(11, True),)}, "armed above"),
    ],
)
def test_an_account_that_breaks_a_rule_is_refused(changes: dict[str, object], fault: str) -> None:
    account = Account(ANN, "USD", wallet=10, funding=-10, thresholds=(Threshold(5, True), Threshold(20, False)))
    check_account(account)
    wrong = replace(account, **changes)
    assert any(fault in found for found in account_faults(wrong))
    with pytest.raises(InvariantViolation, match=fault):
        check_account(wrong)


@pytest.mark.parametrize(
    "changes",
    [{"amount": 0}, {"amount": -5}, {"captured": 6}, {"captured": -1}, {"captured": 5}, {"state": HoldState.CAPTURED}],
)
def test_a_hold_that_breaks_a_rule_is_refused(changes: dict[str, int]) -> None:
    hold = Hold(ANN, 2, 5, START)
    check_hold(hold)
    wrong = replace(hold, **changes)
    assert hold_faults(wrong)
    with pytest.raises(InvariantViolation, match=hold.id):
        check_hold(wrong)


def test_prices_are_written_by_their_public_id() -> None:
    assert "price_0000000000011" == chain.price_text(33)
