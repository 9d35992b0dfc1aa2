"""What a merchant reads of its own account."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from farebox.web.schemas.common import (
    WRITTEN,
    Amount,
    Available,
    CreditLimit,
    Held,
    IsFrozen,
    MerchantId,
    Posted,
    ThresholdData,
    Time,
)


class RunwayData(Struct, rename="camel"):
    """How long the balance lasts at the recent daily burn; `days` is the median, the rest its likely range."""

    days: Annotated[int, Meta(examples=[12])]
    days_low: Annotated[int, Meta(examples=[9])]
    days_high: Annotated[int, Meta(examples=[15])]
    until: Time
    burn_per_day: Amount


class AccountData(Struct, rename="camel"):
    """A merchant's own account."""

    merchant_id: MerchantId
    name: Annotated[str, Meta(examples=["Northwind Imaging"])]
    currency: Annotated[str, Meta(examples=["USD"])]
    posted: Posted
    held: Held
    available: Available
    credit_limit: CreditLimit
    is_frozen: IsFrozen
    thresholds: list[ThresholdData]
    runway: RunwayData | None


class UsageQuery(Struct, rename="camel", forbid_unknown_fields=True):
    """Which usage to read."""

    by: Annotated[Literal["hour", "day"], Meta(description="How long each line's time is.", examples=["day"])] = "day"
    first: Annotated[
        str | None,
        Meta(
            description="The first day; 30 days to the last one, if absent.",
            examples=["2026-01-01"],
            extra_json_schema={"format": "date"},
        ),
    ] = field(default=None, name="from")
    last: Annotated[
        str | None,
        Meta(
            description="The last day; today, if absent.",
            examples=["2026-01-31"],
            extra_json_schema={"format": "date"},
        ),
    ] = field(default=None, name="to")
    time_zone: Annotated[
        str, Meta(description="The IANA time zone whose hours and days these are.", examples=["Europe/Berlin"])
    ] = "UTC"
    type: Annotated[str | None, Meta(description="This request type alone.", examples=["image"])] = None


class UsageLineData(Struct, rename="camel"):
    """What one request type came to within one hour or day."""

    starts_at: Time
    type: Annotated[str, Meta(examples=["image"])]
    count: Annotated[int, Meta(description="Requests: the sum of quantities charged and captured.", examples=[1200])]
    cost: Annotated[str, Meta(description="What they took.", examples=["9.60"], extra_json_schema=WRITTEN)]
    refunded: Annotated[
        str, Meta(description="What was given back in this time.", examples=["0.00"], extra_json_schema=WRITTEN)
    ]


class UsageData(Struct, rename="camel"):
    """Usage, oldest first; hours and days without any are left out."""

    currency: Annotated[str, Meta(examples=["USD"])]
    lines: list[UsageLineData]


class PriceInForce(Struct, rename="camel"):
    """The price of a request type, as a charge of this moment would meet it."""

    price_id: Annotated[str, Meta(examples=["price_01K9ABCDEFGHJ"])]
    type: Annotated[str, Meta(examples=["image"])]
    unit_price: Annotated[
        str | None, Meta(description="Null for a variable type.", examples=["0.008"], extra_json_schema=WRITTEN)
    ]
    starts_at: Time
    is_own: Annotated[
        bool, Meta(description="Whether it is the merchant's own, and not the default.", examples=[False])
    ]


class PricesInForce(Struct, rename="camel"):
    """The prices in force, by type."""

    currency: Annotated[str, Meta(examples=["USD"])]
    prices: list[PriceInForce]
