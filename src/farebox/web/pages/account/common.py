"""Shared by a merchant's own pages."""

from typing import Any

from starlette.responses import Response

from farebox.core import ids
from farebox.web.pages.request import PageRequest


def account_url(request: PageRequest) -> str:
    """Write where the merchant's pages are."""
    return f"/accounts/{ids.public_id(ids.MERCHANT, request.merchant_id)}"


async def account_page(request: PageRequest, template: str, status: int = 200, **values: Any) -> Response:
    """Answer with one of a merchant's pages, which knows the merchant and its account.

    Raises:
        UnknownMerchant: there is no such merchant.
    """
    merchant, account = await request.services.merchants.get(request.merchant_id)
    return request.page(template, status, merchant=merchant, account=account, **values)
