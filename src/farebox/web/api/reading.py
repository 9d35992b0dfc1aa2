"""What a merchant's key reads: its balance, its account, its usage and prices."""

from starlette.types import Receive, Scope

from farebox.core import ids
from farebox.core.money import format_amount
from farebox.service import inputs
from farebox.service.errors import Forbidden, InvalidKey, ServiceError
from farebox.service.insight.usage import DAYS_MAX, HOURS_MAX
from farebox.web import security
from farebox.web.api.base import MERCHANT, Endpoints, Route, answer, thresholds_data
from farebox.web.endpoint import Answer, decode_query
from farebox.web.envelope import INTERNAL_ERROR_MESSAGE, ApiError, api_error, success_body
from farebox.web.schemas import reading as bodies


class Reading(Endpoints):
    """The endpoints for merchants' keys."""

    def routes(self) -> list[Route]:
        """List them."""
        return [
            Route("GET", "/api/balance", self.balance, "Read the available balance", MERCHANT, str),
            Route("GET", "/api/account", self.account, "Read the whole account", MERCHANT, bodies.AccountData),
            Route(
                *("GET", "/api/usage", self.usage, "Read what each request type came to", MERCHANT, bodies.UsageData),
                query=bodies.UsageQuery,
                description=f"At most {DAYS_MAX} days, or {HOURS_MAX // 24} days by the hour.",
            ),
            Route("GET", "/api/prices", self.prices, "Read the prices in force", MERCHANT, bodies.PricesInForce),
        ]

    async def balance(self, scope: Scope, receive: Receive) -> Answer:
        """Answer the one question clients have asked for years; its three answers never change."""
        key = security.required_key(scope)
        try:
            if key.merchant_id is None:
                await self._authorize(scope, MERCHANT)
            available = await self._services.balances.available(key)
        except (InvalidKey, Forbidden):
            raise
        except ServiceError as error:
            # Clients in the field know 200, 401 and 500 here and nothing else; the headers say more.
            cause = api_error(error)
            raise ApiError(500, cause.code, INTERNAL_ERROR_MESSAGE, cause.headers) from error
        if available is None:
            raise InvalidKey
        return Answer(success_body(b'"%b"' % format_amount(available).encode()))

    async def account(self, scope: Scope, receive: Receive) -> Answer:
        """Show a merchant its own account."""
        key = await self._authorize(scope, MERCHANT)
        view = await self._services.queries.account_view(key.merchant_id or 0)
        account, runway = view.account, view.runway
        return answer(
            bodies.AccountData(
                merchant_id=ids.public_id(ids.MERCHANT, account.merchant_id),
                name=view.merchant.name,
                currency=account.currency,
                posted=format_amount(account.posted),
                held=format_amount(account.held),
                available=format_amount(account.available),
                credit_limit=format_amount(account.credit_limit),
                is_frozen=account.is_frozen,
                thresholds=thresholds_data(account.thresholds),
                runway=None
                if runway is None
                else bodies.RunwayData(
                    runway.days,
                    runway.days_low,
                    runway.days_high,
                    inputs.format_time(runway.until),
                    format_amount(runway.burn_per_day),
                ),
            )
        )

    async def usage(self, scope: Scope, receive: Receive) -> Answer:
        """Show a merchant what its requests came to."""
        key = await self._authorize(scope, MERCHANT)
        query = decode_query(scope, bodies.UsageQuery)
        merchant_id = key.merchant_id or 0
        _, account = await self._services.merchants.get(merchant_id)
        lines = await self._services.usage.read(
            merchant_id,
            by=query.by,
            first=query.first,
            last=query.last,
            zone=query.time_zone,
            request_type=query.type,
        )
        return answer(
            bodies.UsageData(
                account.currency,
                [
                    bodies.UsageLineData(
                        inputs.format_time(line.starts_at),
                        line.request_type,
                        line.requests,
                        format_amount(line.cost),
                        format_amount(line.refunded),
                    )
                    for line in lines
                ],
            )
        )

    async def prices(self, scope: Scope, receive: Receive) -> Answer:
        """Show a merchant what its requests cost now."""
        key = await self._authorize(scope, MERCHANT)
        merchant_id = key.merchant_id or 0
        _, account = await self._services.merchants.get(merchant_id)
        found = await self._services.merchants.prices_in_force(merchant_id)
        return answer(
            bodies.PricesInForce(
                account.currency,
                [
                    bodies.PriceInForce(
                        ids.public_id(ids.PRICE, price.price_id),
                        price.request_type,
                        None if price.unit_price is None else format_amount(price.unit_price),
                        inputs.format_time(price.starts_at),
                        price.merchant_id is not None,
                    )
                    for price in found
                ],
            )
        )
