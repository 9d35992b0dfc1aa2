"""Whose prices a page of the console is about: the defaults, or a merchant's own."""

from typing import Any, Final

from starlette.responses import Response

from farebox.web.pages.console.common import MERCHANT, merchant_of, merchant_page, merchant_url
from farebox.web.pages.request import PageRequest

_DEFAULTS: Final = "/support/prices"


class WhosePrices:
    """What pages about the default prices and pages about a merchant's own have in common."""

    def __init__(self, *, is_merchants: bool) -> None:
        """Be about a merchant's own prices, or about the defaults."""
        self._is_merchants = is_merchants

    @property
    def _path(self) -> str:
        """Where the pages are, for routes."""
        return f"{MERCHANT}/prices" if self._is_merchants else _DEFAULTS

    def _root(self, request: PageRequest) -> str:
        """Write where the pages that a request is about are."""
        return f"{merchant_url(merchant_of(request))}/prices" if self._is_merchants else _DEFAULTS

    def _merchant_id(self, request: PageRequest) -> int | None:
        return merchant_of(request) if self._is_merchants else None

    async def _currency(self, request: PageRequest) -> str:
        """Tell what prices are in; a default price is a number in whatever currency the merchant has, so that is ""."""
        if not self._is_merchants:
            return ""
        return (await request.services.merchants.get(merchant_of(request)))[1].currency

    async def _answer(self, request: PageRequest, template: str, status: int = 200, **values: Any) -> Response:
        if self._is_merchants:
            return await merchant_page(request, template, status, **values)
        return request.page(template, status, frame="console/plain.html", **values)
