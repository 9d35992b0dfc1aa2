"""A version of a price, as support sets it, and the price in force, as a merchant reads it."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from farebox.core import ids
from farebox.core.money import format_amount
from farebox.core.pricing import Price
from farebox.presenters.fields import AMOUNT_OUT, MerchantId, RequestType, Time, id_or_none
from farebox.service import inputs


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
        unit_price=_unit_price(price),
        starts_at=inputs.format_time(price.starts_at),
        merchant_id=id_or_none(ids.MERCHANT, price.merchant_id),
        is_variable=price.unit_price is None,
        is_in_force=is_in_force,
    )


def prices_data(prices: Sequence[Price], now: int) -> list[PriceData]:
    """Tell of all versions of the default prices, or of a merchant's own, which come by type and start."""
    # The last version that has started is the one in force.
    in_force = {price.request_type: price.price_id for price in prices if price.starts_at <= now}
    return [price_data(price, is_in_force=in_force.get(price.request_type) == price.price_id) for price in prices]


def price_in_force(price: Price) -> PriceInForce:
    """Tell of a price in force, as a merchant reads it."""
    return PriceInForce(
        price_id=ids.public_id(ids.PRICE, price.price_id),
        type=price.request_type,
        unit_price=_unit_price(price),
        starts_at=inputs.format_time(price.starts_at),
        is_own=price.merchant_id is not None,
    )


def _unit_price(price: Price) -> str | None:
    return None if price.unit_price is None else format_amount(price.unit_price)
