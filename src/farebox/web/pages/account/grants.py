"""A merchant's given credit: what it was given, what is left of it and when it ends."""

from typing import Final

from starlette.responses import Response

from farebox.web.pages.account.common import account_page
from farebox.web.pages.dashboard import ROOT
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

ROWS: Final = 50


class AccountGrantPages:
    """A merchant's given credit."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [PageRoute(f"{ROOT}/credit", Audience.VIEWER, get=self.show)]

    async def show(self, request: PageRequest) -> Response:
        """List what was given, the newest first."""
        cursor = request.query("cursor") or None
        page = await request.services.grants.page(request.merchant_id, cursor=cursor, limit=ROWS)
        return await account_page(request, "account/grants.html", page=page, cursor=cursor)
