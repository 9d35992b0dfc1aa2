"""Events besides low balances are told: each where it happens, once, with facts that are those of the moment."""

import json
from typing import Any, Final

import pytest

from farebox.core.alerts import EVENT_TYPES, MAILED_FROM_THE_START, MAILED_TO_OWNERS, AlertKind, kind_set
from farebox.core.commands import (
    Charge,
    Command,
    EndGrant,
    ExpireHold,
    GiveCredit,
    Payer,
    SetCreditLimit,
    SetFrozen,
    SetThresholds,
    SettleGrants,
)
from farebox.core.credit.budgets import Budget, BudgetUnit
from farebox.core.outcomes import Code
from farebox.presenters.events import event_body
from tests.core.replays import faults_of
from tests.support.ledger import (
    ANN,
    NOW,
    SECOND,
    UNIT,
    MemoryLedger,
    adjust,
    charge,
    digest,
    hold,
    merchant_key,
    top_up,
)
from tests.support.memory import at_once

DAY: Final = 86_400 * SECOND
KEY: Final = 5


def told(ledger: MemoryLedger) -> list[tuple[str, int | None, dict[str, Any]]]:
    """List what was told, oldest first: its type, its transfer, and the facts that are its kind's own."""
    common = {"currency", "available", "held", "credit_limit"}
    alerts = at_once(ledger.stores.deliveries.alerts(ANN, 1000))[::-1]
    assert list(range(1, len(alerts) + 1)) == [alert.number for alert in alerts]
    assert [] == faults_of(ledger, ledger.ann)
    for alert in alerts:
        facts = alert.read_facts
        # A webhook has all that it needs.
        assert EVENT_TYPES[alert.kind] == json.loads(event_body(alert))["type"]
        assert common <= facts.keys()
        assert alert.posted == facts["available"] + facts["held"]
    return [
        (
            EVENT_TYPES[alert.kind],
            alert.transfer_seq,
            {name: value for name, value in alert.read_facts.items() if name not in common},
        )
        for alert in alerts
    ]


def test_every_kind_has_a_type_and_a_bit_of_its_own() -> None:
    assert set(AlertKind) == EVENT_TYPES.keys()
    assert len(AlertKind) == len(set(EVENT_TYPES.values()))
    assert max(AlertKind) < 31
    assert {AlertKind.USED_UP} < {kind for kind in AlertKind if MAILED_FROM_THE_START >> kind & 1}
    assert kind_set(AlertKind.USED_UP, AlertKind.DESTINATION_DISABLED) == MAILED_TO_OWNERS


def test_a_top_up_is_told_ahead_of_what_it_does_to_episodes() -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(20), SetThresholds(ANN, (10 * UNIT, 15 * UNIT)), charge(11), charge(10, "refused"))
    ledger.run(top_up(3, "INV-2"))
    assert [
        ("topup.posted", 1, {"amount": 20 * UNIT, "reference": "INV-1"}),
        ("balance.low", 2, {}),
        ("balance.exhausted", 2, {"given": 0, "owed": 0}),
        ("topup.posted", 3, {"amount": 3 * UNIT, "reference": "INV-2"}),
        ("balance.recovered", 3, {"thresholds": [10 * UNIT], "was_used_up": True}),
        ("balance.low", 3, {}),
    ] == told(ledger)


@pytest.mark.parametrize(
    ("command", "seq"),
    [
        (adjust(1), 2),
        (GiveCredit(ANN, UNIT, "G-1", "gift"), 2),
        (SetCreditLimit(ANN, UNIT), None),
    ],
)
def test_money_that_arrives_and_a_raised_credit_limit_end_that_a_balance_is_used_up(
    command: Command, seq: int | None
) -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(1), charge(2, "refused"), command, command)
    assert ("balance.recovered", seq, {"thresholds": [], "was_used_up": True}) == told(ledger)[-1]
    assert 3 == len(told(ledger))


def test_what_ends_no_episode_recovers_nothing() -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(20), SetThresholds(ANN, (10 * UNIT,)), top_up(1, "INV-2"), SetCreditLimit(ANN, UNIT))
    ledger.run(charge(12), SetThresholds(ANN, ()), top_up(10, "INV-3"))
    assert "balance.recovered" not in [what for what, _, _ in told(ledger)]


