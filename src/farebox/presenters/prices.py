"""A version of a price, as support sets it, and the price in force, as a merchant reads it."""

from collections.abc import Sequence
from itertools import groupby
from typing import Annotated, Final

from msgspec import Meta, Struct

from farebox.core import ids
from farebox.core.currencies import format_money
from farebox.core.prices import Price
from farebox.presenters.fields import AMOUNT_OUT, MerchantId, RequestType, Time, amount_or_none, id_or_none
from farebox.service import inputs

VARIABLE: Final = "variable"
"""What stands for the amount of a price whose callers name it."""


class PriceVersions(Struct, frozen=True):
    """The versions of one type's price: the one in force, those to come, and those before, newest first."""

    request_type: str
    in_force: Price | None
    coming: Sequence[Price]
    before: Sequence[Price]


class PriceData(Struct, frozen=True, rename="camel"):
    """One version of a price, in force from its start until a later one starts."""

    price_id: Annotated[str, Meta(examples=["price_01K9ABCDEFGHJ"])]
    type: RequestType
    unit_price: Annotated[
        str | None, Meta(description="Null for a variable type.", examples=["0.008"], extra_json_schema=AMOUNT_OUT)
    ]
    starts_at: Time
    merchant_id: MerchantId | None
    is_variable: Annotated[bool, Meta(description="Whether callers name the amount.", examples=[False])]
    is_in_force: Annotated[
        bool, Meta(description="Whether it has started, and no later version of it has.", examples=[True])
    ]


class PriceInForce(Struct, frozen=True, rename="camel"):
    """The price of a request type, as a charge of this moment would meet it."""

    price_id: Annotated[str, Meta(examples=["price_01K9ABCDEFGHJ"])]
    type: Annotated[str, Meta(examples=["image"])]
    unit_price: Annotated[
        str | None, Meta(description="Null for a variable type.", examples=["0.008"], extra_json_schema=AMOUNT_OUT)
    ]
    starts_at: Time
    is_own: Annotated[
        bool, Meta(description="Whether it is the merchant's own, and not the default.", examples=[False])
    ]


def price_data(price: Price, *, is_in_force: bool) -> PriceData:
    """Tell of one version of a price."""
    return PriceData(
        price_id=ids.public_id(ids.PRICE, price.price_id),
        type=price.request_type,
        unit_price=amount_or_none(price.unit_price),
        starts_at=inputs.format_time(price.starts_at),
        merchant_id=id_or_none(ids.MERCHANT, price.merchant_id),
        is_variable=price.unit_price is None,
        is_in_force=is_in_force,
    )


def prices_data(prices: Sequence[Price], now: int) -> list[PriceData]:
    """Tell of all versions of the default prices, or of a merchant's own, which come by type and start."""
    in_force = {versions.in_force.price_id for versions in price_versions(prices, now) if versions.in_force}
    return [price_data(price, is_in_force=price.price_id in in_force) for price in prices]


def price_versions(prices: Sequence[Price], now: int) -> list[PriceVersions]:
    """Group versions, which come by type and start: the last one of a type that has started is in force."""
    types = []
    for request_type, group in groupby(prices, key=lambda price: price.request_type):
        versions = list(group)
        started = [price for price in versions if price.starts_at <= now]
        coming = versions[len(started) :]
        types.append(PriceVersions(request_type, started[-1] if started else None, coming, started[-2::-1]))
    return types


def unit_price_words(price: Price, currency: str) -> str:
    """Write what one request costs, for people; a default price is in no currency, and "" stands for that."""
    return VARIABLE if price.unit_price is None else format_money(price.unit_price, currency)


def price_in_force(price: Price) -> PriceInForce:
    """Tell of a price in force, as a merchant reads it."""
    return PriceInForce(
        price_id=ids.public_id(ids.PRICE, price.price_id),
        type=price.request_type,
        unit_price=amount_or_none(price.unit_price),
        starts_at=inputs.format_time(price.starts_at),
        is_own=price.merchant_id is not None,
    )
