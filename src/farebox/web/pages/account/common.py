"""Shared by a merchant's own pages."""

from typing import Any

from starlette.responses import Response

from farebox.core import ids
from farebox.core.accounts import Account
from farebox.service.operator.merchants import Merchant
from farebox.web.pages.request import PageRequest


def account_url(request: PageRequest) -> str:
    """Write where the merchant's pages are."""
    return f"/accounts/{ids.public_id(ids.MERCHANT, request.merchant_id)}"


async def account_page(
    request: PageRequest,
    template: str,
    status: int = 200,
    *,
    read: tuple[Merchant, Account] | None = None,
    **values: Any,
) -> Response:
    """Answer with one of a merchant's pages, which knows the merchant and its account.

    They are what is in `read`, if the page has read them for its own sake.

    Raises:
        UnknownMerchant: there is no such merchant.
    """
    merchant, account = read or await request.services.merchants.get(request.merchant_id)
    return request.page(template, status, merchant=merchant, account=account, **values)
