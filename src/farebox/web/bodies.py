"""What the API takes and gives, as it stands in JSON: camelCase keys, money and times as strings."""

from typing import Annotated

from msgspec import Meta, Struct

Amount = Annotated[str, Meta(description="A plain decimal, at most six decimals.", examples=["12.50"])]
Time = Annotated[str, Meta(description="RFC 3339, UTC.", examples=["2026-01-31T12:00:00.000000Z"])]


class ChargeRequest(Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    """Deduct the cost of a request."""

    merchant: Annotated[str, Meta(description="The merchant's API key, or its id.", examples=["mer_01K9ABCDEFGHJ"])]
    type: Annotated[str, Meta(description="The request type, which decides the price.", examples=["image"])]
    idempotency_key: Annotated[
        str,
        Meta(
            description="Yours, unique per merchant for ever; the same key and content again is the same charge.",
            examples=["01922f6e-7c3a-7c52-9d3e-4b1f6a0c2d11"],
        ),
    ]
    quantity: Annotated[int, Meta(description="How many requests, 1 to 1,000,000.")] = 1
    amount: Annotated[str | None, Meta(description="The cost; for variable request types, and only for those.")] = None
    reference: Annotated[str | None, Meta(description="Anything of yours to find the charge by.")] = None


class ChargeData(Struct, rename="camel"):
    """A charge that went through."""

    transfer_id: str
    cost: Amount
    balance: Annotated[str, Meta(description="The posted balance after it: spendable and held.")]
    available: Annotated[str, Meta(description="The available balance after it: what may be spent.")]


class ThresholdData(Struct, rename="camel"):
    """An amount of posted balance that the merchant is warned below."""

    amount: Amount
    is_armed: Annotated[bool, Meta(description="False once it has fired, until a top-up reaches it again.")]


class RunwayData(Struct, rename="camel"):
    """How long the balance lasts at the recent daily burn; `days` is the median, the rest its likely range."""

    days: int
    days_low: int
    days_high: int
    until: Time
    burn_per_day: Amount


class AccountData(Struct, rename="camel"):
    """A merchant's own account."""

    merchant_id: str
    name: str
    currency: str
    posted: Amount
    held: Amount
    available: Amount
    credit_limit: Amount
    is_frozen: bool
    thresholds: list[ThresholdData]
    runway: RunwayData | None


class MerchantRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Add a merchant."""

    name: Annotated[str, Meta(examples=["Northwind Imaging"])]
    currency: Annotated[str, Meta(description="ISO 4217; fixed for ever.", examples=["USD"])]
    threshold: Annotated[str | None, Meta(description="Warn below this posted balance.", examples=["100.00"])] = None
    thresholds: Annotated[list[str] | None, Meta(description="Up to five thresholds, instead of one.")] = None
    credit_limit: Annotated[str, Meta(description="How far below zero the merchant may spend.")] = "0"


class MerchantData(Struct, rename="camel"):
    """A merchant just added. The key is shown this once and can't be read again."""

    merchant_id: str
    name: str
    currency: str
    credit_limit: Amount
    thresholds: list[ThresholdData]
    api_key: str


class TopUpRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Add money that a merchant has paid."""

    amount: Amount
    reference: Annotated[
        str,
        Meta(description="The payment's own; the same reference again is the same top-up.", examples=["INV-2026-001"]),
    ]
    note: str | None = None


class TopUpData(Struct, rename="camel"):
    """A top-up that went through."""

    transfer_id: str
    amount: Amount
    balance: Annotated[str, Meta(description="The posted balance after it.")]
    available: Annotated[str, Meta(description="The available balance after it.")]
