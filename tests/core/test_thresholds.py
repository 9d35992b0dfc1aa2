"""When users are told that a balance is below a threshold or used up, and when they are told again."""

import pytest

from farebox.core.alerts import Alert, AlertKind
from farebox.core.commands import (
    CaptureHold,
    Command,
    ExpireHold,
    Refund,
    ReleaseHold,
    ReverseTopUp,
    SetCreditLimit,
    SetFrozen,
    SetThresholds,
)
from farebox.core.decide import decide
from farebox.core.outcomes import Code
from farebox.core.state import BatchState, reads
from farebox.core.thresholds import Threshold
from farebox.storage.records import User
from tests.support.ledger import ANN, NOW, UNIT, MemoryLedger, adjust, charge, hold, top_up
from tests.support.memory import at_once

# Thresholds.


def test_a_threshold_fires_once_when_posted_falls_below_it() -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(20), SetThresholds(ANN, (10 * UNIT,)))
    ledger.run(charge(10, "down to it"))
    assert [] == ledger.fired()
    ledger.run(charge(1, "below"), charge(1, "further"))
    assert [(10, 9, 3)] == ledger.fired()
    assert {10: False} == ledger.armed()


@pytest.mark.parametrize(
    ("command", "fires"),
    [
        (charge(9), True),
        (CaptureHold(ANN, 2, "capture", 6 * UNIT), True),
        (adjust(-9), True),
        (ReverseTopUp(ANN, 1, "R", "bounced", 9 * UNIT), True),
        (hold(9, "another"), False),
        (ReleaseHold(ANN, 2, "release"), False),
    ],
)
def test_what_lowers_posted_fires_and_holds_do_not_lower_it(command: Command, fires: bool) -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(20), hold(6), SetThresholds(ANN, (15 * UNIT,)))
    transfer = ledger.move(command)
    assert ([(15, ledger.ann.posted // UNIT, transfer.seq)] if fires else []) == ledger.fired()


def test_an_expired_hold_neither_fires_nor_arms() -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(20), hold(6, ttl_seconds=0), SetThresholds(ANN, (15 * UNIT,)), charge(6, "fires"), charge(1, "x"))
    ledger.run(ExpireHold(ANN, 2))
    assert ([(15, 14, 3)], {15: False}) == (ledger.fired(), ledger.armed())


@pytest.mark.parametrize(
    ("command", "arms"),
    [
        (top_up(2, "INV-2"), True),
        (adjust(2), True),
        (top_up(1, "INV-2"), False),
        (adjust(1), False),
        (Refund(ANN, 3, "refund"), False),
        (ReleaseHold(ANN, 2, "release"), False),
    ],
)
def test_a_top_up_or_adjustment_that_reaches_a_threshold_arms_it_and_nothing_else_does(
    command: Command, arms: bool
) -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(20), hold(2), charge(10), SetThresholds(ANN, (12 * UNIT,)))
    assert {12: False} == ledger.armed()
    ledger.move(command)
    assert {12: arms} == ledger.armed()


def test_refunds_and_charges_around_a_threshold_do_not_flutter() -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(20), SetThresholds(ANN, (10 * UNIT,)), charge(11))
    for number in range(5):
        ledger.run(Refund(ANN, 2 + 2 * number, f"refund {number}", 2 * UNIT), charge(2, f"charge {number}"))
    assert [(10, 9, 2)] == ledger.fired()
    ledger.run(top_up(1, "INV-2"), charge(1, "again"))
    assert [(10, 9, 2), (10, 9, 14)] == ledger.fired()
    low = [alert for alert in at_once(ledger.stores.deliveries.alerts(ANN, 9)) if alert.kind == AlertKind.LOW_BALANCE]
    assert [2, 5] == [alert.number for alert in low][::-1]


def test_several_thresholds_crossed_at_once_are_one_alert_that_names_the_lowest() -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(100), SetThresholds(ANN, tuple(amount * UNIT for amount in (50, 10, 40, 20, 30))))
    ledger.run(charge(65, "three of them"))
    assert [(40, 35, 2)] == ledger.fired()
    ledger.run(charge(30, "the others"))
    assert [(40, 35, 2), (10, 5, 3)] == ledger.fired()
    ledger.run(top_up(20, "some again"))
    assert {10: True, 20: True, 30: False, 40: False, 50: False} == ledger.armed()


def test_thresholds_set_above_posted_fire_at_once_and_name_no_transfer() -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(20))
    ledger.run(SetThresholds(ANN, (50 * UNIT, 20 * UNIT, 30 * UNIT)))
    assert [(30, 20, None)] == ledger.fired()
    assert {20: True, 30: False, 50: False} == ledger.armed()


def test_a_threshold_that_stays_keeps_its_state_and_fires_no_second_time() -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(20), SetThresholds(ANN, (30 * UNIT,)), SetThresholds(ANN, (30 * UNIT, 10 * UNIT)))
    assert [(30, 20, None)] == ledger.fired()
    assert {10: True, 30: False} == ledger.armed()
    ledger.run(SetThresholds(ANN, (10 * UNIT,)), SetThresholds(ANN, (30 * UNIT, 10 * UNIT)))
    assert [(30, 20, None), (30, 20, None)] == ledger.fired()


