"""What a merchant's key reads: its balance, its account, its usage and prices; services read prices, too."""

import asyncio
from functools import cache
from hashlib import blake2b
from importlib import metadata
from typing import Final

import msgspec

from farebox.core.money import format_amount
from farebox.core.outcomes import Code
from farebox.presenters.fields import time_or_none
from farebox.presenters.merchants import AccountData, account_data
from farebox.presenters.prices import price_in_force
from farebox.service import inputs
from farebox.service.errors import InvalidKey
from farebox.service.insight.quarters import DAYS_MAX, HOURS_MAX
from farebox.service.price_life import PriceLife
from farebox.web.api.answers import answer, unchanged_answer, version_headers
from farebox.web.api.paths import merchant_in_query, own_or_named
from farebox.web.api_route import MERCHANT, SERVICE, Answer, ApiRequest, Endpoints, route
from farebox.web.envelope import success_body
from farebox.web.schemas import reading as schemas

_VERSION_BYTES: Final = 8
_PRICES_AT_ONCE: Final = 50


class AccountEndpoints(Endpoints):
    """A merchant's own account."""

    # Clients in the field know 200, 401 and 500 here and nothing else; an error's headers say more.
    @route(
        method="GET",
        path="/api/balance",
        keys=MERCHANT,
        summary="Read the available balance",
        data=str,
        is_key_checked_later=True,
        hides_outages=True,
    )
    async def read_balance(self, request: ApiRequest) -> Answer:
        """Answer the one question clients have asked for years; its three answers never change."""
        available = await self._services.balances.available(request.key)
        if available is None:
            raise InvalidKey
        return Answer(success_body(b'"%b"' % format_amount(available).encode()))

    @route(
        method="GET",
        path="/api/account",
        keys=MERCHANT,
        summary="Read the whole account",
        data=AccountData,
    )
    async def read_account(self, request: ApiRequest) -> Answer:
        """Show a merchant its own account."""
        return answer(account_data(await self._services.queries.account_view(request.merchant_id)))

    @route(
        method="GET",
        path="/api/usage",
        keys=MERCHANT,
        summary="Read what each request type came to",
        data=schemas.UsageData,
        description=f"At most {DAYS_MAX} days, or {HOURS_MAX // 24} days by the hour.",
    )
    async def read_usage(self, request: ApiRequest, query: schemas.UsageQuery) -> Answer:
        """Show a merchant what its requests came to."""
        _, account = await self._services.merchants.get(request.merchant_id)
        lines = await self._services.usage.read(
            request.merchant_id,
            by=query.by,
            first=query.first,
            last=query.last,
            zone=query.time_zone,
            request_type=query.type,
        )
        return answer(
            schemas.UsageData(
                account.currency,
                [
                    schemas.UsageLineData(
                        starts_at=inputs.format_time(line.starts_at),
                        type=line.request_type,
                        count=line.requests,
                        cost=format_amount(line.cost),
                        refunded=format_amount(line.refunded),
                        quantities=dict(line.quantities),
                    )
                    for line in lines
                ],
            )
        )

    @route(
        method="GET",
        path="/api/prices",
        keys=MERCHANT | SERVICE,
        summary="Read the prices in force",
        data=schemas.PricesInForce,
        refusals=(Code.MERCHANT_NOT_FOUND,),
        description="A merchant is told what its requests cost now; a service the default prices, or those of the "
        "merchant that it names.",
        is_versioned=True,
    )
    async def list_prices_in_force(self, request: ApiRequest, query: schemas.PricesQuery) -> Answer:
        """Show what requests cost now."""
        merchant_id = own_or_named(request, merchant_in_query(query), "A merchant's key reads that merchant's prices")
        currency = None
        if merchant_id is not None:
            _, account = await self._services.merchants.get(merchant_id)
            currency = account.currency
        life = await self._services.prices.life(merchant_id)
        version = _version(life, currency)
        if (unchanged := unchanged_answer(request, version)) is not None:
            return unchanged
        prices = []
        for price in life.in_force:
            prices.append(price_in_force(price))
            if len(prices) % _PRICES_AT_ONCE == 0:
                # Thousands of rules take a while to write; charges go on meanwhile.
                await asyncio.sleep(0)
        data = schemas.PricesInForce(currency, prices, time_or_none(life.changes_at), version)
        return answer(data, version_headers(version))


def _version(life: PriceLife, currency: str | None) -> str:
    """Name what is told: versions never change, so their numbers will do, and the release that writes them down."""
    digest = blake2b(digest_size=_VERSION_BYTES)
    known = (_release(), currency, life.changes_at, [price.price_id for price in life.in_force])
    digest.update(msgspec.json.encode(known))
    return digest.hexdigest()


@cache
def _release() -> str:
    return metadata.version("farebox")
