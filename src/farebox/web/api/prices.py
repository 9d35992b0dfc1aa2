"""Prices: the defaults and merchants' own, as support sets them."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from msgspec import UNSET, Struct

from farebox.core.outcomes import Code
from farebox.core.permissions import Operation
from farebox.core.prices import Price
from farebox.core.pricing.rules import Rule
from farebox.presenters.prices import PriceData, price_data, prices_data
from farebox.service.errors import InvalidInput
from farebox.service.price_texts import read_rule
from farebox.web.api.answers import answer, answer_once
from farebox.web.api.paths import MERCHANT_PATH, merchant_in_path, price_in_path
from farebox.web.api_route import SUPPORT, Answer, ApiRequest, Endpoints, route
from farebox.web.envelope import ApiError
from farebox.web.schemas.admin import EndPriceRequest, PageQuery, PriceRequest, PricesData

_UNKNOWN: Final = (Code.MERCHANT_NOT_FOUND,)


_ONE_OF: Final = "a price has a unitPrice (null if callers name the amount) or a rule"


class PriceEndpoints(Endpoints):
    """Every version of the prices."""

    @route(
        method="GET",
        path="/api/admin/prices",
        keys=SUPPORT,
        summary="List every version of the default prices",
        data=PricesData,
    )
    async def list_prices(self, request: ApiRequest, query: PageQuery) -> Answer:
        """List the default prices."""
        return await self._prices(None, query)

    @route(
        method="POST",
        path="/api/admin/prices",
        keys=SUPPORT,
        summary="Set a default price",
        data=PriceData,
        operations=(Operation.SET_PRICE,),
        conflicts=True,
        is_made_once=True,
    )
    async def set_price(self, request: ApiRequest, body: PriceRequest) -> Answer:
        """Set a default price."""
        return await self._set_price(request, body, None)

    @route(
        method="POST",
        path="/api/admin/prices/end",
        keys=SUPPORT,
        summary="Retire a request type",
        data=PriceData,
        operations=(Operation.SET_PRICE,),
        missing=True,
        conflicts=True,
        is_made_once=True,
        description="From then on nothing is charged for it, not even by merchants' own prices, until a new default "
        "price starts.",
    )
    async def end_price(self, request: ApiRequest, body: EndPriceRequest) -> Answer:
        """End a default price."""
        return await self._end(request, body, None)

    @route(
        method="POST",
        path="/api/admin/prices/{price_id:str}/withdraw",
        keys=SUPPORT,
        summary="Withdraw a version of a default price before it starts",
        data=PriceData,
        operations=(Operation.SET_PRICE,),
        missing=True,
        conflicts=True,
    )
    async def withdraw_price(self, request: ApiRequest) -> Answer:
        """Withdraw a version of a default price."""
        return await self._withdraw(request, None)

    @route(
        method="GET",
        path=f"{MERCHANT_PATH}/prices",
        keys=SUPPORT,
        summary="List a merchant's own prices",
        data=PricesData,
        refusals=_UNKNOWN,
    )
    async def list_merchant_prices(self, request: ApiRequest, query: PageQuery) -> Answer:
        """List a merchant's own prices."""
        return await self._prices(merchant_in_path(request), query)

    @route(
        method="POST",
        path=f"{MERCHANT_PATH}/prices",
        keys=SUPPORT,
        summary="Set a price of a merchant's own",
        data=PriceData,
        operations=(Operation.SET_PRICE,),
        conflicts=True,
        is_made_once=True,
        refusals=_UNKNOWN,
    )
    async def set_merchant_price(self, request: ApiRequest, body: PriceRequest) -> Answer:
        """Set a price of a merchant's own."""
        return await self._set_price(request, body, merchant_in_path(request))

    @route(
        method="POST",
        path=f"{MERCHANT_PATH}/prices/end",
        keys=SUPPORT,
        summary="End a price of a merchant's own",
        data=PriceData,
        operations=(Operation.SET_PRICE,),
        refusals=_UNKNOWN,
        missing=True,
        conflicts=True,
        is_made_once=True,
        description="From then on the merchant is charged by the default price.",
    )
    async def end_merchant_price(self, request: ApiRequest, body: EndPriceRequest) -> Answer:
        """End a price of a merchant's own."""
        return await self._end(request, body, merchant_in_path(request))

    @route(
        method="POST",
        path=f"{MERCHANT_PATH}/prices/{{price_id:str}}/withdraw",
        keys=SUPPORT,
        summary="Withdraw a version of a merchant's own price before it starts",
        data=PriceData,
        operations=(Operation.SET_PRICE,),
        refusals=_UNKNOWN,
        missing=True,
        conflicts=True,
    )
    async def withdraw_merchant_price(self, request: ApiRequest) -> Answer:
        """Withdraw a version of a merchant's own price."""
        return await self._withdraw(request, merchant_in_path(request))

    async def _set_price(self, request: ApiRequest, body: PriceRequest, merchant_id: int | None) -> Answer:
        make = partial(
            self._services.prices.set,
            body.type,
            None if body.unit_price is UNSET else body.unit_price,
            rule=_rule(body),
            merchant_id=merchant_id,
            starts=body.starts_at,
        )
        return await self._added(request, body, make, merchant_id)

    async def _end(self, request: ApiRequest, body: EndPriceRequest, merchant_id: int | None) -> Answer:
        make = partial(self._services.prices.end, body.type, merchant_id=merchant_id, starts=body.starts_at)
        return await self._added(request, body, make, merchant_id)

    async def _added(
        self, request: ApiRequest, body: Struct, make: Callable[..., Awaitable[Price]], merchant_id: int | None
    ) -> Answer:
        services = self._services

        async def make_data(**asked: Any) -> PriceData:
            return await self._data(await make(**asked))

        async def find_data(price_id: int) -> PriceData:
            return await self._data(await services.prices.get(merchant_id, price_id))

        try:
            return await answer_once(services.repeats, request, body, make=make_data, find=find_data, data=_as_it_is)
        except InvalidInput as error:
            # What the command line calls --from is startsAt here.
            raise InvalidInput("startsAt" if error.field == "from" else error.field, error.message) from error

    async def _withdraw(self, request: ApiRequest, merchant_id: int | None) -> Answer:
        price = await self._services.prices.withdraw(
            price_in_path(request), merchant_id=merchant_id, principal=request.principal
        )
        return answer(await self._data(price))

    async def _data(self, price: Price) -> PriceData:
        versions = await self._services.prices.versions(price.merchant_id, price.request_type)
        return price_data(price, versions, self._services.console.now())

    async def _prices(self, merchant_id: int | None, query: PageQuery) -> Answer:
        page = await self._services.prices.page(merchant_id, cursor=query.cursor, limit=query.limit)
        data = prices_data([*page.prices, *page.later], self._services.console.now())
        return answer(PricesData(data[: len(page.prices)], page.next_cursor))


def _as_it_is(data: PriceData) -> PriceData:
    return data


def _rule(body: PriceRequest) -> Rule | None:
    """Read the rule of a price; None if it has none, and a unit price instead, or null for a variable type.

    Raises:
        InvalidInput: the rule is wrong, or the price has both.
        ApiError: it has none.
    """
    if body.rule is UNSET:
        if body.unit_price is UNSET:
            raise ApiError(400, "malformed_request", f"Object missing required field `unitPrice`: {_ONE_OF}")
        return None
    if body.unit_price not in (UNSET, None):
        raise InvalidInput("unitPrice", f"this stands beside a rule: {_ONE_OF}")
    return read_rule("rule", body.rule)