def test_a_hold_that_expires_is_told_and_one_that_is_released_is_not() -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(9), hold(2, "one", ttl_seconds=60, reference="R-1"))
    ledger.now += 61 * SECOND
    ledger.run(ExpireHold(ANN, 2), ExpireHold(ANN, 2))
    facts = {"hold": 2, "amount": 2 * UNIT, "request_type": "image", "reference": "R-1", "key_id": None}
    assert [("hold.expired", 3, facts)] == told(ledger)[1:]


@pytest.mark.parametrize("is_by_support", [True, False])
def test_a_grant_that_ends_with_something_left_is_told_and_one_that_was_spent_is_not(is_by_support: bool) -> None:
    ledger = MemoryLedger()
    ledger.run(
        GiveCredit(ANN, UNIT, "G-1", "gift", expires_at=NOW + DAY),
        GiveCredit(ANN, 5 * UNIT, "G-2", "gift", expires_at=NOW + DAY),
        charge(1),
    )
    if is_by_support:
        ledger.run(EndGrant(ANN, 1, "no more"), EndGrant(ANN, 2, "no more"), EndGrant(ANN, 2, "no more"))
    else:
        ledger.now = NOW + DAY + 1
        ledger.run(SettleGrants(ANN), SettleGrants(ANN))
    ended_at = NOW if is_by_support else NOW + DAY
    facts = {"grant": 2, "left": 5 * UNIT, "expires_at": NOW + DAY, "ended_at": ended_at}
    assert [("grant.expired", 4, facts)] == told(ledger)


def test_a_freeze_and_its_end_are_told_once_each() -> None:
    ledger = MemoryLedger()
    ledger.run(SetFrozen(ANN, True), SetFrozen(ANN, True), SetFrozen(ANN, False), SetFrozen(ANN, False))
    assert [("merchant.frozen", None, {}), ("merchant.unfrozen", None, {})] == told(ledger)


def _with_budget(*limits: tuple[BudgetUnit, int]) -> MemoryLedger:
    ledger = MemoryLedger()
    ledger.run(top_up(1000))
    at_once(ledger.stores.api_keys.create(merchant_key(KEY, budget_id=KEY)))
    for unit, units in limits:
        ledger.budgets[ANN, KEY, unit] = Budget(ANN, KEY, unit, units * UNIT, "UTC")
    return ledger


def _asks(units: int, key: str) -> Charge:
    return Charge(Payer(ANN, digest(KEY)), "image", units, key)


def test_a_budget_is_told_of_once_for_each_limit_and_period() -> None:
    ledger = _with_budget((BudgetUnit.DAY, 3), (BudgetUnit.TOTAL, 6))
    for day in range(3):
        ledger.now = NOW + day * DAY
        ledger.run(_asks(2, f"first {day}"))
        for number in range(2):
            assert Code.KEY_BUDGET_EXCEEDED is ledger.code(_asks(2, f"more {day} {number}"))
    budgets = [
        (facts["unit"], facts["spent"] // UNIT, facts["ends_at"] is None)
        for what, seq, facts in told(ledger)
        if what == "key.budget_reached" and seq is None
    ]
    assert [("day", 2, False), ("day", 2, False), ("total", 6, True)] == budgets
    _, _, facts = told(ledger)[1]
    assert (KEY, KEY, 3 * UNIT, 2 * UNIT) == (*(facts["key_id"], facts["budget_id"], facts["amount"], facts["needed"]),)


def test_a_thousand_refusals_for_a_budget_write_once() -> None:
    ledger = _with_budget((BudgetUnit.MONTH, 1))
    ledger.run(*(_asks(2, str(number)) for number in range(1000)))
    before = ledger.rows()
    ledger.run(*(_asks(2, f"again {number}") for number in range(1000)))
    assert before == ledger.rows()
    assert 2 == len(told(ledger))


def test_facts_are_small_and_the_same_for_the_same_moment() -> None:
    texts = []
    for _ in range(2):
        ledger = MemoryLedger()
        ledger.run(top_up(20, "é" * 200), SetThresholds(ANN, (10 * UNIT,)), charge(11))
        texts.append([alert.facts or "" for alert in at_once(ledger.stores.deliveries.alerts(ANN, 9))])
    assert texts[0] == texts[1]
    assert all(len(text) < 1000 and json.loads(text) for text in texts[0])
