"""Types of events in words: a label of each, as people choose them and see them listed."""

from collections.abc import Mapping
from typing import Final

from farebox.core.alerts import EVENT_TYPES, AlertKind

_WORDS: Final[Mapping[AlertKind, str]] = {
    AlertKind.LOW_BALANCE: "The balance fell below a threshold",
    AlertKind.USED_UP: "The balance is used up",
    AlertKind.CREDIT_ENDS: "Given credit ends soon",
    AlertKind.RECOVERED: "The balance recovered",
    AlertKind.TOP_UP: "Money was paid in",
    AlertKind.CREDIT_ENDED: "Given credit ended",
    AlertKind.HOLD_EXPIRED: "A hold expired",
    AlertKind.BUDGET_REACHED: "A key reached its budget",
    AlertKind.FROZEN: "The account was frozen",
    AlertKind.RUNWAY_SHORT: "The balance lasts for a few days only",
    AlertKind.APPROVAL_WAITING: "Something waits for approval",
    AlertKind.UNUSUAL_SPENDING: "Spending is unusual",
    AlertKind.DESTINATION_DISABLED: "A webhook or chat was disabled",
    AlertKind.UNFROZEN: "The account is no longer frozen",
}

EVENT_WORDS: Final[Mapping[str, str]] = {EVENT_TYPES[kind]: words for kind, words in _WORDS.items()}
"""Each type of event by its public name."""
