"""Given credit in the ledger, worked out by hand: it starts, is spent, comes back, and ends at its very microsecond."""

from typing import Any, Final

import pytest
from msgspec.structs import replace

from farebox.core.accounts import Kind
from farebox.core.approvals import ApprovalLimits, ApprovalState, RequestKind
from farebox.core.commands import (
    Actor,
    Approve,
    CaptureHold,
    Charge,
    Command,
    CreateHold,
    EndGrant,
    ExpireHold,
    GiveCredit,
    Payer,
    Refund,
    Reject,
    ReleaseHold,
    RequestApproval,
    ReverseTopUp,
    SetCreditLimit,
    SetFrozen,
    SetThresholds,
    SettleGrants,
    TopUp,
    end_key,
)
from farebox.core.credit.grants import GRANTS_LOADED_MAX, STARTS_AGO_MICROS_MAX, WAITING_MICROS_MAX, GrantState
from farebox.core.decide import decide
from farebox.core.fingerprints import fingerprint_of_key
from farebox.core.invariants import InvariantViolation
from farebox.core.money import AMOUNT_MICROS_MAX, BALANCE_MICROS_MAX
from farebox.core.outcomes import Code
from farebox.core.state import BatchState, Decision, MoreGrantsNeeded, grants_wanted, reads
from farebox.core.transfers import Transfer
from tests.support.ledger import (
    ANN,
    BEN,
    BY_ANN,
    BY_BEN,
    NOW,
    SECOND,
    UNIT,
    MemoryLedger,
    add_staff,
    adjust,
    charge,
    hold,
    top_up,
)
from tests.support.memory import at_once

END: Final = NOW + 100 * SECOND


def give(units: int, reference: str = "G-1", **more: Any) -> GiveCredit:
    return GiveCredit(ANN, units * UNIT, reference, "trial", **more)


def call(units: int, key: str = "call") -> Charge:
    return Charge(Payer(ANN), "call", 1, key, units * UNIT)


def ledger(*commands: Command, **rules: Any) -> MemoryLedger:
    made = MemoryLedger(**rules)
    assert all(outcome.is_ok for outcome in made.run(*commands))
    return made


