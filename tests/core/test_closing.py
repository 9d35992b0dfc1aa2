"""Closing a merchant: nothing is lost on the way, and nothing moves any more."""

from typing import Final

import pytest

from farebox.core.accounts import KIND_WORDS, Account
from farebox.core.batch.closing import close_refusal
from farebox.core.book import Book
from farebox.core.commands import (
    Adjust,
    Charge,
    Command,
    CreateHold,
    ExpireHold,
    ExtendHold,
    GiveCredit,
    Payer,
    Refund,
    ReleaseHold,
    ReverseTopUp,
    SetClosed,
    SetCreditLimit,
    SetFrozen,
    SetThresholds,
    SettleGrants,
)
from farebox.core.holds import HoldState
from farebox.core.outcomes import Code
from farebox.core.prices import Price
from farebox.core.pricing.rules import Line, Rates, Rule
from tests.support.ledger import ANN, NOW, UNIT, MemoryLedger, adjust, charge, hold, top_up
from tests.support.memory import at_once

CLOSE: Final = SetClosed(ANN, True, "moved away")
REOPEN: Final = SetClosed(ANN, False, "came back")
PAY_OUT: Final = Adjust(ANN, 9 * UNIT, False, "pay-out", "paid out on closing")


def closed() -> MemoryLedger:
    """Close a merchant that paid 10, spent 1, and got the rest back."""
    ledger = MemoryLedger()
    ledger.run(top_up(10), charge(1), PAY_OUT)
    assert Code.OK is ledger.code(CLOSE)
    return ledger


def test_a_merchant_is_closed_once_its_money_is_paid_out() -> None:
    ledger = closed()
    assert (NOW, 0, 0, 3) == (ledger.ann.closed_at, ledger.ann.posted, ledger.ann.given, ledger.ann.seq)
    (again,) = ledger.run(CLOSE)
    assert (Code.OK, True) == (again.code, again.is_replay)


@pytest.mark.parametrize(
    ("commands", "words"),
    [
        ([top_up(10)], "10.00 USD are left; pay them out or write them off by an adjustment first"),
        ([top_up(10), hold(4)], "4.00 USD are set aside by open holds; they must be captured or released"),
        ([charge(3)], "The merchant owes 3.00 USD; top it up or write them off by an adjustment first"),
    ],
)
def test_money_that_is_left_is_in_the_way(commands: list[Command], words: str) -> None:
    ledger = MemoryLedger(credit_limit=5 * UNIT)
    ledger.run(*commands)
    (outcome,) = ledger.run(CLOSE)
    assert (Code.MERCHANT_NOT_EMPTY, words) == (outcome.code, outcome.message)
    assert ledger.ann.closed_at is None


def test_what_is_owed_of_top_ups_is_in_the_way() -> None:
    outcome = close_refusal(Book(Account(ANN, "USD", owed=3 * UNIT)))
    assert outcome is not None
    assert (
        "The merchant owes 3.00 USD of top-ups that were taken back; write them off by an adjustment first"
        == outcome.message
    )


@pytest.mark.parametrize(
    "command",
    [
        *(charge(1, "new"), hold(1, "new"), top_up(1, "new"), adjust(1, "new"), adjust(-1, "new")),
        *(Refund(ANN, 2, "new"), ReverseTopUp(ANN, 1, "new", "bounced"), GiveCredit(ANN, UNIT, "new", "trial")),
        *(SetThresholds(ANN, (UNIT,)), SetCreditLimit(ANN, UNIT), SetFrozen(ANN, True), ExtendHold(ANN, 1, NOW)),
    ],
    ids=lambda command: type(command).__name__,
)
def test_nothing_of_a_closed_merchant_is_changed(command: Command) -> None:
    ledger = closed()
    before = ledger.ann
    (outcome,) = ledger.run(command)
    assert (Code.MERCHANT_CLOSED, before) == (outcome.code, ledger.ann)


