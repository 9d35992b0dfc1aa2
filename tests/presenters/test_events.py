"""Events as webhooks tell them: each kind by its schema, the same text every time, and as the reference says."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator

from farebox.core.alerts import EVENT_TYPES, Alert, AlertKind
from farebox.presenters.events import VERSION, event_body, event_schemas
from farebox.web.openapi import document
from tests.support.ledger import ANN, NOW

REFERENCE: Final = Path(__file__).parents[2] / "docs" / "reference" / "events.md"
BALANCES: Final = {"currency": "USD", "available": 4_500_000, "held": 250_000, "credit_limit": 0}
FACTS: Final[dict[AlertKind, dict[str, Any]]] = {
    AlertKind.LOW_BALANCE: {},
    AlertKind.USED_UP: {"given": 1_000_000, "owed": 0},
    AlertKind.CREDIT_ENDS: {"grant": 3, "left": 1_000_000, "expires_at": NOW},
    AlertKind.RECOVERED: {"thresholds": [5_000_000, 10_000_000], "was_used_up": True},
    AlertKind.TOP_UP: {"amount": 20_000_000, "reference": "INV-1"},
    AlertKind.CREDIT_ENDED: {"grant": 3, "left": 1_000_000, "expires_at": None, "ended_at": NOW},
    AlertKind.HOLD_EXPIRED: {"hold": 7, "amount": 10, "request_type": "image", "reference": None, "key_id": 17},
    AlertKind.BUDGET_REACHED: {
        "key_id": 17,
        "budget_id": 17,
        "unit": "day",
        "amount": 10,
        "spent": 9,
        "needed": 2,
        "starts_at": NOW,
        "ends_at": None,
    },
    AlertKind.FROZEN: {},
    AlertKind.UNFROZEN: {},
    AlertKind.RUNWAY_SHORT: {"days": 7, "until": NOW, "until_low": NOW, "until_high": None, "burn_per_day": 1},
    AlertKind.APPROVAL_WAITING: {
        "approval_id": 5,
        "kind": "top_up",
        "amount": 1,
        "reference": None,
        "requested_by": "ann",
    },
    AlertKind.UNUSUAL_SPENDING: {
        "spent": 9,
        "window_seconds": 300,
        "highest": 1,
        "key_id": None,
        "key_hint": None,
        "key_name": None,
        "key_spent": 0,
    },
    AlertKind.DESTINATION_DISABLED: {"destination_id": 9, "name": "hooks", "reason": "410", "failing_since": None},
}


def alert(kind: AlertKind) -> Alert:
    """Make up an alert of a kind, with the facts that it carries."""
    threshold, refused = (5_000_000, None) if kind == AlertKind.LOW_BALANCE else (None, 1)
    facts = json.dumps({**BALANCES, **FACTS[kind]})
    return Alert(ANN, 3, threshold, 4_750_000, NOW, 12, kind, refused, None, facts)


@pytest.mark.parametrize("kind", AlertKind)
def test_each_kind_is_of_the_schema_that_the_document_has_of_its_type(kind: AlertKind) -> None:
    described = document([])
    operation = described["webhooks"][EVENT_TYPES[kind]]["post"]
    content = operation["requestBody"]["content"]["application/json"]
    validator = Draft202012Validator({**content["schema"], "components": described["components"]})
    event = json.loads(event_body(alert(kind)))
    validator.validate(event)
    validator.validate(content["example"])
    assert (EVENT_TYPES[kind], VERSION, "2027-01-15T08:00:00.000000Z") == (
        event["type"],
        event["version"],
        event["timestamp"],
    )
    assert ("4.75", "4.50", "0.25", "USD") == tuple(
        event["data"][name] for name in ("posted", "available", "held", "currency")
    )
    required = set(
        described["components"]["schemas"][content["schema"]["properties"]["data"]["$ref"].split("/")[-1]]["required"]
    )
    assert required == set(event["data"])


@pytest.mark.parametrize("kind", AlertKind)
def test_the_same_alert_is_the_same_text(kind: AlertKind) -> None:
    assert event_body(alert(kind)) == event_body(alert(kind))


def test_version_1_is_as_it_was_released() -> None:
    """To the letter: receivers store it, and an attempt after an update must say what the one before it said."""
    assert event_body(alert(AlertKind.LOW_BALANCE)) == (
        '{"type":"balance.low","version":1,"timestamp":"2027-01-15T08:00:00.000000Z","data":{'
        '"alertId":"alert_001000000000000000003","merchantId":"mer_0010000000000","currency":"USD","posted":"4.75",'
        '"held":"0.25","available":"4.50","creditLimit":"0.00","threshold":"5.00",'
        '"transferId":"xfer_00100000000000000000C"}}'
    )


def test_the_reference_lists_every_type_and_every_field() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `([a-z]+\.[a-z_]+)` \|[^|]*\|([^|]*)\|$", text, re.MULTILINE))
    common = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    schemas = document([])["components"]["schemas"]
    expected = {}
    for name, kind in event_schemas():
        own = set(schemas[kind.__name__]["properties"]) - common
        expected[name] = own
        assert common <= set(schemas[kind.__name__]["properties"])
    assert expected == {name: set(re.findall(r"`(\w+)`", fields)) for name, fields in listed.items()}
