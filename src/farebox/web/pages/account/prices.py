"""What each request type costs this merchant, now and from when on something else."""

from starlette.responses import Response

from farebox.web.pages.account.common import account_page
from farebox.web.pages.dashboard import ROOT
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute


class AccountPricePages:
    """A merchant's prices."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [PageRoute(f"{ROOT}/prices", Audience.VIEWER, get=self.show)]

    async def show(self, request: PageRequest) -> Response:
        """List the prices in force, and those to come: of the defaults only what no price of its own goes before."""
        merchants, now = request.services.merchants, request.services.console.now()
        in_force = await merchants.prices_in_force(request.merchant_id)
        own = await merchants.prices(request.merchant_id)
        # From its first price of its own on, a default of that type concerns the merchant no more.
        own_from = {price.request_type: price.starts_at for price in reversed(own)}
        coming = [
            price
            for price in (*await merchants.prices(None), *own)
            if price.starts_at > now
            and (
                price.merchant_id is not None or price.starts_at < own_from.get(price.request_type, price.starts_at + 1)
            )
        ]
        return await account_page(
            request,
            "account/prices.html",
            in_force=in_force,
            coming=sorted(coming, key=lambda price: (price.starts_at, price.request_type)),
        )