def test_a_hold_of_nothing_ends_in_its_time_though_its_merchant_was_closed() -> None:
    """It is in no balance, so it stands in nobody's way; nor may it be due for ever."""
    ledger = MemoryLedger()
    at_once(ledger.stores.prices.add(Price(9, "ping", None, NOW, rule=Rule(Rates((Line("requests", 0),)))), NOW))
    ledger.run(top_up(9), CreateHold(Payer(ANN), "ping", 1, "free", ttl_seconds=60), PAY_OUT, CLOSE)
    assert NOW == ledger.ann.closed_at
    assert Code.MERCHANT_CLOSED is ledger.code(ReleaseHold(ANN, 2, "early"))
    assert Code.HOLD_NOT_DUE is ledger.code(ExpireHold(ANN, 2))
    ledger.now += 60 * UNIT
    outcomes = ledger.run(ExpireHold(ANN, 2), ExpireHold(ANN, 2))
    assert [(Code.OK, False), (Code.OK, True)] == [(outcome.code, outcome.is_replay) for outcome in outcomes]
    assert [HoldState.EXPIRED] == [hold.state for hold in ledger.rows()["holds"]]
    assert (NOW, 0, 0) == (ledger.ann.closed_at, ledger.ann.wallet, ledger.ann.held)


def test_what_was_done_before_is_answered_again_and_what_is_due_is_none() -> None:
    ledger = closed()
    outcomes = ledger.run(top_up(10), charge(1), PAY_OUT, SettleGrants(ANN))
    assert [(Code.OK, True)] * 3 + [(Code.OK, False)] == [(outcome.code, outcome.is_replay) for outcome in outcomes]
    assert Code.MERCHANT_CLOSED is ledger.code(charge(2))


def test_a_merchant_that_is_opened_again_goes_on() -> None:
    ledger = closed()
    assert [Code.OK] * 3 == [outcome.code for outcome in ledger.run(REOPEN, top_up(5, "INV-2"), charge(1, "more"))]
    assert (None, 4 * UNIT) == (ledger.ann.closed_at, ledger.ann.wallet)
    (again,) = ledger.run(REOPEN)
    assert (Code.OK, True) == (again.code, again.is_replay)


@pytest.mark.parametrize("is_given_before", [True, False])
def test_given_credit_ends_with_the_closing_and_what_waits_never_starts(is_given_before: bool) -> None:
    ledger = MemoryLedger()
    gifts = [
        GiveCredit(ANN, 5 * UNIT, "open", "trial"),
        GiveCredit(ANN, 3 * UNIT, "ending", "trial", expires_at=NOW + 9 * UNIT),
        GiveCredit(ANN, 2 * UNIT, "waiting", "trial", starts_at=NOW + 9 * UNIT),
    ]
    if is_given_before:
        ledger.run(*gifts, charge(1))
        outcomes = ledger.run(CLOSE)
    else:
        outcomes = ledger.run(*gifts, charge(1), CLOSE)
    assert Code.OK is outcomes[-1].code
    assert (0, 0, None) == (ledger.ann.wallet, ledger.ann.given, ledger.ann.grants_due_at)
    kinds = [(KIND_WORDS[item.kind], item.note) for item in ledger.rows()["transfers"]]
    assert [("grant_expiry", "moved away")] * 2 == kinds[-2:]
    assert [3, 3, 3] == [grant.state for grant in ledger.rows()["grants"]]


@pytest.mark.parametrize("change", [0, 1, -1])
def test_an_adjustment_by_all_that_is_left_may_be_finer_than_the_currency(change: int) -> None:
    for is_credit in (True, False):
        ledger = MemoryLedger(credit_limit=9 * UNIT)
        rest = 1_234_567
        taken = rest if is_credit else 2 * UNIT - rest
        ledger.run(*([] if is_credit else [top_up(2)]), Charge(Payer(ANN), "call", 1, "fine", taken))
        assert (-rest if is_credit else rest) == ledger.ann.wallet
        outcome = ledger.run(Adjust(ANN, rest + change, is_credit, "rest", "written off"))[0]
        assert (Code.AMOUNT_TOO_FINE if change else Code.OK) is outcome.code
