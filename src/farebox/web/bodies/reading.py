"""What a merchant reads of its own account."""

from typing import Annotated

from msgspec import Meta, Struct

from farebox.web.bodies.common import Amount, MerchantId, ThresholdData, Time


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
    posted: Amount
    held: Amount
    available: Amount
    credit_limit: Amount
    is_frozen: bool
    thresholds: list[ThresholdData]
    runway: RunwayData | None
