"""Types of events in words: a label of each, as people choose them and see them listed."""

from collections.abc import Mapping
from typing import Final

from farebox.core.alerts import EVENT_TYPES, AlertKind
from farebox.service.languages import gettext_noop

_WORDS: Final[Mapping[AlertKind, str]] = {
    AlertKind.LOW_BALANCE: gettext_noop("The balance fell below a threshold"),
    AlertKind.USED_UP: gettext_noop("The balance is used up"),
    AlertKind.CREDIT_ENDS: gettext_noop("Given credit ends soon"),
    AlertKind.RECOVERED: gettext_noop("The balance recovered"),
    AlertKind.TOP_UP: gettext_noop("Money was paid in"),
    AlertKind.CREDIT_ENDED: gettext_noop("Given credit ended"),
    AlertKind.HOLD_EXPIRED: gettext_noop("A hold expired"),
    AlertKind.BUDGET_REACHED: gettext_noop("A key reached its budget"),
    AlertKind.FROZEN: gettext_noop("The account was frozen"),
    AlertKind.RUNWAY_SHORT: gettext_noop("The balance lasts for a few days only"),
    AlertKind.APPROVAL_WAITING: gettext_noop("Something waits for approval"),
    AlertKind.UNUSUAL_SPENDING: gettext_noop("Spending is unusual"),
    AlertKind.DESTINATION_DISABLED: gettext_noop("A webhook or chat was disabled"),
    AlertKind.UNFROZEN: gettext_noop("The account is no longer frozen"),
}

EVENT_WORDS: Final[Mapping[str, str]] = {EVENT_TYPES[kind]: words for kind, words in _WORDS.items()}
"""Each type of event by its public name."""
