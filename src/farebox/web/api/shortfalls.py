"""Shortfalls: what requests left uncollected and what is owed, as support reads it."""

from farebox.presenters.shortfalls import shortfall_data, shortfalls_csv
from farebox.service.ledger.shortfalls import ROWS_MAX
from farebox.web.api.answers import answer
from farebox.web.api.downloads import CSV, download_text
from farebox.web.api.paths import merchant_in_query
from farebox.web.api_route import SUPPORT, Answer, ApiRequest, Endpoints, Stream, route
from farebox.web.schemas.admin import ShortfallsData, ShortfallsQuery


class ShortfallEndpoints(Endpoints):
    """Reading what was missing."""

    @route(
        method="GET",
        path="/api/admin/shortfalls",
        keys=SUPPORT,
        summary="List transfers that took less than was due, of all merchants, or of one",
        data=ShortfallsData,
        media=(CSV,),
        description="Charges and captures that said that what is missing is uncollected, and top-ups that were taken "
        f"back when the money was spent already, newest first. As CSV, the newest {ROWS_MAX:,}.",
    )
    async def list_shortfalls(self, request: ApiRequest, query: ShortfallsQuery) -> Answer | Stream:
        """Tell what is missing."""
        is_csv = query.format == "csv"
        cursor, limit = (None, ROWS_MAX) if is_csv else (query.cursor, query.limit)
        page = await self._services.shortfalls.page(merchant_in_query(query), cursor=cursor, limit=limit)
        merchants = await self._services.console.merchants_of(row.transfer.merchant_id for row in page.rows)
        if is_csv:
            return download_text(request, "shortfalls.csv", shortfalls_csv(page.rows, merchants), CSV)
        data = [shortfall_data(row, merchants[row.transfer.merchant_id].account.currency) for row in page.rows]
        return answer(ShortfallsData(data, page.next_cursor))
