"""What a quote is asked for: the fields of a charge that decide its cost."""

from typing import Annotated

from msgspec import Meta, Struct

from farebox.web.schemas.spending import Quantities, Quantity, RequestedAt, RequestType, VariableAmount


class QuoteRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Ask what a charge would cost."""

    type: RequestType
    merchant: Annotated[
        str | None,
        Meta(
            description="The merchant's id, or its API key. A merchant's own key needs none; without one, other keys "
            "are told the default price.",
            examples=["mer_01K9ABCDEFGHJ"],
        ),
    ] = None
    quantity: Quantity = None
    quantities: Quantities = None
    requested_at: RequestedAt = None
    amount: VariableAmount = None
