"""An alert of each kind, with the facts that the core writes."""

import json
from typing import Any, Final

from farebox.core.alerts import Alert, AlertKind

NOW: Final = 1_800_000_000_000_000
UNIT: Final = 1_000_000
MERCHANT: Final = 1_800_000_000_000 << 21

_BALANCES: Final = {"currency": "USD", "available": 7 * UNIT, "held": 0, "credit_limit": 0, "given": 0, "owed": 0}
FACTS: Final[dict[AlertKind, dict[str, Any]]] = {
    AlertKind.LOW_BALANCE: {},
    AlertKind.USED_UP: {},
    AlertKind.CREDIT_ENDS: {"grant": 1, "left": 3 * UNIT, "expires_at": NOW},
    AlertKind.RECOVERED: {"thresholds": [5 * UNIT], "was_used_up": True},
    AlertKind.TOP_UP: {"amount": 20 * UNIT, "reference": "INV-1"},
    AlertKind.CREDIT_ENDED: {"grant": 1, "left": 3 * UNIT, "expires_at": NOW, "ended_at": NOW},
    AlertKind.HOLD_EXPIRED: {"hold": 3, "amount": 2 * UNIT, "request_type": "image", "reference": None, "key_id": None},
    AlertKind.BUDGET_REACHED: {
        "key_id": 1,
        "budget_id": 1,
        "unit": "day",
        "amount": 9 * UNIT,
        "spent": 9 * UNIT,
        "needed": UNIT,
        "starts_at": NOW,
        "ends_at": NOW,
    },
    AlertKind.FROZEN: {},
    AlertKind.RUNWAY_SHORT: {"days": 7, "until": NOW, "until_low": NOW, "until_high": None, "burn_per_day": UNIT},
    AlertKind.APPROVAL_WAITING: {
        "approval_id": 1,
        "kind": "top_up",
        "amount": 50 * UNIT,
        "reference": None,
        "requested_by": "sam",
    },
    AlertKind.UNUSUAL_SPENDING: {
        "spent": 90 * UNIT,
        "window_seconds": 300,
        "highest": 4 * UNIT,
        "key_id": 1,
        "key_hint": "fbm_…8K2P",
        "key_name": None,
        "key_spent": 80 * UNIT,
    },
    AlertKind.DESTINATION_DISABLED: {"destination_id": 1, "name": "orders", "reason": "410", "failing_since": NOW},
    AlertKind.UNFROZEN: {},
}


def alert_of(kind: AlertKind) -> Alert:
    """Return an alert of a kind."""
    threshold = 10 * UNIT if kind == AlertKind.LOW_BALANCE else None
    refused = 8 * UNIT if kind == AlertKind.USED_UP else None
    facts = json.dumps({**_BALANCES, **FACTS[kind]})
    return Alert(MERCHANT, 5, threshold, 7 * UNIT, NOW, None, kind, refused=refused, facts=facts)