def test_one_amount_given_twice_is_one_threshold() -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(20), SetThresholds(ANN, (5 * UNIT, 5 * UNIT)))
    assert {5: True} == ledger.armed()
    assert 1 == len(ledger.ann.thresholds)


def test_an_empty_book_is_told_of_by_the_first_money_that_moves() -> None:
    ledger = MemoryLedger(thresholds=(Threshold(10 * UNIT, True),), credit_limit=5 * UNIT)
    ledger.run(hold(1, "on credit"), ReleaseHold(ANN, 1, "release"))
    assert ([], {10: True}) == (ledger.fired(), ledger.armed())
    ledger.run(charge(1, "on credit too"), charge(1, "further"))
    assert [(10, -1, 3)] == ledger.fired()


def test_money_that_leaves_the_balance_below_is_told_of_each_time() -> None:
    """Who tops up too little to reach the threshold hears of it, though the balance never fell below."""
    ledger = MemoryLedger(thresholds=(Threshold(100 * UNIT, True),))
    ledger.run(top_up(80), charge(80, "down to 0"))
    assert [(100, 80, 1)] == ledger.fired()
    ledger.run(top_up(90, "INV-2"), charge(90, "down to 0 again"))
    assert [(100, 80, 1), (100, 90, 3)] == ledger.fired()
    ledger.run(adjust(99))
    assert [(100, 80, 1), (100, 90, 3), (100, 99, 5)] == ledger.fired()
    ledger.run(top_up(1, "INV-3"), charge(1, "falls"))
    assert (100, 99, 7) == ledger.fired()[-1]


def test_of_several_thresholds_above_what_arrived_the_lowest_is_named() -> None:
    ledger = MemoryLedger(thresholds=tuple(Threshold(amount * UNIT, True) for amount in (10, 50, 100)))
    ledger.run(top_up(30))
    assert ([(50, 30, 1)], {10: True, 50: False, 100: False}) == (ledger.fired(), ledger.armed())


# Used up.


def test_the_first_refusal_for_lack_of_money_is_told_of_and_no_other_until_money_arrives() -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(5))
    refusals = [charge(6, f"refused {number}") for number in range(3)] + [hold(6, "refused too")]
    assert {Code.INSUFFICIENT_BALANCE} == {outcome.code for outcome in ledger.run(*refusals)}
    assert ([(6, 1)], True) == (ledger.used_up(), ledger.ann.is_exhausted)
    ledger.run(charge(5, "all of it"), Refund(ANN, 2, "refund"), charge(6, "refused again"))
    assert [(6, 1)] == ledger.used_up()
    ledger.run(top_up(1, "INV-2"))
    assert not ledger.ann.is_exhausted
    ledger.run(hold(7, "refused anew"), charge(7, "and again"))
    assert [(6, 1), (7, 4)] == ledger.used_up()


def test_a_refusal_that_was_told_of_writes_nothing() -> None:
    ledger = MemoryLedger(is_exhausted=True)
    decision = decide(ledger.load(reads([charge()], NOW)), [charge()], NOW)
    assert [Code.INSUFFICIENT_BALANCE] == [outcome.code for outcome in decision.outcomes]
    assert not decision.changes_anything


@pytest.mark.parametrize(
    ("command", "ends"),
    [
        (top_up(1, "INV-2"), True),
        (adjust(1), True),
        (SetCreditLimit(ANN, UNIT), True),
        (SetCreditLimit(ANN, 0), False),
        (Refund(ANN, 2, "refund"), False),
        (ReleaseHold(ANN, 3, "release"), False),
        (adjust(-1), False),
        (SetThresholds(ANN, (UNIT,)), False),
    ],
)
def test_more_to_spend_that_is_no_refund_ends_being_used_up(command: Command, ends: bool) -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(5), charge(2), hold(2), charge(2, "refused"))
    assert ledger.code(command) is Code.OK
    assert ends is not ledger.ann.is_exhausted


@pytest.mark.parametrize(
    "command", [ReverseTopUp(ANN, 1, "R", "bounced"), adjust(-9), charge(10**13, "too large"), charge(1, "x", amount=1)]
)
def test_no_other_refusal_is_told_of(command: Command) -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(5), charge(1))
    assert ledger.code(command) is not Code.OK
    assert ([], False) == (ledger.used_up(), ledger.ann.is_exhausted)


def test_a_frozen_merchants_refusals_are_no_lack_of_money() -> None:
    ledger = MemoryLedger(is_frozen=True)
    assert Code.MERCHANT_FROZEN is ledger.code(charge())
    assert [] == ledger.used_up()


# Negative thresholds.


