"""Refused requests: how many, of which type and why, as a merchant reads its own and support those of any."""

from farebox.core import ids
from farebox.core.outcomes import Code
from farebox.presenters.refusals import refusal_data, refusals_csv
from farebox.service.insight.quarters import DAYS_MAX, HOURS_MAX
from farebox.service.insight.refusals import KEPT_DAYS, LINES_MAX, WRITE_SECONDS
from farebox.web.api.answers import answer
from farebox.web.api.downloads import CSV, download_text
from farebox.web.api.paths import MERCHANT_PATH, merchant_in_path
from farebox.web.api_route import MERCHANT, SUPPORT, Answer, ApiRequest, Endpoints, Stream, route
from farebox.web.schemas.reading import RefusalsData, RefusalsQuery

_ABOUT = (
    f"Charges and holds that were refused by one of the ledger's names; kept for {KEPT_DAYS} days, and up to "
    f"{WRITE_SECONDS:.0f} seconds behind. Of each merchant, {LINES_MAX} types and reasons are counted by name in a "
    f"quarter of an hour, and all other types together. At most {DAYS_MAX} days, or {HOURS_MAX // 24} days by the hour."
)


class RefusalEndpoints(Endpoints):
    """Reading what was refused."""

    @route(
        method="GET",
        path="/api/refusals",
        keys=MERCHANT,
        summary="Count refused requests",
        data=RefusalsData,
        media=(CSV,),
        description=_ABOUT,
    )
    async def count_refusals(self, request: ApiRequest, query: RefusalsQuery) -> Answer | Stream:
        """Show a merchant how many of its requests were refused."""
        return await self._refusals(request, request.merchant_id, query)

    @route(
        method="GET",
        path=f"{MERCHANT_PATH}/refusals",
        keys=SUPPORT,
        summary="Count a merchant's refused requests",
        data=RefusalsData,
        media=(CSV,),
        refusals=(Code.MERCHANT_NOT_FOUND,),
        description=_ABOUT,
    )
    async def count_merchant_refusals(self, request: ApiRequest, query: RefusalsQuery) -> Answer | Stream:
        """Show support how many of a merchant's requests were refused."""
        merchant_id = merchant_in_path(request)
        await self._services.merchants.get(merchant_id)
        return await self._refusals(request, merchant_id, query)

    async def _refusals(self, request: ApiRequest, merchant_id: int, query: RefusalsQuery) -> Answer | Stream:
        lines = await self._services.refusals.read(
            merchant_id,
            by=query.by,
            first=query.first,
            last=query.last,
            zone=query.time_zone,
            request_type=query.type,
            reason=query.reason,
        )
        if query.format == "csv":
            name = f"{ids.public_id(ids.MERCHANT, merchant_id)}-refusals.csv"
            return download_text(request, name, refusals_csv(lines), CSV)
        return answer(RefusalsData([refusal_data(line) for line in lines]))
