"""A merchant's refused requests: how many, of which type and why."""

from starlette.responses import Response

from farebox.web.pages.account.common import account_page
from farebox.web.pages.dashboard import ROOT
from farebox.web.pages.refusals import refusals_file, refusals_of
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute


class AccountRefusalPages:
    """A merchant's refused requests."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [
            PageRoute(f"{ROOT}/refusals", Audience.VIEWER, get=self.show),
            PageRoute(f"{ROOT}/refusals.csv", Audience.VIEWER, get=self.export),
        ]

    async def show(self, request: PageRequest) -> Response:
        """Show the last days' refusals."""
        refusals = await refusals_of(request, request.merchant_id)
        return await account_page(request, "account/refusals.html", refusals=refusals)

    async def export(self, request: PageRequest) -> Response:
        """Give what is kept as CSV."""
        return await refusals_file(request, request.merchant_id)
