"""A merchant's open holds: what is set aside of its money."""

from typing import Final

from starlette.responses import Response

from farebox.web.pages.account.common import account_page
from farebox.web.pages.dashboard import ROOT
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

ROWS: Final = 50


class AccountHoldPages:
    """A merchant's open holds."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [PageRoute(f"{ROOT}/holds", Audience.VIEWER, get=self.show)]

    async def show(self, request: PageRequest) -> Response:
        """List open holds, the soonest end first."""
        cursor = request.query("cursor") or None
        page = await request.services.open_holds.page(request.merchant_id, cursor=cursor, limit=ROWS)
        now = request.services.open_holds.now()
        return await account_page(request, "account/holds.html", page=page, cursor=cursor, now=now)
