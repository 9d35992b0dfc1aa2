"""Reports of a merchant by mail: each user chooses for themselves, and sees what the last one looks like."""

from starlette.responses import Response

from farebox.web.pages.account.common import account_page, account_url
from farebox.web.pages.dashboard import ROOT
from farebox.web.pages.reports import choices_of, report_preview, save_choices
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute


class AccountReportPages:
    """A merchant's reports."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [
            PageRoute(f"{ROOT}/alerts/reports", Audience.VIEWER, get=self.show, post=self.save),
            PageRoute(f"{ROOT}/alerts/reports/{{kind:str}}", Audience.VIEWER, get=self.preview),
        ]

    async def show(self, request: PageRequest) -> Response:
        """Show which reports a user wants."""
        return await self._page(request)

    async def save(self, request: PageRequest) -> Response:
        """Save which reports a user wants."""
        if await save_choices(request, request.merchant_id):
            return request.redirect(f"{account_url(request)}/alerts/reports", "reports_saved")
        return await self._page(request, 422)

    async def preview(self, request: PageRequest) -> Response:
        """Show the report of the last week or month."""
        return await report_preview(request, request.merchant_id)

    async def _page(self, request: PageRequest, status: int = 200) -> Response:
        chosen = await choices_of(request, request.merchant_id)
        return await account_page(request, "account/reports.html", status, chosen=chosen)
