"""What each kind of alert is called, where its mails are chosen or ended."""

from collections.abc import Mapping
from typing import Final

from farebox.core.alerts import AlertKind
from farebox.service.languages import gettext_noop

_WORDS: Final[Mapping[int, str]] = {
    AlertKind.LOW_BALANCE: gettext_noop("The balance is below a threshold"),
    AlertKind.USED_UP: gettext_noop("The balance is used up"),
    AlertKind.CREDIT_ENDS: gettext_noop("Given credit ends soon"),
    AlertKind.RECOVERED: gettext_noop("The balance has recovered"),
    AlertKind.TOP_UP: gettext_noop("A top-up has arrived"),
    AlertKind.CREDIT_ENDED: gettext_noop("Given credit has ended"),
    AlertKind.HOLD_EXPIRED: gettext_noop("A hold has expired"),
    AlertKind.BUDGET_REACHED: gettext_noop("A key has reached its budget"),
    AlertKind.FROZEN: gettext_noop("The account was frozen"),
    AlertKind.RUNWAY_SHORT: gettext_noop("The balance lasts only some days"),
    AlertKind.APPROVAL_WAITING: gettext_noop("Something waits for approval"),
    AlertKind.UNUSUAL_SPENDING: gettext_noop("Spending is unusual"),
    AlertKind.DESTINATION_DISABLED: gettext_noop("Webhooks or chat messages were given up"),
    AlertKind.UNFROZEN: gettext_noop("The account was unfrozen"),
}
_OTHER: Final = gettext_noop("Other news of the account")


def kind_words(kind: int) -> str:
    """Return the message that a kind of alert is called by."""
    return _WORDS.get(kind, _OTHER)
