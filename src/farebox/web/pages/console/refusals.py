"""A merchant's refused requests, for support."""

from starlette.responses import Response

from farebox.web.pages.console.common import MERCHANT, merchant_of, merchant_page
from farebox.web.pages.refusals import refusals_file, refusals_of
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute


class ConsoleRefusalPages:
    """The pages of a merchant's refused requests."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [
            PageRoute(f"{MERCHANT}/refusals", Audience.SUPPORT, get=self.show, is_console=True),
            PageRoute(f"{MERCHANT}/refusals.csv", Audience.SUPPORT, get=self.export, is_console=True),
        ]

    async def show(self, request: PageRequest) -> Response:
        """Show the last days' refusals."""
        refusals = await refusals_of(request, merchant_of(request))
        return await merchant_page(request, "console/refusals.html", refusals=refusals)

    async def export(self, request: PageRequest) -> Response:
        """Give what is kept as CSV."""
        number = merchant_of(request)
        await request.services.merchants.get(number)
        return await refusals_file(request, number)
