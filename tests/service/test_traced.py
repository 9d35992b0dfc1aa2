"""Alerts name the traces of the commands that caused them, and a batch is decided as ever."""

from typing import Final

from msgspec.structs import replace

from farebox.core.accounts import Account
from farebox.core.commands import Command, SetThresholds
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
