"""What support asks for, and what it is answered."""

from typing import Annotated

from msgspec import Meta, Struct

from farebox.web.bodies.common import (
    Amount,
    AvailableAfter,
    MerchantId,
    PostedAfter,
    ThresholdData,
    TransferId,
)

Name = Annotated[str, Meta(examples=["Northwind Imaging"])]


class MerchantRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Add a merchant."""

    name: Name
    currency: Annotated[str, Meta(description="ISO 4217; fixed for ever.", examples=["USD"])]
    threshold: Annotated[str | None, Meta(description="Warn below this posted balance.", examples=["100.00"])] = None
    thresholds: Annotated[list[str] | None, Meta(description="Up to five thresholds, instead of one.")] = None
    credit_limit: Annotated[str, Meta(description="How far below zero the merchant may spend.")] = "0"


class NewMerchantData(Struct, rename="camel"):
    """A merchant just added. The key is shown this once and can't be read again."""

    merchant_id: MerchantId
    name: Name
    currency: Annotated[str, Meta(examples=["USD"])]
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


class MoveData(Struct, rename="camel"):
    """A move of money that went through."""

    transfer_id: TransferId
    amount: Amount
    balance: PostedAfter
    available: AvailableAfter
