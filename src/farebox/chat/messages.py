"""What a chat is told: a title, a line or two, and a link, made of an alert's row alone as webhooks are."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from farebox.core import ids
from farebox.core.alerts import Alert, AlertKind
from farebox.core.currencies import format_money_with_code
from farebox.presenters.times import time_words


class ChatMessage(Struct, frozen=True):
    """A message to a chat."""

    title: str
    text: str
    url: str
    """Where to read more; empty if nobody knows where the server is."""

    @property
    def body(self) -> str:
        """The text, and the link below it."""
        return f"{self.text}\n{self.url}" if self.url else self.text


class _Telling(Struct, frozen=True):
    """An alert that is told."""

    alert: Alert
    facts: Mapping[str, Any]

    def money(self, micros: int) -> str:
        return format_money_with_code(micros, self.facts["currency"])

    @property
    def balance(self) -> str:
        """What the balance is then."""
        return f"{self.money(self.facts['available'])} are available."


TEST_TEXT: Final = "This is a test: messages from Farebox arrive here."


def message_of(alert: Alert, merchant: str, public_url: str) -> ChatMessage:
    """Write the message of an alert.

    Args:
        alert: what happened, with its facts.
        merchant: what the merchant is called.
        public_url: where people reach the server, or nothing.
    """
    told = _Telling(alert, alert.read_facts)
    headline, text = _WORDS[AlertKind(alert.kind)](told)
    account = f"{public_url}/accounts/{ids.public_id(ids.MERCHANT, alert.merchant_id)}"
    path = "/support/approvals" if alert.kind == AlertKind.APPROVAL_WAITING else ""
    url = "" if not public_url else f"{public_url}{path}" if path else account
    return ChatMessage(f"{merchant}: {headline}", text, url)


def message_of_test(public_url: str) -> ChatMessage:
    """Write the message of a test."""
    return ChatMessage("Farebox: a test", TEST_TEXT, public_url)


def _low(told: _Telling) -> tuple[str, str]:
    threshold = told.money(told.alert.threshold or 0)
    return f"the balance fell below {threshold}", told.balance


def _used_up(told: _Telling) -> tuple[str, str]:
    refused = "" if told.alert.refused is None else f" One for {told.money(told.alert.refused)} was."
    return "the balance is used up", f"Requests are refused.{refused} {told.balance}"


def _credit_ends(told: _Telling) -> tuple[str, str]:
    left, end = told.money(told.facts["left"]), time_words(told.facts["expires_at"], None)
    return "given credit ends soon", f"{left} of it are left, and end at {end}."


def _recovered(told: _Telling) -> tuple[str, str]:
    return "the balance recovered", f"Money arrived. {told.balance}"


def _topped_up(told: _Telling) -> tuple[str, str]:
    reference = told.facts["reference"]
    with_reference = f" ({reference})" if reference else ""
    return f"{told.money(told.facts['amount'])} were paid in{with_reference}", told.balance


def _credit_ended(told: _Telling) -> tuple[str, str]:
    return "given credit ended", f"{told.money(told.facts['left'])} of it were left, and can't be spent any more."


def _hold_expired(told: _Telling) -> tuple[str, str]:
    return "a hold expired", f"Its {told.money(told.facts['amount'])} are available again."


def _budget_reached(told: _Telling) -> tuple[str, str]:
    unit = told.facts["unit"]
    budget = f"{told.money(told.facts['amount'])} {'in all' if unit == 'total' else f'a {unit}'}"
    return "a key reached its budget", f"Requests with it are refused: its budget is {budget}."


def _frozen(told: _Telling) -> tuple[str, str]:
    return "the account is frozen", f"Every request is refused. {told.balance}"


def _unfrozen(told: _Telling) -> tuple[str, str]:
    return "the account is no longer frozen", f"Requests are charged again. {told.balance}"


def _runway_short(told: _Telling) -> tuple[str, str]:
    until = told.facts["until"]
    likely = f" It is likely used up at {time_words(until, None)}." if until else ""
    return f"the balance lasts for less than {told.facts['days']} days", f"{told.balance}{likely}"


def _approval_waiting(told: _Telling) -> tuple[str, str]:
    what = f"{told.facts['kind'].replace('_', ' ')} of {told.money(told.facts['amount'])}"
    return "something waits for approval", f"{told.facts['requested_by']} asked for a {what}."


def _spending_unusual(told: _Telling) -> tuple[str, str]:
    name = told.facts["key_name"] or told.facts["key_hint"]
    key = f" Most of it by the key {name}." if name else ""
    minutes = told.facts["window_seconds"] // 60
    spent, highest = told.money(told.facts["spent"]), told.money(told.facts["highest"])
    return "spending is unusual", f"{spent} in {minutes} minutes; the most before was {highest}.{key}"


def _destination_disabled(told: _Telling) -> tuple[str, str]:
    return f"{told.facts['name']} was disabled", f"Nothing is sent there any more: {told.facts['reason']}"


_WORDS: Final[Mapping[AlertKind, Callable[[_Telling], tuple[str, str]]]] = {
    AlertKind.LOW_BALANCE: _low,
    AlertKind.USED_UP: _used_up,
    AlertKind.CREDIT_ENDS: _credit_ends,
    AlertKind.RECOVERED: _recovered,
    AlertKind.TOP_UP: _topped_up,
    AlertKind.CREDIT_ENDED: _credit_ended,
    AlertKind.HOLD_EXPIRED: _hold_expired,
    AlertKind.BUDGET_REACHED: _budget_reached,
    AlertKind.FROZEN: _frozen,
    AlertKind.RUNWAY_SHORT: _runway_short,
    AlertKind.APPROVAL_WAITING: _approval_waiting,
    AlertKind.UNUSUAL_SPENDING: _spending_unusual,
    AlertKind.DESTINATION_DISABLED: _destination_disabled,
    AlertKind.UNFROZEN: _unfrozen,
}
