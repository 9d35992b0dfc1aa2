"""What schemathesis has to know of Farebox and can't be told by its settings; it loads this by itself."""

import gc
import json
import os
from pathlib import Path
from typing import Any, Final

import schemathesis

from farebox.core.commands import IDEMPOTENCY_KEY_CHARS_MAX

# Of the many small things that it draws nearly all go as soon as they are counted out: looking for garbage among them,
# and among the document, is a tenth of the time that it takes.
gc.freeze()
gc.set_threshold(100_000, 20, 100)

_CHARGED: Final = ("image", "call")
_PRICED: Final = {"POST /api/charges", "POST /api/holds", "POST /api/quotes"}
_ADDING: Final = {"POST /api/admin/destinations", "POST /api/admin/merchants/{merchant_id}/destinations"}
_DECIDED_BY_PRICES: Final = {"quantities", "amount", "requestedAt"}


@schemathesis.serializer("application/x-ndjson")
def lines(_: Any, value: Any) -> bytes:
    """Write lines of JSON: a text is lines already, whatever else there is, is one."""
    return value.encode(errors="replace") if isinstance(value, str) else json.dumps(value).encode()


@schemathesis.hook
def before_call(_: Any, case: Any, __: dict[str, Any]) -> None:
    """Let no request close the keys that all requests are made with, nor retire the types that all are charged by.

    The lists of keys tell of those keys as well, and the document's examples name such a type.
    """
    own, spare = os.environ["FAREBOX_TEST_OWN_KEYS"].split(), os.environ["FAREBOX_TEST_SPARE_KEY"]
    if case.path_parameters and case.path_parameters.get("key_id") in own:
        case.path_parameters["key_id"] = spare
    if case.path.endswith("/prices/end") and isinstance(case.body, dict) and case.body.get("type") in _CHARGED:
        case.body = {**case.body, "type": "nothing"}
    _leave_out_what_prices_decide(case)
    _leave_out_what_channels_decide(case)


def _leave_out_what_prices_decide(case: Any) -> None:
    """Of bodies that are valid, let every other one name no quantities, amount or time, and let keys not meet.

    Which of these a request type takes is known to its price, and a time is in bounds for a day.
    """
    body, generation = case.body, getattr(case.meta, "generation", None)
    if case.operation.label not in _PRICED or not isinstance(body, dict) or generation is None:
        return
    if not generation.mode.is_positive:
        return
    if len(json.dumps(body, default=str)) % 2:
        body = {name: value for name, value in body.items() if name not in _DECIDED_BY_PRICES}
    if "idempotencyKey" in body:
        # Keys are drawn so short that charges and holds would meet each other's.
        key = f"{case.operation.path.rpartition('/')[2]}-{body['idempotencyKey']}"
        body = {**body, "idempotencyKey": key[:IDEMPOTENCY_KEY_CHARS_MAX]}
    case.body = body


def _leave_out_what_channels_decide(case: Any) -> None:
    """Of bodies that are valid, let every other one add a webhook whose secret is made, told of top-ups alone.

    Which URLs and secrets there are is known to the channel, and which events there are to whose destination it is.
    """
    body, generation = case.body, getattr(case.meta, "generation", None)
    if case.operation.label not in _ADDING or not isinstance(body, dict) or generation is None:
        return
    if generation.mode.is_positive and len(json.dumps(body, default=str)) % 2:
        case.body = {"channel": "webhook", "url": body["url"], "types": ["topup.posted"]}


@schemathesis.hook
def after_call(_: Any, case: Any, response: Any) -> None:
    """Write down how each operation was answered; another method on its path is not the operation."""
    if case.method == case.operation.method.upper():
        with Path(os.environ["FAREBOX_TEST_TALLY"]).open("a") as tally:
            tally.write(f"{case.operation.label} {response.status_code}\n")
