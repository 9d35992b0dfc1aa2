"""When a threshold fires, when it is silent, and what arms it again."""

import pytest

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
from farebox.core.state import BatchState
from farebox.core.thresholds import Threshold
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
    assert [1, 2] == [alert.number for alert in at_once(ledger.stores.outbox.alerts(ANN, 9))][::-1]


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


def test_a_new_merchants_thresholds_are_silent_until_a_top_up_reaches_them() -> None:
    ledger = MemoryLedger(thresholds=(Threshold(10 * UNIT, False),), credit_limit=5 * UNIT)
    ledger.run(charge(1, "on credit"), top_up(10), charge(1, "still below"))
    assert ([], {10: False}) == (ledger.fired(), ledger.armed())
    ledger.run(top_up(10, "INV-2"), charge(9, "below"))
    assert [(10, 9, 5)] == ledger.fired()


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
