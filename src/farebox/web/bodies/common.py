"""The words that all bodies are made of."""

from typing import Annotated

from msgspec import Meta, Struct

Amount = Annotated[str, Meta(description="A plain decimal, at most six decimals.", examples=["12.50"])]
Time = Annotated[str, Meta(description="RFC 3339, UTC.", examples=["2026-01-31T12:00:00.000000Z"])]
MerchantId = Annotated[str, Meta(description="The merchant's id.", examples=["mer_01K9ABCDEFGHJ"])]
TransferId = Annotated[str, Meta(description="The transfer's id.", examples=["xfer_01K9ABCDEFGHJ00000002"])]
HoldId = Annotated[str, Meta(description="The hold's id.", examples=["hold_01K9ABCDEFGHJ00000003"])]
IdempotencyKey = Annotated[
    str,
    Meta(
        description="Yours, unique per merchant for ever; the same key and content again moves nothing more.",
        examples=["01922f6e-7c3a-7c52-9d3e-4b1f6a0c2d11"],
    ),
]
PostedAfter = Annotated[str, Meta(description="The posted balance after it: spendable and held.", examples=["87.50"])]
AvailableAfter = Annotated[str, Meta(description="The available balance after it.", examples=["87.50"])]


class ThresholdData(Struct, rename="camel"):
    """An amount of posted balance that the merchant is warned below."""

    amount: Amount
    is_armed: Annotated[bool, Meta(description="False once it has fired, until a top-up reaches it again.")]
