"""Quotes: what a charge would cost, for any key that may charge or read."""

from typing import Final

from farebox.core.outcomes import Code
from farebox.presenters.quotes import QuoteData, quote_data
from farebox.web.api.answers import answer
from farebox.web.api.paths import own_or_named
from farebox.web.api_route import MERCHANT, SERVICE, SUPPORT, Answer, ApiRequest, Endpoints, route
from farebox.web.schemas.quotes import QuoteRequest

_REFUSALS: Final = (
    Code.MERCHANT_NOT_FOUND,
    Code.TYPE_RETIRED,
    Code.UNKNOWN_TYPE,
    Code.UNKNOWN_QUANTITY,
    Code.QUANTITIES_REQUIRED,
    Code.AMOUNT_REQUIRED,
    Code.AMOUNT_NOT_ALLOWED,
    Code.REQUESTED_AT_OUT_OF_BOUNDS,
    Code.COST_TOO_LARGE,
    Code.AMOUNT_TOO_LARGE,
)


class QuoteEndpoints(Endpoints):
    """Telling costs ahead."""

    @route(
        method="POST",
        path="/api/quotes",
        keys=MERCHANT | SERVICE | SUPPORT,
        summary="Ask what a request would cost",
        data=QuoteData,
        refusals=_REFUSALS,
        description="Nothing is charged or counted, and the balance is not looked at: the answer is what a charge of "
        "this moment would cost.",
    )
    async def quote(self, request: ApiRequest, body: QuoteRequest) -> Answer:
        """Tell what a charge would cost."""
        quotes = self._services.quotes
        named = None if body.merchant is None else await quotes.merchant_of(body.merchant)
        merchant_id = own_or_named(request, named, "A merchant's key is told what requests cost that merchant")
        return answer(quote_data(await quotes.quote(body, merchant_id)))
