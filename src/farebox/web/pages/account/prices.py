"""What each request type costs this merchant, now and from when on something else."""

from starlette.responses import Response

from farebox.core.prices import Price
from farebox.web.pages.access import HTMX_HEADER
from farebox.web.pages.account.common import account_page, account_url
from farebox.web.pages.calculator import calculator
from farebox.web.pages.dashboard import ROOT
from farebox.web.pages.paging import TypePage
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute


class AccountPricePages:
    """A merchant's prices."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [PageRoute(f"{ROOT}/prices", Audience.VIEWER, get=self.show)]

    async def show(self, request: PageRequest) -> Response:
        """List the prices in force, and those to come: of the defaults only what no price of its own goes before."""
        prices, now = request.services.prices, request.services.console.now()
        in_force = await prices.in_force(request.merchant_id)
        shown = await calculator(request, f"{account_url(request)}/prices", in_force, request.merchant_id)
        if HTMX_HEADER in request.http.headers:
            return request.page("calculator.html", calculator=shown)
        own = await prices.list(request.merchant_id)
        # From its first price of its own on, a default of that type concerns the merchant no more.
        own_from = {price.request_type: price.starts_at for price in reversed(own) if price.withdrawn_at is None}
        coming: list[Price] = [
            price
            for price in (*await prices.list(None), *own)
            if price.starts_at > now
            and price.withdrawn_at is None
            and (
                price.merchant_id is not None or price.starts_at < own_from.get(price.request_type, price.starts_at + 1)
            )
        ]
        coming.sort(key=lambda price: (price.starts_at, price.request_type))
        type_page = TypePage.asked_for(request)
        return await account_page(
            request,
            "account/prices.html",
            in_force=type_page.of(in_force),
            coming=type_page.of(coming),
            type_page=type_page,
            has_search=type_page.is_needed(in_force, coming),
            has_more=type_page.has_more(in_force, coming),
            calculator=shown,
        )
