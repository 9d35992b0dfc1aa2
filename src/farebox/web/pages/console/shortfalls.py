"""What requests left uncollected and what is owed, of all merchants and of one, for support."""

from typing import Final

from starlette.responses import Response

from farebox.core import ids
from farebox.presenters.shortfalls import shortfalls_csv
from farebox.service.ledger.shortfalls import ROWS_MAX
from farebox.web.pages import render
from farebox.web.pages.console.common import CURSOR, MERCHANT, merchant_of, merchant_page, merchant_url
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

ROWS: Final = 50


class ConsoleShortfallPages:
    """Transfers that took less than was due."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        everybody, one = "/support/shortfalls", f"{MERCHANT}/shortfalls"
        return [
            PageRoute(everybody, Audience.SUPPORT, get=self.show_all, is_console=True),
            PageRoute(f"{everybody}.csv", Audience.SUPPORT, get=self.export_all, is_console=True),
            PageRoute(one, Audience.SUPPORT, get=self.show, is_console=True),
            PageRoute(f"{one}.csv", Audience.SUPPORT, get=self.export, is_console=True),
        ]

    async def show_all(self, request: PageRequest) -> Response:
        """List those of all merchants, newest first."""
        cursor = request.query(CURSOR) or None
        page = await request.services.shortfalls.page(None, cursor=cursor, limit=ROWS)
        merchants = await request.services.console.merchants_of(row.transfer.merchant_id for row in page.rows)
        return request.page(
            "console/all_shortfalls.html",
            page=page,
            cursor=cursor,
            merchants=merchants,
            urls={number: merchant_url(number) for number in merchants},
        )

    async def export_all(self, request: PageRequest) -> Response:
        """Give those of all merchants as CSV."""
        return await _file(request, None)

    async def show(self, request: PageRequest) -> Response:
        """List a merchant's, newest first."""
        cursor = request.query(CURSOR) or None
        page = await request.services.shortfalls.page(merchant_of(request), cursor=cursor, limit=ROWS)
        return await merchant_page(request, "console/shortfalls.html", page=page, cursor=cursor)

    async def export(self, request: PageRequest) -> Response:
        """Give a merchant's as CSV."""
        await request.services.merchants.get(merchant_of(request))
        return await _file(request, merchant_of(request))


async def _file(request: PageRequest, merchant_id: int | None) -> Response:
    page = await request.services.shortfalls.page(merchant_id, cursor=None, limit=ROWS_MAX)
    merchants = await request.services.console.merchants_of(row.transfer.merchant_id for row in page.rows)
    name = "shortfalls.csv" if merchant_id is None else f"{ids.public_id(ids.MERCHANT, merchant_id)}-shortfalls.csv"
    return render.csv_file(name, shortfalls_csv(page.rows, merchants))
