"""Prices: the defaults and merchants' own, as support sets them."""

from functools import partial
from typing import Final

from farebox.core.outcomes import Code
from farebox.core.permissions import Operation
from farebox.presenters.prices import PriceData, price_data, prices_data
from farebox.service.errors import InvalidInput
from farebox.web.api.answers import answer, answer_once
from farebox.web.api.paths import MERCHANT_PATH, merchant_in_path
from farebox.web.api_route import SUPPORT, Answer, ApiRequest, Endpoints, route
from farebox.web.schemas.admin import PriceRequest, PricesData

_UNKNOWN: Final = (Code.MERCHANT_NOT_FOUND,)


class PriceEndpoints(Endpoints):
    """Every version of the prices."""

    @route(
        method="GET",
        path="/api/admin/prices",
        keys=SUPPORT,
        summary="List every version of the default prices",
        data=PricesData,
    )
    async def list_prices(self, request: ApiRequest) -> Answer:
        """List the default prices."""
        return await self._prices(None)

    @route(
        method="POST",
        path="/api/admin/prices",
        keys=SUPPORT,
        summary="Set a default price",
        data=PriceData,
        operations=(Operation.SET_PRICE,),
        is_made_once=True,
    )
    async def set_price(self, request: ApiRequest, body: PriceRequest) -> Answer:
        """Set a default price."""
        return await self._set_price(request, body, None)

    @route(
        method="GET",
        path=f"{MERCHANT_PATH}/prices",
        keys=SUPPORT,
        summary="List a merchant's own prices",
        data=PricesData,
        refusals=_UNKNOWN,
    )
    async def list_merchant_prices(self, request: ApiRequest) -> Answer:
        """List a merchant's own prices."""
        return await self._prices(merchant_in_path(request))

    @route(
        method="POST",
        path=f"{MERCHANT_PATH}/prices",
        keys=SUPPORT,
        summary="Set a price of a merchant's own",
        data=PriceData,
        operations=(Operation.SET_PRICE,),
        is_made_once=True,
        refusals=_UNKNOWN,
    )
    async def set_merchant_price(self, request: ApiRequest, body: PriceRequest) -> Answer:
        """Set a price of a merchant's own."""
        return await self._set_price(request, body, merchant_in_path(request))

    async def _set_price(self, request: ApiRequest, body: PriceRequest, merchant_id: int | None) -> Answer:
        services = self._services
        try:
            return await answer_once(
                services.repeats,
                request,
                body,
                make=partial(
                    services.prices.set,
                    body.type,
                    body.unit_price,
                    merchant_id=merchant_id,
                    starts=body.starts_at,
                ),
                find=partial(services.prices.get, merchant_id),
                data=lambda price: price_data(price, is_in_force=price.starts_at <= services.console.now()),
            )
        except InvalidInput as error:
            # What the command line calls --from is startsAt here.
            raise InvalidInput("startsAt" if error.field == "from" else error.field, error.message) from error

    async def _prices(self, merchant_id: int | None) -> Answer:
        prices = await self._services.prices.list(merchant_id)
        return answer(PricesData(prices_data(prices, self._services.console.now())))
