"""Quotes: what a charge would cost, for any key that may charge or read."""

from farebox.core.outcomes import Code
from farebox.presenters.quotes import QuoteData, quote_data
from farebox.web.api.answers import answer
from farebox.web.api.charges import PRICE_REFUSALS
from farebox.web.api.paths import own_or_named
from farebox.web.api_route import MERCHANT, SERVICE, SUPPORT, Answer, ApiRequest, Endpoints, route
from farebox.web.schemas.quotes import QuoteRequest


class QuoteEndpoints(Endpoints):
    """Telling costs ahead."""

    @route(
        method="POST",
        path="/api/quotes",
        keys=MERCHANT | SERVICE | SUPPORT,
        summary="Ask what a request would cost",
        data=QuoteData,
        refusals=(Code.MERCHANT_NOT_FOUND, *PRICE_REFUSALS, Code.AMOUNT_TOO_LARGE),
        description="Nothing is charged or counted, and the balance is not looked at: the answer is what a charge of "
        "this moment would cost.",
    )
    async def quote(self, request: ApiRequest, body: QuoteRequest) -> Answer:
        """Tell what a charge would cost."""
        quotes = self._services.quotes
        named = None if body.merchant is None else await quotes.merchant_of(body.merchant)
        merchant_id = own_or_named(request, named, "A merchant's key is told what requests cost that merchant")
        return answer(quote_data(await quotes.quote(body, merchant_id)))
