"""Alerts name the traces of the commands that caused them, and a batch is decided as ever."""

from typing import Final

from msgspec.structs import replace

from farebox.core.accounts import Account
from farebox.core.alerts import AlertKind
from farebox.core.commands import Command, SetThresholds
from farebox.core.credit.grants import Grant
from farebox.core.decide import decide
from farebox.core.state import BatchState
from farebox.service.ledger.traced import decide_traced
from tests.support.ledger import ANN, BEN, NOBODY, NOW, UNIT

TRACE: Final = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER: Final = TRACE.replace("4bf9", "0000")


def _state() -> BatchState:
    state = BatchState()
    state.accounts = {number: Account(number, "USD") for number in (ANN, BEN)}
    return state


def _alerting(merchant_id: int, amount: int) -> Command:
    """Set a threshold that is too high, anew: each is told of."""
    return SetThresholds(merchant_id, (amount * UNIT,))


def test_each_alert_names_the_trace_of_its_own_command_and_the_rest_is_decided_as_ever() -> None:
    commands = [
        _alerting(ANN, 1),
        _alerting(ANN, 2),
        _alerting(BEN, 3),
        _alerting(ANN, 4),
        _alerting(NOBODY, 5),
    ]
    plain = decide(_state(), commands, NOW)
    traced = decide_traced(_state(), commands, NOW, {1: TRACE, 2: OTHER, 4: TRACE})
    assert 4 == len(plain.alerts)
    by_threshold = {alert.threshold: alert.traceparent for alert in traced.alerts}
    assert {UNIT: None, 2 * UNIT: TRACE, 3 * UNIT: OTHER, 4 * UNIT: None} == by_threshold
    assert plain.outcomes == traced.outcomes
    assert plain.alerts == [replace(alert, traceparent=None) for alert in traced.alerts]
    assert (plain.accounts, plain.transfers) == (traced.accounts, traced.transfers)


def test_credit_that_ends_by_the_clock_is_of_no_request() -> None:
    state = BatchState()
    account = Account(ANN, "USD", wallet=5 * UNIT, promotions=-5 * UNIT, given=5 * UNIT, grants_count=1)
    state.accounts = {ANN: replace(account, grants_due_at=NOW - 1)}
    grant = Grant(ANN, 1, 5 * UNIT, 5 * UNIT, "R", "Welcome", "R", b"", expires_at=NOW - 1, transfer_seq=1)
    state.grants, state.grants_complete = {(ANN, 1): grant}, frozenset({ANN})
    traced = decide_traced(state, [_alerting(ANN, 1), _alerting(ANN, 2)], NOW, {0: TRACE, 1: OTHER})
    by_kind = [(alert.kind, alert.threshold, alert.traceparent) for alert in traced.alerts]
    assert AlertKind.CREDIT_ENDED in [kind for kind, _, _ in by_kind]
    assert {None} == {trace for _, threshold, trace in by_kind if threshold is None}
    assert [TRACE, OTHER] == [trace for _, threshold, trace in by_kind if threshold is not None]
