"""Revenue: what all merchants paid in, used and are still owed, month by month."""

from typing import Final

from starlette.responses import Response

from farebox.presenters.revenue import month_revenue_csv
from farebox.service.errors import InvalidInput
from farebox.service.insight.revenue import net
from farebox.web.charts.revenue import month_name, owed_chart, used_chart
from farebox.web.pages import render
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

ROOT: Final = "/support/revenue"


class RevenuePages:
    """A month's revenue, with the months before it as charts, and as CSV."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [
            PageRoute(ROOT, Audience.SUPPORT, get=self.show, is_console=True),
            PageRoute(f"{ROOT}.csv", Audience.SUPPORT, get=self.export_csv, is_console=True),
        ]

    async def show(self, request: PageRequest) -> Response:
        """Show a month; the present one, unless another is asked for."""
        reader = request.services.revenue
        text, wrong = _asked_for(request), ""
        try:
            revenue = await reader.read(text)
        except InvalidInput as error:
            wrong, revenue = error.message, await reader.read(None)
        month = revenue.month
        history = await reader.history(str(month))
        return request.page(
            "console/revenue.html",
            422 if wrong else 200,
            revenue=revenue,
            net=net,
            name=month_name(month),
            months={currency: list(reversed(figures)) for currency, figures in history.items()},
            month_name=month_name,
            charts={
                currency: {
                    chart.__name__: [chart(figures, currency=currency, is_narrow=narrow) for narrow in (False, True)]
                    for chart in (used_chart, owed_chart)
                }
                for currency, figures in history.items()
            },
            text=text or str(month),
            wrong=wrong,
            earlier=month.plus(-1),
            later=month.plus(1) if month < reader.present_month() else None,
        )

    async def export_csv(self, request: PageRequest) -> Response:
        """Give a month as CSV; the present one, unless another is asked for."""
        revenue = await request.services.revenue.read(_asked_for(request))
        return render.csv_file(f"revenue-{revenue.month}.csv", month_revenue_csv(revenue))


def _asked_for(request: PageRequest) -> str | None:
    return request.query("month").strip() or None