def left(on: MemoryLedger) -> list[int]:
    """List the units that are left of each grant; the account agrees."""
    grants = on.grants_of(ANN)
    assert on.ann.given == sum(grant.left for grant in grants)
    return [grant.left // UNIT for grant in grants]


def paid(on: MemoryLedger) -> int:
    return (on.ann.wallet - on.ann.given) // UNIT


def last(on: MemoryLedger, count: int = 1) -> list[tuple[Kind, int, str | None]]:
    """List the last transfers: what they are, their units, and what of that was given."""
    return [(Kind(item.kind), item.amount // UNIT, units_of(item)) for item in on.books[ANN][-count:]]


def units_of(transfer: Transfer) -> str | None:
    return None if transfer.given is None else transfer.given.replace("000000", "")


# It starts.


def test_credit_that_starts_at_once_is_in_the_wallet_and_its_transfer_has_its_terms() -> None:
    on = ledger()
    (outcome,) = on.run(give(20, expires_at=END, types="call image", priority=3))
    transfer, grant = outcome.transfer, outcome.grant
    assert transfer is not None
    assert grant is not None
    assert (Kind.GRANT, 20 * UNIT, "grant G-1", "G-1", "trial") == (
        *(transfer.kind, transfer.amount, transfer.idempotency_key),
        *(transfer.reference, transfer.note),
    )
    assert f"1:20000000;priority=3;expires={END};types=call image" == transfer.given
    assert (1, 20 * UNIT, 20 * UNIT, 3, NOW, END, "call image", GrantState.OPEN, transfer.seq, None) == (
        *(grant.number, grant.amount, grant.left, grant.priority, grant.starts_at, grant.expires_at, grant.types),
        *(grant.state, grant.transfer_seq, grant.ended_at),
    )
    assert [grant] == on.grants_of(ANN)
    account = on.ann
    assert (20 * UNIT, 20 * UNIT, -20 * UNIT, 1, END) == (
        *(account.wallet, account.given, account.promotions),
        *(account.grants_count, account.grants_due_at),
    )


def test_credit_that_starts_later_waits_until_the_very_microsecond() -> None:
    on = ledger()
    (outcome,) = on.run(give(20, starts_at=NOW + 10))
    assert outcome.transfer is None
    assert outcome.grant is not None
    assert (GrantState.WAITING, 0, None) == (outcome.grant.state, outcome.grant.left, outcome.grant.transfer_seq)
    assert (0, 0, NOW + 10) == (on.ann.wallet, on.ann.given, on.ann.grants_due_at)
    on.now += 9
    assert Code.INSUFFICIENT_BALANCE is on.code(charge(1))
    on.now += 1
    assert Code.OK is on.code(charge(1))
    assert [(Kind.GRANT, 20, "1:20"), (Kind.CHARGE, 1, "1:1")] == last(on, 2)
    brought = on.books[ANN][-2]
    assert ("grant G-1", give(20, starts_at=NOW + 10).fingerprint()) == (brought.idempotency_key, brought.fingerprint)
    assert ([19], None) == (left(on), on.ann.grants_due_at)
    assert (GrantState.OPEN, 1) == (on.grants_of(ANN)[0].state, on.grants_of(ANN)[0].transfer_seq)


def test_what_started_and_ended_while_nobody_came_is_posted_in_the_order_of_its_times() -> None:
    on = ledger(
        *(give(1, "A", expires_at=NOW + 5), give(2, "B", starts_at=NOW + 3, expires_at=NOW + 9)),
        *(give(3, "C", starts_at=NOW + 5), give(4, "D", expires_at=NOW + 3), give(5, "E", starts_at=NOW + 11)),
    )
    on.now += 10
    assert Code.OK is on.code(SettleGrants(ANN))
    # At one time a start goes before an end: at 3, B before D; at 5, C before A.
    assert [
        *[(Kind.GRANT, 2, f"2:2;expires={NOW + 9}".replace("000000", "")), (Kind.GRANT_EXPIRY, 4, "4:4")],
        *[(Kind.GRANT, 3, "3:3"), (Kind.GRANT_EXPIRY, 1, "1:1"), (Kind.GRANT_EXPIRY, 2, "2:2")],
    ] == last(on, 5)
    assert {NOW + 10} == {item.committed_at for item in on.books[ANN][-5:]}
    assert ([0, 0, 3, 0, 0], NOW + 11) == (left(on), on.ann.grants_due_at)
    assert [NOW + 5, NOW + 9, None, NOW + 3, None] == [grant.ended_at for grant in on.grants_of(ANN)]


@pytest.mark.parametrize(
    ("starts_at", "expires_at", "code"),
    [
        (None, NOW, Code.GRANT_TIMES_OUT_OF_BOUNDS),
        (None, NOW + 1, Code.OK),
        (NOW + 5, NOW + 5, Code.GRANT_TIMES_OUT_OF_BOUNDS),
        (NOW + 5, NOW + 6, Code.OK),
        (NOW - STARTS_AGO_MICROS_MAX, None, Code.OK),
        (NOW - STARTS_AGO_MICROS_MAX - 1, None, Code.GRANT_TIMES_OUT_OF_BOUNDS),
        (NOW - 5, NOW, Code.GRANT_TIMES_OUT_OF_BOUNDS),
        (NOW + WAITING_MICROS_MAX, None, Code.OK),
        (NOW + WAITING_MICROS_MAX + 1, None, Code.GRANT_TIMES_OUT_OF_BOUNDS),
    ],
)
def test_a_grant_starts_within_two_years_and_ends_after_its_start(
    starts_at: int | None, expires_at: int | None, code: Code
) -> None:
    on = ledger()
    assert code is on.code(give(1, starts_at=starts_at, expires_at=expires_at))
    if code is Code.OK:
        assert max(NOW, starts_at or NOW) == on.grants_of(ANN)[0].starts_at
    else:
        assert [] == on.grants_of(ANN)


@pytest.mark.parametrize("expires_at", [None, NOW + 5, NOW + 6])
def test_a_grant_that_would_take_a_balance_beyond_its_range_ends_without_a_start(expires_at: int | None) -> None:
    on = ledger(give(1, starts_at=NOW + 3, expires_at=expires_at))
    on.run(*[top_up(AMOUNT_MICROS_MAX // UNIT, f"INV-{number}") for number in range(4)])
    assert BALANCE_MICROS_MAX == on.ann.wallet
    on.now += 5
    assert Code.OK is on.code(SettleGrants(ANN))
    (grant,) = on.grants_of(ANN)
    assert (GrantState.ENDED, 0, None, NOW + 5) == (grant.state, grant.left, grant.transfer_seq, grant.ended_at)
    assert (4, None) == (on.ann.seq, on.ann.grants_due_at)
    code = on.code(EndGrant(ANN, 1, "never started"))
    assert (Code.GRANT_ALREADY_ENDED if expires_at == NOW + 5 else Code.OK) is code


# It is spent.


def test_a_charge_takes_from_several_lots_and_is_one_transfer() -> None:
    on = ledger(
        *(top_up(10), give(5, "A"), give(4, "B", expires_at=END), give(3, "C", expires_at=END, types="call")),
        give(2, "D", priority=1),
    )
    on.run(charge(6, "first"))
    assert ([(Kind.CHARGE, 6, "2:4,1:2")], [3, 0, 3, 2], 10) == (last(on), left(on), paid(on))
    on.run(charge(14, "second"))
    assert ([(Kind.CHARGE, 14, "1:3,4:1")], [0, 0, 3, 1], 0) == (last(on), left(on), paid(on))
    assert Code.INSUFFICIENT_BALANCE is on.code(charge(2, "third"))
    on.run(call(4))
    assert ([(Kind.CHARGE, 4, "3:3,4:1")], [0, 0, 0, 0], 0) == (last(on), left(on), paid(on))
    on.run(top_up(1, "INV-2"), charge(1, "fourth"))
    assert [(Kind.CHARGE, 1, None)] == last(on)


def test_the_credit_limit_is_drawn_last_of_all_and_given_credit_pays_nothing_of_it_back() -> None:
    on = ledger(top_up(3), give(2, "A", priority=100), charge(9), credit_limit=5 * UNIT)
    assert ([(Kind.CHARGE, 9, "1:2")], -4) == (last(on), paid(on))
    on.run(give(6, "B"))
    assert (-4, 2 * UNIT, [0, 6]) == (paid(on), on.ann.wallet, left(on))
    assert Code.INSUFFICIENT_BALANCE is on.code(charge(8, "more"))
    on.run(charge(7, "all"))
    assert ([(Kind.CHARGE, 7, "2:6")], -5) == (last(on), paid(on))


def test_a_refusal_tells_what_can_be_spent_and_what_pays_for_other_requests() -> None:
    on = ledger(top_up(3), give(4, "A", types="call"), give(2, "B"))
    (outcome,) = on.run(charge(6))
    others = "4.00 USD of given credit pays for other request types"
    assert f"Insufficient balance: 6.00 USD needed, 5.00 can be spent; {others}" == outcome.message
    assert [(6, 3)] == on.used_up()


# It ends.


def test_at_the_very_microsecond_of_its_end_nothing_of_it_can_be_spent_though_nobody_came_before() -> None:
    on = ledger(give(5, expires_at=END), top_up(1))
    on.now = END - 1
    assert Code.OK is on.code(charge(2, "in time"))
    on.now = END
    (outcome,) = on.run(charge(2, "late"))
    assert Code.INSUFFICIENT_BALANCE is outcome.code
    assert [(Kind.CHARGE, 2, "1:2"), (Kind.GRANT_EXPIRY, 3, "1:3")] == last(on, 2)
    ended = on.books[ANN][-1]
    assert ("end of grant 1", fingerprint_of_key("end of grant 1"), 1, None, None) == (
        *(ended.idempotency_key, ended.fingerprint, ended.refers_to, ended.reference, ended.note),
    )
    assert ([0], 1, 0, None) == (left(on), paid(on), on.ann.promotions + 2 * UNIT, on.ann.grants_due_at)
    assert [(2, ended.seq)] == on.used_up()
    on.run(charge(2, "late again"), SettleGrants(ANN))
    assert ended.seq == on.ann.seq


@pytest.mark.parametrize(
    "command",
    [
        SetFrozen(ANN, True),
        SetThresholds(ANN, ()),
        SetCreditLimit(ANN, 0),
        Reject(ANN, 9),
        charge(1, "before"),
        charge(1, "new"),
        EndGrant(ANN, 2, "no such grant"),
        ReleaseHold(ANN, 9, "no such hold"),
        give(1, "G-2"),
        RequestApproval(top_up(1, "INV-2"), 9),
    ],
    ids=lambda command: type(command).__name__,
)
def test_every_command_ends_what_is_due_first(command: Command) -> None:
    on = ledger(top_up(5), charge(1, "before"), give(5, expires_at=END))
    on.now = END
    on.run(command)
    assert (Kind.GRANT_EXPIRY, 5, "1:5") == last(on, on.ann.seq)[3]


def test_a_command_that_meets_no_book_ends_nothing() -> None:
    on = ledger(give(5, expires_at=END))
    on.now = END
    assert Code.MERCHANT_NOT_FOUND is on.code(Charge(Payer(ANN, bytes(32)), "image", 1, "key"))
    on.run(TopUp(BEN, UNIT, "INV-1"))
    assert 1 == on.ann.seq


def test_of_a_grant_that_was_spent_nothing_is_posted_and_its_state_tells_that_it_ended() -> None:
    on = ledger(give(5, expires_at=END), charge(5))
    assert END == on.ann.grants_due_at
    on.now = END
    on.run(SettleGrants(ANN))
    (grant,) = on.grants_of(ANN)
    account = on.ann
    assert (2, None) == (account.seq, account.grants_due_at)
    assert (GrantState.ENDED, END) == (grant.state, grant.ended_at)


def test_a_clock_that_stepped_back_starts_and_ends_what_the_book_has_come_to() -> None:
    on = ledger(top_up(9), give(5, "A", expires_at=END), give(4, "B", starts_at=END + 5))
    on.now = END + 3
    on.run(top_up(1, "INV-2"))
    on.now = END - 30 * SECOND
    # The book's time is that of its last transfer: a grant that ends then, or starts before, is out of bounds.
    assert Code.GRANT_TIMES_OUT_OF_BOUNDS is on.code(give(1, "C", expires_at=END + 3))
    on.run(give(1, "D", expires_at=END + 4))
    assert (END + 3, END + 3) == (on.books[ANN][-1].committed_at, on.grants_of(ANN)[2].starts_at)
    assert [0, 0, 1] == left(on)


def test_grants_of_a_frozen_merchant_start_and_end() -> None:
    on = ledger(give(5, "A", expires_at=END), give(4, "B", starts_at=END), SetFrozen(ANN, True))
    on.now = END
    on.run(SettleGrants(ANN))
    assert [0, 4] == left(on)
    assert Code.MERCHANT_FROZEN is on.code(charge(1))


def test_settling_what_is_not_due_changes_nothing() -> None:
    on = ledger(give(5, expires_at=END))
    (outcome,) = on.run(SettleGrants(ANN))
    assert (Code.OK, None, 1) == (outcome.code, outcome.transfer, on.ann.seq)
    commands = [SettleGrants(ANN)]
    assert not decide(on.load(reads(commands, NOW)), commands, NOW).changes_anything


# Support ends it.


def test_support_takes_back_what_is_left_once() -> None:
    on = ledger(top_up(2), give(5, expires_at=END), charge(2))
    first, again, other = on.run(*[EndGrant(ANN, 1, reason) for reason in ("mistake", "mistake", "a second look")])
    assert first.transfer is not None
    assert (Kind.GRANT_EXPIRY, 3 * UNIT, "1:3000000", end_key(1), "mistake", 2) == (
        *(first.transfer.kind, first.transfer.amount, first.transfer.given, first.transfer.idempotency_key),
        *(first.transfer.note, first.transfer.refers_to),
    )
    assert first.grant is not None
    assert (GrantState.ENDED, NOW, None) == (first.grant.state, first.grant.ended_at, on.ann.grants_due_at)
    assert [True, True] == [again.is_replay, other.is_replay]
    assert (first.transfer, first.grant) == (other.transfer, other.grant)
    assert ([0], 2) == (left(on), paid(on))


def test_a_grant_that_waits_never_starts_once_it_is_ended() -> None:
    on = ledger(give(5, "A", starts_at=NOW + 5), give(6, "B", starts_at=NOW + 9))
    (outcome,) = on.run(EndGrant(ANN, 1, "mistake"))
    assert outcome.transfer is None
    assert outcome.grant is not None
    assert (GrantState.ENDED, NOW, NOW + 9) == (outcome.grant.state, outcome.grant.ended_at, on.ann.grants_due_at)
    again, given_again = on.run(EndGrant(ANN, 1, "mistake"), give(5, "A", starts_at=NOW + 5))
    assert (True, True) == (again.is_replay, given_again.is_replay)
    on.now += 9
    on.run(SettleGrants(ANN))
    assert [0, 6] == left(on)


def test_a_grant_of_which_nothing_is_left_ends_without_a_transfer() -> None:
    on = ledger(give(5), charge(5))
    (outcome,) = on.run(EndGrant(ANN, 1, "done"))
    assert (Code.OK, None, False) == (outcome.code, outcome.transfer, outcome.is_replay)
    assert GrantState.ENDED == on.grants_of(ANN)[0].state
    assert on.run(EndGrant(ANN, 1, "done"))[0].is_replay


@pytest.mark.parametrize("spent", [0, 5])
def test_a_grant_whose_time_is_over_is_not_ended_by_hand(spent: int) -> None:
    on = ledger(give(5, expires_at=END), *([charge(spent)] if spent else []))
    on.now = END
    # Whether it was settled by this very command, earlier in the batch, or before it.
    codes = [outcome.code for outcome in on.run(EndGrant(ANN, 1, "late"), EndGrant(ANN, 1, "late"))]
    assert [Code.GRANT_ALREADY_ENDED] * 3 == [*codes, on.code(EndGrant(ANN, 1, "late"))]
    assert Code.GRANT_NOT_FOUND is on.code(EndGrant(ANN, 2, "late"))


def test_what_support_ended_ahead_of_its_time_stays_ended_by_support_when_its_time_comes() -> None:
    on = ledger(give(5, expires_at=END), EndGrant(ANN, 1, "mistake"))
    on.now = END
    assert on.run(EndGrant(ANN, 1, "mistake"))[0].is_replay


# A reference is one grant.


@pytest.mark.parametrize("passed", [0, 5, 9, 20])
def test_a_grant_that_was_to_wait_is_given_once_before_and_after_it_starts_and_ends(passed: int) -> None:
    command = give(5, starts_at=NOW + 5, expires_at=NOW + 9)
    on = ledger(command)
    on.now += passed
    again, other = on.run(command, replace(command, amount=6 * UNIT))
    assert (Code.OK, True) == (again.code, again.is_replay)
    assert again.grant == on.grants_of(ANN)[0]
    assert (again.transfer is None) is (passed < 5)
    assert Code.IDEMPOTENCY_CONFLICT is other.code
    assert "was used for another grant of credit" in (other.message or "")
    assert 1 == on.ann.grants_count


# It comes back.


def test_a_full_refund_restores_every_lot_and_paid_money() -> None:
    on = ledger(top_up(10), give(5, "A", expires_at=END), give(4, "B"), give(3, "C", priority=2))
    before = (left(on), paid(on))
    spent = on.move(charge(20))
    assert ("1:5,2:4,3:1", [0, 0, 2], 0) == (units_of(spent), left(on), paid(on))
    on.run(Refund(ANN, spent.seq, "back"))
    assert [(Kind.REFUND, 20, "1:5,2:4,3:1")] == last(on)
    assert before == (left(on), paid(on))


def test_parts_go_back_in_the_reverse_of_the_order_of_taking() -> None:
    on = ledger(top_up(10), give(5, "A", expires_at=END), give(4, "B"), give(3, "C", priority=2))
    spent = on.move(charge(20))
    steps = []
    for number, units in enumerate((1, 6, 5, 3, 2, 3)):
        on.run(Refund(ANN, spent.seq, f"back {number}", units * UNIT))
        steps.append((units_of(on.books[ANN][-1]), left(on), paid(on)))
    assert [
        ("3:1", [0, 0, 3], 0),
        (None, [0, 0, 3], 6),
        ("2:1", [0, 1, 3], 10),
        ("2:3", [0, 4, 3], 10),
        ("1:2", [2, 4, 3], 10),
        ("1:3", [5, 4, 3], 10),
    ] == steps
    assert Code.REFUND_EXCEEDS_TRANSFER is on.code(Refund(ANN, spent.seq, "more", 1))


def test_what_comes_back_into_a_grant_that_ended_ends_at_once_with_a_line_that_says_so() -> None:
    on = ledger(top_up(10), give(5, "A", expires_at=END), give(4, "B"))
    spent = on.move(charge(12))
    on.now = END
    (outcome,) = on.run(Refund(ANN, spent.seq, "back"))
    refund, ended = on.books[ANN][-2:]
    assert outcome.transfer == refund
    assert [(Kind.REFUND, 12, "1:5,2:4"), (Kind.GRANT_EXPIRY, 5, "1:5")] == last(on, 2)
    assert (end_key(1, refund.seq), fingerprint_of_key(end_key(1, refund.seq)), 2) == (
        *(ended.idempotency_key, ended.fingerprint, ended.refers_to),
    )
    assert ([0, 4], 10) == (left(on), paid(on))
    # A retry gives nothing back again.
    on.run(Refund(ANN, spent.seq, "back"))
    assert ended.seq == on.ann.seq


def test_within_the_same_batch_as_support_ends_it_too() -> None:
    on = ledger(give(5), charge(4))
    on.run(EndGrant(ANN, 1, "mistake"), Refund(ANN, 2, "back"))
    assert [(Kind.GRANT_EXPIRY, 1, "1:1"), (Kind.REFUND, 4, "1:4"), (Kind.GRANT_EXPIRY, 4, "1:4")] == last(on, 3)
    assert [0] == left(on)


# Holds.


def test_a_hold_sets_given_credit_aside_and_a_capture_takes_it_in_the_order_of_spending() -> None:
    on = ledger(top_up(10), give(5, "A", expires_at=END), give(4, "B", priority=1))
    held = on.move(hold(18))
    assert ("1:5,2:3", [0, 1], 0) == (units_of(held), left(on), paid(on))
    on.run(CaptureHold(ANN, held.seq, "capture", amount=8 * UNIT))
    assert [(Kind.CAPTURE, 8, "1:5"), (Kind.RELEASE, 10, "2:3")] == last(on, 2)
    assert ([0, 4], 7) == (left(on), paid(on))
    captured = on.books[ANN][-2]
    on.run(Refund(ANN, captured.seq, "back", 4 * UNIT))
    assert ([(Kind.REFUND, 4, "1:1")], [1, 4], 10) == (last(on), left(on), paid(on))


def test_a_capture_of_all_leaves_nothing_to_go_back() -> None:
    on = ledger(give(5), hold(5))
    on.run(CaptureHold(ANN, 2, "capture"))
    assert ([(Kind.CAPTURE, 5, "1:5")], [0], 3) == (last(on), left(on), on.ann.seq)


def test_what_a_hold_set_aside_in_time_is_captured_after_the_end_and_the_rest_ends_at_once() -> None:
    on = ledger(top_up(3), give(5, expires_at=END), hold(7, ttl_seconds=3600))
    on.now = END + 5
    on.run(CaptureHold(ANN, 3, "capture", amount=4 * UNIT))
    assert [(Kind.CAPTURE, 4, "1:4"), (Kind.RELEASE, 3, "1:1"), (Kind.GRANT_EXPIRY, 1, "1:1")] == last(on, 3)
    assert end_key(1, on.books[ANN][-2].seq) == on.books[ANN][-1].idempotency_key
    assert ([0], 3) == (left(on), paid(on))


@pytest.mark.parametrize("is_expiry", [False, True])
@pytest.mark.parametrize("has_ended", [False, True])
def test_a_hold_that_is_given_back_gives_every_lot_its_own(is_expiry: bool, has_ended: bool) -> None:
    on = ledger(top_up(3), give(5, expires_at=END), hold(7, ttl_seconds=200))
    on.now = END + 100 * SECOND if is_expiry else END if has_ended else END - 1
    if is_expiry and not has_ended:
        on = ledger(top_up(3), give(5), hold(7, ttl_seconds=0))
    on.run(ExpireHold(ANN, 3) if is_expiry else ReleaseHold(ANN, 3, "release"))
    kind = Kind.EXPIRE if is_expiry else Kind.RELEASE
    if has_ended:
        assert [(kind, 7, "1:5"), (Kind.GRANT_EXPIRY, 5, "1:5")] == last(on, 2)
        assert ([0], 3) == (left(on), paid(on))
    else:
        assert ([(kind, 7, "1:5")], [5], 3) == (last(on), left(on), paid(on))


def test_a_hold_that_is_made_and_ended_in_one_batch_gives_every_lot_its_own() -> None:
    on = ledger(top_up(3), give(5))
    on.run(hold(7), ReleaseHold(ANN, 3, "release"), charge(8), Refund(ANN, 5, "back"))
    assert ([5], 3) == (left(on), paid(on))


# Paid money is what everything else takes.


def test_reversals_and_adjustments_take_paid_money_alone() -> None:
    on = ledger(top_up(5), give(9), hold(2), charge(9))
    assert ([0], 3) == (left(on), paid(on))
    on.run(give(4, "G-2"))
    for command in (ReverseTopUp(ANN, 1, "R-1", "bounced", 4 * UNIT), adjust(-4)):
        (outcome,) = on.run(command)
        assert (
            "Insufficient balance: 4.00 USD needed, 3.00 can be spent; 4.00 USD of given credit stays as it is"
            == outcome.message
        )
    on.run(ReverseTopUp(ANN, 1, "R-1", "bounced", 2 * UNIT), adjust(-1))
    assert ([0, 4], 0) == (left(on), paid(on))
    assert {None} == {item.given for item in on.books[ANN][-2:]}


def test_a_credit_limit_is_in_use_by_what_paid_money_lacks() -> None:
    on = ledger(charge(4), give(9), credit_limit=5 * UNIT)
    assert 5 * UNIT == on.ann.wallet
    (outcome,) = on.run(SetCreditLimit(ANN, 3 * UNIT))
    assert (Code.CREDIT_LIMIT_IN_USE, True) == (outcome.code, "4.00 USD" in (outcome.message or ""))
    assert Code.OK is on.code(SetCreditLimit(ANN, 4 * UNIT))


# Alerts.


def test_given_credit_is_money_that_arrives_and_its_end_lowers_what_is_posted() -> None:
    on = ledger(top_up(9), SetThresholds(ANN, (10 * UNIT,)))
    assert [(10, 9, None)] == on.fired()
    on.run(give(5, expires_at=END))
    assert {10: True} == on.armed()
    on.now = END
    on.run(SettleGrants(ANN))
    assert [(10, 9, None), (10, 9, on.ann.seq)] == on.fired()


def test_a_balance_that_was_used_up_is_told_of_anew_after_credit_was_given() -> None:
    on = ledger()
    on.run(charge(1, "one"), charge(1, "two"), give(1), charge(1, "three"), charge(1, "four"))
    assert [(1, None), (1, 2)] == on.used_up()


# A second person.


def staffed(*commands: Command) -> MemoryLedger:
    on = ledger()
    at_once(add_staff(on.stores))
    on.run(*commands)
    return on


def by(actor: Actor, command: GiveCredit) -> GiveCredit:
    return replace(command, actor=actor)


LIMITS: Final = ApprovalLimits(10 * UNIT)


def test_credit_above_the_limit_waits_for_a_second_person_with_its_terms() -> None:
    command = give(20, starts_at=NOW + 5, expires_at=END, types="call", priority=2)
    on = staffed()
    (outcome,) = on.run(RequestApproval(by(BY_ANN, command), 7, LIMITS))
    approval = outcome.approval
    assert approval is not None
    assert (RequestKind.GRANT, 20 * UNIT, "G-1", "trial", "grant G-1") == (
        *(approval.kind, approval.amount, approval.reference, approval.note, approval.idempotency_key),
    )
    assert f"0:20000000;priority=2;starts={NOW + 5};expires={END};types=call" == approval.terms
    assert [] == on.grants_of(ANN)
    (alone,) = on.run(Approve(by(BY_ANN, command), 7))
    assert Code.APPROVAL_NEEDS_ANOTHER_PERSON is alone.code
    (done,) = on.run(Approve(by(BY_BEN, command), 7))
    assert done.approval is not None
    assert done.grant is not None
    assert (ApprovalState.APPROVED, None, GrantState.WAITING) == (
        *(done.approval.state, done.approval.transfer_seq, done.grant.state),
    )
    assert (NOW + 5, END, "call", 2) == (
        *(done.grant.starts_at, done.grant.expires_at, done.grant.types, done.grant.priority),
    )
    again, retried = on.run(Approve(by(BY_BEN, command), 7), RequestApproval(by(BY_ANN, command), 8, LIMITS))
    assert [(True, done.grant)] * 2 == [(item.is_replay, item.grant) for item in (again, retried)]


def test_credit_whose_start_passes_while_it_waits_for_approval_starts_at_once() -> None:
    command = give(20, starts_at=NOW + 5)
    on = staffed(RequestApproval(by(BY_ANN, command), 7, LIMITS))
    on.now += 3 * STARTS_AGO_MICROS_MAX
    (done,) = on.run(Approve(by(BY_BEN, command), 7))
    assert done.transfer is not None
    assert done.approval is not None
    assert done.transfer.seq == done.approval.transfer_seq
    assert ([20], on.now) == (left(on), on.grants_of(ANN)[0].starts_at)
    assert on.run(Approve(by(BY_BEN, command), 7))[0].is_replay


def test_credit_whose_end_passes_while_it_waits_for_approval_is_not_given() -> None:
    command = give(20, expires_at=END)
    on = staffed(RequestApproval(by(BY_ANN, command), 7, LIMITS))
    on.now = END
    assert Code.GRANT_TIMES_OUT_OF_BOUNDS is on.code(Approve(by(BY_BEN, command), 7))
    assert ([], ApprovalState.PENDING) == (on.grants_of(ANN), on.approvals[ANN, 7].state)
    assert Code.GRANT_TIMES_OUT_OF_BOUNDS is on.code(
        RequestApproval(by(BY_ANN, replace(command, reference="G-2")), 8, LIMITS)
    )


def test_credit_that_one_person_gave_alone_counts_towards_the_limit_though_it_waits() -> None:
    on = staffed(RequestApproval(by(BY_ANN, give(6, "A", starts_at=NOW + 5)), 7, LIMITS))
    assert [6 * UNIT] == [move.amount for move in on.lone_moves]
    (second,) = on.run(RequestApproval(by(BY_ANN, give(5, "B")), 8, LIMITS))
    assert second.approval is not None
    (third,) = on.run(RequestApproval(by(BY_ANN, give(4, "C")), 9, LIMITS))
    assert third.transfer is not None


def test_while_a_request_waits_its_reference_is_taken() -> None:
    on = staffed(RequestApproval(by(BY_ANN, give(20)), 7, LIMITS))
    assert Code.IDEMPOTENCY_CONFLICT is on.code(give(1))
    assert on.run(give(20))[0].is_replay


# Loading.


def wanted(on: MemoryLedger, *commands: Command) -> Any:
    asked = reads(commands, on.now)
    return grants_wanted(on.load(asked), asked)


def test_a_merchant_without_grants_costs_no_look_at_them() -> None:
    on = ledger(top_up(9), charge(1, "one"))
    assert None is wanted(on, charge(1), Refund(ANN, 2, "back"), top_up(1, "INV-2"))
    assert {} == on.load(reads([charge(1)], NOW)).grants
    on.run(give(1))
    assert None is wanted(on, top_up(1, "INV-2"), Refund(ANN, 2, "back"))


def many(count: int, **more: Any) -> MemoryLedger:
    return ledger(top_up(5), *[give(1, f"G-{number}", **more) for number in range(1, count + 1)])


def counted(on: MemoryLedger, *commands: Command) -> list[int]:
    """Decide commands as one batch, and tell how many grants and lots were there each time it was tried."""
    tries: list[int] = []

    def tried(state: BatchState) -> Decision:
        tries.append(len(state.grants) + sum(len(first.lots) for first in state.first_grants.values()))
        return decide(state, commands, on.now)

    on.apply(on.decision(reads(commands, on.now), tried))
    return tries


def test_most_requests_are_decided_by_the_first_few_lots() -> None:
    on = many(1000)
    few = GRANTS_LOADED_MAX
    assert [few] == counted(on, charge(few, "first"))
    assert [few] == counted(on, charge(few, "second"))
    assert [0] * 2 * few + [1] * (1000 - 2 * few) == left(on)
    assert 5 == paid(on)


def test_a_request_beyond_the_first_lots_sees_them_all() -> None:
    on = many(40)
    assert [GRANTS_LOADED_MAX, 40] == counted(on, charge(17))
    assert [0] * 17 + [1] * 23 == left(on)
    assert [GRANTS_LOADED_MAX, 23] == counted(on, *[charge(6, f"key {number}") for number in range(3)])
    assert [0] * 35 + [1] * 5 == left(on)
    # The rest of the grants is all there.
    assert [5] == counted(on, charge(9, "paid"))
    assert ([0] * 40, 1) == (left(on), paid(on))


def test_lots_for_other_requests_are_no_way_past_those_that_are_not_there() -> None:
    on = many(20, types="call", expires_at=END)
    on.run(give(3, "late"))
    assert [GRANTS_LOADED_MAX, 21] == counted(on, charge(4))
    assert ("21:3", 4) == (units_of(on.books[ANN][-1]), paid(on))


def test_credit_that_is_given_in_the_same_batch_is_no_way_past_those_that_are_not_there() -> None:
    on = many(20)
    assert [GRANTS_LOADED_MAX, 20] == counted(on, give(9, "last"), charge(18))
    assert [0] * 18 + [1, 1, 9] == left(on)
    on = many(20)
    assert [GRANTS_LOADED_MAX] == counted(on, give(9, "first", expires_at=END), charge(15))
    assert [0] * 6 + [1] * 14 + [0] == left(on)


def test_what_goes_back_into_a_lot_of_a_charge_of_the_same_batch_sees_the_grant() -> None:
    """Of the first lots a batch knows no more than charges must; what gives back sees whole rows."""
    on = ledger(top_up(5), give(4, "G-1", expires_at=END), give(3, "G-2"))
    seq = on.accounts[ANN].seq + 1
    batch: list[Command] = [
        charge(1, "first"),
        Refund(ANN, seq, "back"),
        charge(5, "second"),
        give(2, "G-3", expires_at=END),
    ]
    assert [2, 2] == counted(on, *batch, charge(2, "third"))
    assert [0, 2, 0] == left(on)
    assert ["1:1", "1:1", "1:4,2:1", "3:2;expires", "3:2"] == [
        str(units_of(item)).partition("=")[0] for item in on.books[ANN][-5:]
    ]


def test_several_merchants_of_a_batch_see_all_of_their_lots_at_the_third_try() -> None:
    on = many(20)
    gifts = [GiveCredit(BEN, UNIT, f"G-{number}", "trial") for number in range(20)]
    on.run(*gifts)
    bens = Charge(Payer(BEN), "image", 18, "key")
    assert [2 * GRANTS_LOADED_MAX, GRANTS_LOADED_MAX + 20, 40] == counted(on, charge(18), bens)


def test_a_state_that_lacks_a_grant_is_not_decided() -> None:
    on = ledger(top_up(3), give(5, expires_at=END), charge(6), hold(1))
    refund, late = Refund(ANN, 3, "back"), SettleGrants(ANN)
    state = on.load(reads([refund], NOW))
    assert [(ANN, 1)] == list(state.grants)
    state.grants = {}
    with pytest.raises(InvariantViolation, match=f"merchant {ANN}: grant 1 is not there"):
        decide(state, [refund], NOW)
    on.run(give(2, "G-2"), hold(2, "another"))
    release = ReleaseHold(ANN, on.ann.seq, "release")
    state = on.load(reads([release], NOW))
    state.grants = {}
    with pytest.raises(InvariantViolation, match=f"merchant {ANN}: grant 2 is not there"):
        decide(state, [release], NOW)
    with pytest.raises(MoreGrantsNeeded, match=f"merchant {ANN}"):
        decide(on.load(reads([late], NOW)), [late], END)
    with pytest.raises(MoreGrantsNeeded):
        decide(
            BatchState(
                accounts={ANN: replace(on.ann, given=1)}, default_prices=on.load(reads([charge()], NOW)).default_prices
            ),
            [charge()],
            NOW,
        )


def test_what_a_hold_reserved_is_decided_for_a_variable_amount_too() -> None:
    on = ledger(give(5))
    held = on.move(CreateHold(Payer(ANN), "call", 1, "hold", 4 * UNIT))
    on.run(CaptureHold(ANN, held.seq, "capture", amount=UNIT // 2))
    assert (4_500_000, ["1:4000000", "1:500000", "1:3500000"]) == (
        *(on.ann.given, [item.given for item in on.books[ANN][1:]]),
    )
