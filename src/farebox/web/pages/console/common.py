"""What the console's pages share: whose page it is, times as browsers send them, and pages of long lists."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from litestar import Response

from farebox.core import ids
from farebox.core.outcomes import Outcome
from farebox.service import inputs
from farebox.service.errors import InvalidInput, Refused
from farebox.service.queries import AccountView
from farebox.web.envelope import ApiError
from farebox.web.pages.dashboard import state_of
from farebox.web.pages.house import Ask

MERCHANT: Final = "/support/merchants/{merchant:str}"
PAGES_MAX: Final = 10_000
CURSOR: Final = "cursor"


def merchant_of(ask: Ask) -> int:
    """Read whose page it is out of the path.

    Raises:
        ApiError: 404, no merchant can have this id.
    """
    return number_of(ask, "merchant", ids.MERCHANT)


def number_of(ask: Ask, name: str, prefix: str) -> int:
    """Read the number of what a part of the path names.

    Raises:
        ApiError: 404, nothing can have this id.
    """
    try:
        return inputs.public_id(name, prefix, ask.param(name))
    except InvalidInput as error:
        raise ApiError(404, "not_found", "There is no such page") from error


def merchant_url(merchant_id: int) -> str:
    """Write where a merchant's page is."""
    return f"/support/merchants/{ids.public_id(ids.MERCHANT, merchant_id)}"


async def merchant_page(ask: Ask, template: str, status: int = 200, **values: Any) -> Response[Any]:
    """Answer with one of a merchant's pages; each tells the name, the balance and the state.

    Raises:
        UnknownMerchant: there is no such merchant.
    """
    merchant, account = await ask.services.merchants.get(merchant_of(ask))
    known = {
        "merchant": merchant,
        "account": account,
        "state": state_of(AccountView(merchant, account, None)),
        "root": merchant_url(merchant.merchant_id),
    }
    return ask.page(template, status, **{**known, **values})


def ensure_done(outcome: Outcome) -> None:
    """Raise the refusal of a command, if it was refused.

    Raises:
        Refused: it was.
    """
    if not outcome.is_ok:
        raise Refused(outcome)


def typed_time(field: str, text: str, zone: ZoneInfo) -> str | None:
    """Write a time that was typed, in the reader's zone, as RFC 3339; None if none was.

    Raises:
        InvalidInput: it is no time.
    """
    if not text:
        return None
    try:
        local = datetime.fromisoformat(text)
        moment = (local if local.tzinfo else local.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(field, "this is not a time; write one such as 2027-01-31T12:00") from error
    return f"{moment:%Y-%m-%dT%H:%M:%S}Z"


def page_of(ask: Ask) -> int:
    """Read which page of a list is asked for, the first being 0."""
    text = ask.query("page", "0")
    return min(int(text), PAGES_MAX) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def cut(rows: Sequence[Any], limit: int) -> tuple[Sequence[Any], bool]:
    """Return the rows that a page shows, and whether there are more; one more than the limit was asked for."""
    return rows[:limit], len(rows) > limit
