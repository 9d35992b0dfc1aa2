"""Alerts in a few words, as lists of them on pages and on the command line show them."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from farebox.core.alerts import Alert, AlertKind
from farebox.core.currencies import format_money_with_code

_Words = Callable[[Mapping[str, Any], Callable[[int], str]], str]

_WORDS: Final[Mapping[int, _Words]] = {
    AlertKind.USED_UP: lambda _facts, _money: "balance used up",
    AlertKind.CREDIT_ENDS: lambda _facts, _money: "given credit ends soon",
    AlertKind.RECOVERED: lambda _facts, _money: "balance recovered",
    AlertKind.TOP_UP: lambda facts, money: f"top-up of {money(facts['amount'])}",
    AlertKind.CREDIT_ENDED: lambda facts, money: f"given credit ended, {money(facts['left'])} left",
    AlertKind.HOLD_EXPIRED: lambda facts, money: f"hold of {money(facts['amount'])} expired",
    AlertKind.BUDGET_REACHED: lambda facts, money: f"a key's budget of {money(facts['amount'])} reached",
    AlertKind.FROZEN: lambda _facts, _money: "account frozen",
    AlertKind.RUNWAY_SHORT: lambda facts, _money: f"lasts for less than {facts['days']} days",
    AlertKind.APPROVAL_WAITING: lambda facts, money: f"{facts['kind']} of {money(facts['amount'])} waits for approval",
    AlertKind.UNUSUAL_SPENDING: lambda _facts, _money: "unusual spending",
    AlertKind.DESTINATION_DISABLED: lambda _facts, _money: "destination disabled",
    AlertKind.UNFROZEN: lambda _facts, _money: "account no longer frozen",
}


def alert_words(alert: Alert, currency: str) -> str:
    """Say what an alert tells."""
    if alert.threshold is not None:
        return f"below {format_money_with_code(alert.threshold, currency)}"
    return _WORDS[alert.kind](alert.read_facts, lambda micros: format_money_with_code(micros, currency))


def cause_words(alert: Alert, currency: str) -> str | None:
    """Say what an alert comes of, if it is no transfer; None if that says it."""
    if alert.user_id is not None:
        return "a user who joined"
    if alert.refused is not None:
        return f"a request for {format_money_with_code(alert.refused, currency)} that was not covered"
    if alert.kind == AlertKind.BUDGET_REACHED:
        return f"a request for {format_money_with_code(alert.read_facts['needed'], currency)} that was not covered"
    if alert.transfer_seq is not None:
        return None
    if alert.kind == AlertKind.LOW_BALANCE:
        return "a threshold set above the balance"
    return "a higher credit limit" if alert.kind == AlertKind.RECOVERED else ""
