"""Prices for support: the defaults, and a merchant's own; versions are added, never edited."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

from starlette.responses import Response

from farebox.core.permissions import Operation
from farebox.core.pricing import Price
from farebox.service.errors import ServiceError
from farebox.web.pages.console.common import MERCHANT, merchant_of, merchant_page, merchant_url
from farebox.web.pages.forms import typed_time
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

_DEFAULTS: Final = "/support/prices"
_FIELDS: Final = {"unitPrice": "unit_price", "from": "starts"}


class ConsolePricePages:
    """The prices of one merchant, or with none the default ones."""

    def __init__(self, *, is_merchants: bool) -> None:
        """Show a merchant's own prices, or the defaults."""
        self._is_merchants = is_merchants

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        root = f"{MERCHANT}/prices" if self._is_merchants else _DEFAULTS
        return [
            PageRoute(
                root, Audience.SUPPORT, get=self.show, post=self.add, is_console=True, operation=Operation.SET_PRICE
            )
        ]

    async def show(self, request: PageRequest) -> Response:
        """List the prices, every version."""
        return await self._page(request)

    async def add(self, request: PageRequest) -> Response:
        """Add a version."""
        form = request.form
        try:
            await request.services.merchants.set_price(
                form.text("type"),
                None if "is_variable" in form else form.text("unit_price"),
                merchant_id=merchant_of(request) if self._is_merchants else None,
                starts=typed_time("starts", form.text("starts"), request.zone),
                principal=request.principal,
            )
        except ServiceError as error:
            form.fail(error, _FIELDS)
            return await self._page(request, 422)
        root = f"{merchant_url(merchant_of(request))}/prices" if self._is_merchants else _DEFAULTS
        return request.redirect(root, "price_saved")

    async def _page(self, request: PageRequest, status: int = 200) -> Response:
        merchants = request.services.merchants
        now = request.services.console.now()
        defaults = await merchants.prices(None)
        if not self._is_merchants:
            return request.page("console/prices.html", status, types=_types(defaults, now))
        own = _types(await merchants.prices(merchant_of(request)), now)
        in_force = await merchants.prices_in_force(merchant_of(request))
        return await merchant_page(request, "console/own_prices.html", status, types=own, in_force=in_force)


def _types(prices: Sequence[Price], now: int) -> list[dict[str, Any]]:
    """Group versions by type: the one in force, those to come, and those before, newest first."""
    types = []
    for name, group in groupby(prices, key=lambda price: price.request_type):
        versions: list[Price] = list(group)
        started = [price for price in versions if price.starts_at <= now]
        types.append(
            {
                "name": name,
                "now": started[-1] if started else None,
                "coming": [price for price in versions if price.starts_at > now],
                "before": started[-2::-1],
            }
        )
    return types
