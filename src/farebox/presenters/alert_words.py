"""Alerts in a few words, as lists of them on pages and on the command line show them."""

from collections.abc import Mapping
from typing import Final

from farebox.core.alerts import Alert, AlertKind
from farebox.service.languages import ENGLISH, Language, gettext_noop

_WORDS: Final[Mapping[int, str]] = {
    AlertKind.USED_UP: gettext_noop("balance used up"),
    AlertKind.CREDIT_ENDS: gettext_noop("given credit ends soon"),
    AlertKind.RECOVERED: gettext_noop("balance recovered"),
    AlertKind.TOP_UP: gettext_noop("top-up of %(amount)s"),
    AlertKind.CREDIT_ENDED: gettext_noop("given credit ended, %(left)s left"),
    AlertKind.HOLD_EXPIRED: gettext_noop("hold of %(amount)s expired"),
    AlertKind.BUDGET_REACHED: gettext_noop("a key's budget of %(amount)s reached"),
    AlertKind.FROZEN: gettext_noop("account frozen"),
    AlertKind.RUNWAY_SHORT: gettext_noop("lasts for less than %(days)s days"),
    AlertKind.APPROVAL_WAITING: gettext_noop("%(kind)s of %(amount)s waits for approval"),
    AlertKind.UNUSUAL_SPENDING: gettext_noop("unusual spending"),
    AlertKind.DESTINATION_DISABLED: gettext_noop("destination disabled"),
    AlertKind.UNFROZEN: gettext_noop("account no longer frozen"),
}
_AMOUNTS: Final = frozenset({"amount", "left"})


def alert_words(alert: Alert, currency: str, spoken: Language = ENGLISH) -> str:
    """Say what an alert tells."""
    if alert.threshold is not None:
        return spoken.gettext("below %(amount)s", amount=spoken.money(alert.threshold, currency))
    facts = {
        name: spoken.money(value, currency) if name in _AMOUNTS and isinstance(value, int) else value
        for name, value in alert.read_facts.items()
    }
    return spoken.gettext(_WORDS[alert.kind], **facts)


def cause_words(alert: Alert, currency: str, spoken: Language = ENGLISH) -> str | None:
    """Say what an alert comes of, if it is no transfer; None if that says it."""
    if alert.user_id is not None:
        return spoken.gettext("a user who joined")
    needed = alert.refused
    if needed is None and alert.kind == AlertKind.BUDGET_REACHED:
        needed = alert.read_facts["needed"]
    if needed is not None:
        return spoken.gettext("a request for %(amount)s that was not covered", amount=spoken.money(needed, currency))
    if alert.transfer_seq is not None:
        return None
    if alert.kind == AlertKind.LOW_BALANCE:
        return spoken.gettext("a threshold set above the balance")
    return spoken.gettext("a higher credit limit") if alert.kind == AlertKind.RECOVERED else ""
