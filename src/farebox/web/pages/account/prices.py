"""What each request type costs this merchant, from when on something else, and what is not offered any more."""

from starlette.responses import Response

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
        """Show what requests cost now, what they will cost, and which types can't be charged any more."""
        life = await request.services.prices.life(request.merchant_id)
        shown = await calculator(request, f"{account_url(request)}/prices", life.in_force, request.merchant_id)
        if HTMX_HEADER in request.http.headers:
            return request.page("calculator.html", calculator=shown)
        type_page, lists = TypePage.asked_for(request), (life.in_force, life.to_come, life.ended)
        return await account_page(
            request,
            "account/prices.html",
            in_force=type_page.of(life.in_force),
            to_come=type_page.of(life.to_come),
            ended=type_page.of(life.ended),
            type_page=type_page,
            has_search=type_page.is_needed(*lists),
            has_more=type_page.has_more(*lists),
            calculator=shown,
        )
