"""What a merchant's own pages share."""

from typing import Any

from starlette.responses import Response

from farebox.core import ids
from farebox.web.pages.house import PageRequest


def account_url(ask: PageRequest) -> str:
    """Write where the merchant's pages are."""
    return f"/accounts/{ids.public_id(ids.MERCHANT, ask.merchant_id)}"


async def account_page(ask: PageRequest, template: str, status: int = 200, **values: Any) -> Response:
    """Answer with one of a merchant's pages, which knows the merchant and its account.

    Raises:
        UnknownMerchant: there is no such merchant.
    """
    merchant, account = await ask.services.merchants.get(ask.merchant_id)
    return ask.page(template, status, merchant=merchant, account=account, **values)
