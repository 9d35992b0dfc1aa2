"""Writes the pages of the reference that come from the code, outcomes and the database; a test holds them to it."""

import re
from pathlib import Path
from typing import Final

from farebox.core.outcomes import Code
from farebox.web.envelope import STATUS
from farebox_client import errors
from tools.schema import schema

FOLDER: Final = Path(__file__).parents[1] / "docs" / "reference"

_OUTCOMES: Final = """\
# Outcomes

Every name by which a request may be refused, written from the code by `make reference`. The name stands in the header
`X-Error-Code`, and is never used for anything else; `errorMessage` says the same in words, with what there was and what
was needed. [The API](api.md) tells which endpoint refuses by which.

Where several are true, the first in the table of the ledger is told. A refusal has moved nothing.
"""

OF_ALL: Final[dict[str, int]] = {
    "malformed_request": 400,
    "not_found": 404,
    "method_not_allowed": 405,
    "request_timeout": 408,
    "conflict": 409,
    "payload_too_large": 413,
    "unsupported_media_type": 415,
    "invalid_value": 422,
    "rate_limited": 429,
    "internal_error": 500,
    "outcome_unknown": 500,
    "database_replaced": 503,
    "overloaded": 503,
    "unavailable": 503,
}
"""The names of refusals before the ledger is asked, or because it can't be, each with its status."""

_AGAIN: Final = "ask again under the same key, after `Retry-After`"
_REQUEST: Final = "mend the request: the same one is refused again"
_TOP_UP: Final = "tell the merchant to top up; after that the same key goes through"
_LOOK: Final = "read what there is, and ask for that"
_BY_STATUS: Final = {
    400: _REQUEST,
    401: "use a key that is good: it is not asked for again",
    402: _TOP_UP,
    403: "ask with a key, role or person that may",
    404: "look the name up: an id, a path or a key is wrong",
    405: _REQUEST,
    408: "send the body faster, or in smaller pieces",
    409: _LOOK,
    413: "send less at once",
    415: _REQUEST,
    422: _REQUEST,
    429: _AGAIN,
    500: "look into the server's log",
    503: _AGAIN,
}
_ADVICE: Final = {
    Code.IDEMPOTENCY_CONFLICT: "a key was used twice for different things: find out where, and take another",
    Code.MERCHANT_CLOSED: "support opens the merchant again, if that is meant",
    Code.MERCHANT_FROZEN: "support lets it go on: `farebox merchant unfreeze`",
    Code.CLOCK_BEHIND: "set the server's clock; until then ask again",
    Code.TYPE_RETIRED: "charge for another type, or set a new default price",
    Code.UNKNOWN_TYPE: "set a price for the type, or mend its name",
    Code.KEY_BUDGET_EXCEEDED: "wait until the budget starts anew, or let an owner raise it",
    Code.MONEY_OWED: _TOP_UP,
    Code.APPROVAL_REQUIRED: "a second person approves it; then it is made",
    Code.APPROVAL_NEEDS_ANOTHER_PERSON: "let somebody else decide",
    Code.HOLD_EXPIRED: "make a new hold, or charge at once",
    Code.HOLD_NOT_DUE: "wait: it is Farebox itself that ends holds",
    Code.CAPTURE_EXCEEDS_HOLD: 'capture less, or all there is with `"above"`',
    Code.MERCHANT_NOT_EMPTY: "pay out or write off what is left, first",
    "not_found": "mend the path",
    "conflict": "read `errorMessage`: it names what is in the way",
    "outcome_unknown": "ask again under the same key until an answer comes",
    "database_replaced": "[the operator has to look](../how-to/operate.md#a-database-that-was-replaced)",
}


def outcomes() -> str:
    """Write the page of outcomes."""
    ledger = [_row(code, STATUS[code]) for code in Code if code is not Code.OK]
    others = [_row(name, status) for name, status in OF_ALL.items()]
    head = "| name | status | when | what to do |\n| --- | ---: | --- | --- |"
    parts = [_OUTCOMES, "## Of the ledger\n", head, *ledger, "\n## Of any endpoint\n", head, *others]
    return "\n".join(parts) + "\n"


def _row(name: str, status: int) -> str:
    when = re.sub(r"\s+", " ", (errors.BY_CODE[name].__doc__ or "").split("\n\n")[0]).strip()
    return f"| `{name}` | {status} | {when} | {_ADVICE.get(name, _BY_STATUS[status])} |"


PAGES: Final = {"outcomes.md": outcomes, "schema.md": schema}

if __name__ == "__main__":
    for page, write in PAGES.items():
        (FOLDER / page).write_text(write(), encoding="utf-8")
