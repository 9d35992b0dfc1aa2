"""Reports of all merchants, which each of the staff chooses for themselves, and what a merchant's own look like."""

from typing import Final

from starlette.responses import Response

from farebox.service.reports.choices import ALL_MERCHANTS
from farebox.web.pages.console.common import MERCHANT, merchant_of
from farebox.web.pages.reports import choices_of, report_preview, save_choices
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

_PAGE: Final = "/support/profile/reports"


class ConsoleReportPages:
    """The staff's reports."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [
            PageRoute(_PAGE, Audience.SUPPORT, get=self.show, post=self.save, is_console=True),
            PageRoute(f"{_PAGE}/{{kind:str}}", Audience.SUPPORT, get=self.preview, is_console=True),
            PageRoute(f"{MERCHANT}/reports/{{kind:str}}", Audience.SUPPORT, get=self.preview_merchant, is_console=True),
        ]

    async def show(self, request: PageRequest) -> Response:
        """Show which reports one of the staff wants."""
        return await self._page(request)

    async def save(self, request: PageRequest) -> Response:
        """Save which reports one of the staff wants."""
        if await save_choices(request, ALL_MERCHANTS):
            return request.redirect(_PAGE, "reports_saved")
        return await self._page(request, 422)

    async def preview(self, request: PageRequest) -> Response:
        """Show the report of all merchants' last week or month."""
        return await report_preview(request, ALL_MERCHANTS)

    async def preview_merchant(self, request: PageRequest) -> Response:
        """Show the report of a merchant's last week or month, as its users would get it."""
        return await report_preview(request, merchant_of(request))

    async def _page(self, request: PageRequest, status: int = 200) -> Response:
        return request.page("console/reports.html", status, chosen=await choices_of(request, ALL_MERCHANTS))
