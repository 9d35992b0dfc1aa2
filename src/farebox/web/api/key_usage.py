"""Usage by API key, as a merchant reads its own and support that of any."""

from farebox.core import ids
from farebox.core.outcomes import Code
from farebox.presenters.key_usage import key_usage_csv, key_usage_data
from farebox.service import inputs
from farebox.service.insight.quarters import DAYS_MAX, HOURS_MAX
from farebox.web.api.answers import answer
from farebox.web.api.downloads import CSV, download_text
from farebox.web.api.paths import MERCHANT_PATH, merchant_in_path
from farebox.web.api_route import MERCHANT, SUPPORT, Answer, ApiRequest, Endpoints, Stream, route
from farebox.web.schemas.reading import KeyUsageData, KeyUsageQuery

_ABOUT = (
    "What requests came to that named the merchant by one of its keys, exact to the last transfer; those that named it "
    f"by its id are a line without a key. At most {DAYS_MAX} days, or {HOURS_MAX // 24} days by the hour."
)


class KeyUsageEndpoints(Endpoints):
    """Reading what each key's requests came to."""

    @route(
        method="GET",
        path="/api/usage/keys",
        keys=MERCHANT,
        summary="Read what each API key's requests came to",
        data=KeyUsageData,
        media=(CSV,),
        description=_ABOUT,
    )
    async def read_key_usage(self, request: ApiRequest, query: KeyUsageQuery) -> Answer | Stream:
        """Show a merchant what its keys' requests came to."""
        return await self._usage(request, request.merchant_id, query)

    @route(
        method="GET",
        path=f"{MERCHANT_PATH}/usage/keys",
        keys=SUPPORT,
        summary="Read what each of a merchant's API keys' requests came to",
        data=KeyUsageData,
        media=(CSV,),
        refusals=(Code.MERCHANT_NOT_FOUND,),
        description=_ABOUT,
    )
    async def read_merchant_key_usage(self, request: ApiRequest, query: KeyUsageQuery) -> Answer | Stream:
        """Show support what a merchant's keys' requests came to."""
        return await self._usage(request, merchant_in_path(request), query)

    async def _usage(self, request: ApiRequest, merchant_id: int, query: KeyUsageQuery) -> Answer | Stream:
        _, account = await self._services.merchants.get(merchant_id)
        keys = await self._services.merchants.keys(merchant_id)
        lines = await self._services.key_usage.read(
            merchant_id,
            by=query.by,
            first=query.first,
            last=query.last,
            zone=query.time_zone,
            request_type=query.type,
            key_id=None if query.key is None else inputs.public_id("key", ids.KEY, query.key),
        )
        if query.format == "csv":
            name = f"{ids.public_id(ids.MERCHANT, merchant_id)}-usage-by-key.csv"
            return download_text(request, name, key_usage_csv(lines, keys), CSV)
        return answer(KeyUsageData(account.currency, key_usage_data(lines, keys)))