@pytest.mark.parametrize(
    ("limit", "amount", "is_allowed"),
    [(0, 1, True), (0, 0, False), (0, -1, False), (5, 0, True), (5, -5, True), (5, -6, False)],
)
def test_thresholds_reach_down_to_the_credit_limit(limit: int, amount: int, is_allowed: bool) -> None:
    ledger = MemoryLedger(credit_limit=limit * UNIT)
    outcome = ledger.run(SetThresholds(ANN, (amount * UNIT, 9 * UNIT)))[0]
    assert (Code.OK if is_allowed else Code.THRESHOLD_OUT_OF_REACH) is outcome.code
    assert ([amount, 9] if is_allowed else []) == list(ledger.armed())
    assert is_allowed or f"{amount}.00 is" in (outcome.message or "")


def test_a_negative_threshold_is_told_of_when_credit_is_drawn_on() -> None:
    ledger = MemoryLedger(credit_limit=10 * UNIT, thresholds=(Threshold(-5 * UNIT, True),))
    ledger.run(charge(5, "to it"))
    assert [] == ledger.fired()
    ledger.run(charge(1, "below"))
    assert [(-5, -6, 2)] == ledger.fired()


def test_a_threshold_that_a_lowered_limit_leaves_out_of_reach_stays_for_when_it_is_raised() -> None:
    ledger = MemoryLedger(credit_limit=10 * UNIT, thresholds=(Threshold(-5 * UNIT, True),))
    ledger.run(SetCreditLimit(ANN, 2 * UNIT), charge(2), charge(1, "refused"))
    assert ([], {-5: True}) == (ledger.fired(), ledger.armed())
    ledger.run(SetCreditLimit(ANN, 10 * UNIT), charge(4, "below"))
    assert [(-5, -6, 2)] == ledger.fired()


# Joining.


def join(ledger: MemoryLedger, number: int = 7) -> list[Alert]:
    """Register a user, and return the alerts for that user alone."""
    at_once(ledger.stores.users.add(User(ANN, number, f"user{number}@example.com", NOW)))
    mails = at_once(ledger.stores.deliveries.mails(merchant_id=ANN, limit=100))
    return [mail.alert for mail in mails if mail.recipient_id == number]


def test_who_joins_an_account_that_is_below_is_told_alone() -> None:
    ledger = MemoryLedger()
    join(ledger, 1)
    ledger.run(top_up(20), SetThresholds(ANN, (10 * UNIT, 15 * UNIT)), charge(11))
    assert 1 == len(at_once(ledger.stores.deliveries.mails(merchant_id=ANN, limit=100)))
    (joined,) = join(ledger)
    assert (3, 10 * UNIT, 9 * UNIT, None, 7) == (
        *(joined.number, joined.threshold, joined.posted, joined.transfer_seq, joined.user_id),
    )
    assert 2 == len(at_once(ledger.stores.deliveries.mails(merchant_id=ANN, limit=100)))
    ledger.run(top_up(1, "INV-2"))
    assert [AlertKind.LOW_BALANCE, AlertKind.RECOVERED, AlertKind.TOP_UP] == [
        alert.kind for alert in at_once(ledger.stores.deliveries.alerts(ANN, 3))
    ]


@pytest.mark.parametrize(
    "commands",
    [
        [],
        [SetThresholds(ANN, (10 * UNIT,))],
        [top_up(20), SetThresholds(ANN, (10 * UNIT,))],
        [top_up(20), SetThresholds(ANN, (10 * UNIT,)), charge(11), Refund(ANN, 2, "refund")],
        [top_up(20), charge(11)],
    ],
)
def test_who_joins_an_account_that_is_below_nothing_is_told_nothing(commands: list[Command]) -> None:
    ledger = MemoryLedger()
    ledger.run(*commands)
    assert [] == join(ledger)


@pytest.mark.parametrize("thresholds", [(), (10 * UNIT,)])
def test_who_joins_an_account_that_is_used_up_is_told_so_once(thresholds: tuple[int, ...]) -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(5), SetThresholds(ANN, thresholds), charge(6, "refused"))
    (alert,) = join(ledger)
    kind = AlertKind.LOW_BALANCE if thresholds else AlertKind.USED_UP
    assert (kind, thresholds[0] if thresholds else None, 7) == (alert.kind, alert.threshold, alert.user_id)


def test_no_thresholds_are_no_alerts() -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(20), SetThresholds(ANN, (10 * UNIT,)), SetThresholds(ANN, ()), charge(15))
    assert ([], ()) == (ledger.fired(), ledger.ann.thresholds)


def test_setting_what_is_set_already_changes_nothing() -> None:
    ledger = MemoryLedger(thresholds=(Threshold(10 * UNIT, False),), credit_limit=UNIT, is_frozen=True)
    state = BatchState(accounts={ANN: ledger.ann})
    settings: list[Command] = [SetThresholds(ANN, (10 * UNIT,)), SetCreditLimit(ANN, UNIT), SetFrozen(ANN, True)]
    decision = decide(state, settings, NOW)
    assert [Code.OK] * 3 == [outcome.code for outcome in decision.outcomes]
    assert not decision.changes_anything
