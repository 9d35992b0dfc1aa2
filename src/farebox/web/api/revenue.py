"""A month's revenue over all merchants, as support reads it."""

from farebox.presenters.revenue import MonthRevenueData, month_revenue_csv, month_revenue_data
from farebox.web.api.answers import answer
from farebox.web.api.downloads import CSV, download_text
from farebox.web.api_route import SUPPORT, Answer, ApiRequest, Endpoints, Stream, route
from farebox.web.schemas.admin import RevenueQuery


class RevenueEndpoints(Endpoints):
    """The endpoint of revenue."""

    @route(
        method="GET",
        path="/api/admin/revenue",
        keys=SUPPORT,
        summary="Read what all merchants paid in, used and are still owed in a month, by currency",
        data=MonthRevenueData,
        media=(CSV,),
        description="Exact to the last transfer, and reconciled with the books. What the lines mean to accountants is "
        "told in docs/how-to/close-a-month.md.",
    )
    async def read_revenue(self, request: ApiRequest, query: RevenueQuery) -> Answer | Stream:
        """Read a month."""
        revenue = await self._services.revenue.read(query.month)
        if query.format == "json":
            return answer(month_revenue_data(revenue))
        return download_text(request, f"revenue-{revenue.month}.csv", month_revenue_csv(revenue), CSV)
