"""What the console's pages share: the merchant of a page, what a form asks for, and pages of long lists."""

from collections.abc import Awaitable
from typing import Any, Final

from starlette.responses import Response

from farebox.core import ids
from farebox.core.accounts import Account
from farebox.core.outcomes import Outcome
from farebox.core.staff_roles import STAFF_ROLES, StaffRole
from farebox.service.errors import ServiceError, ensure_done
from farebox.service.operator.merchants import Merchant
from farebox.web.pages.dashboard import state_of
from farebox.web.pages.request import PageRequest

MERCHANT: Final = "/support/merchants/{merchant:str}"
CURSOR: Final = "cursor"


def merchant_of(request: PageRequest) -> int:
    """Read the merchant of a page out of the path.

    Raises:
        ApiError: 404, no merchant can have this id.
    """
    return request.number("merchant", ids.MERCHANT)


def merchant_url(merchant_id: int) -> str:
    """Write where a merchant's page is."""
    return f"/support/merchants/{ids.public_id(ids.MERCHANT, merchant_id)}"


async def merchant_page(
    request: PageRequest,
    template: str,
    status: int = 200,
    *,
    read: tuple[Merchant, Account] | None = None,
    **values: Any,
) -> Response:
    """Answer with one of a merchant's pages; each tells the name, the balance and the state.

    Those come from `read`, if the page has read the merchant and its account for its own sake.

    Raises:
        UnknownMerchant: there is no such merchant.
    """
    merchant, account = read or await request.services.merchants.get(merchant_of(request))
    known = {
        "merchant": merchant,
        "account": account,
        "state": state_of(account),
        "root": merchant_url(merchant.merchant_id),
    }
    return request.page(template, status, **{**known, **values})


def ticked_roles(request: PageRequest) -> list[StaffRole]:
    """Read the roles whose boxes are ticked."""
    return [STAFF_ROLES[word] for word in request.form.all("role") if word in STAFF_ROLES]


async def outcome_of(
    request: PageRequest, action: Awaitable[Outcome], names: dict[str, str] | None = None
) -> Outcome | None:
    """Do what a form asks for; if that can't be done, write what is wrong beside its fields and return None.

    `names` maps the service's names of fields to the form's.
    """
    try:
        outcome = await action
        ensure_done(outcome)
    except ServiceError as error:
        request.form.fail(error, names)
        return None
    return outcome
