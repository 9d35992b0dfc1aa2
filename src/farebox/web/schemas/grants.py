"""What support asks for to give credit, and lists of what was given."""

from typing import Annotated

from msgspec import Meta, Struct

from farebox.core.commands import NOTE_CHARS_MAX
from farebox.core.credit.grants import PRIORITY_MAX, TYPES_MAX
from farebox.presenters.fields import RequestType, line_schema
from farebox.presenters.grants import GrantData
from farebox.web.schemas.admin import PaymentReference
from farebox.web.schemas.common import AmountPaid, NextCursor, TimeToCome

_Reason = Annotated[
    str,
    Meta(
        description="Why; the merchant reads it in its statement.",
        examples=["for trying it out"],
        extra_json_schema=line_schema(NOTE_CHARS_MAX),
    ),
]


class GrantRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Give a merchant credit that was not paid for."""

    amount: AmountPaid
    reference: PaymentReference
    reason: _Reason
    starts_at: Annotated[
        TimeToCome | None, Meta(description="At once, if absent or within the last day; at most two years from now.")
    ] = None
    expires_at: Annotated[TimeToCome | None, Meta(description="It does not end by itself, if absent.")] = None
    types: Annotated[
        list[RequestType] | None,
        Meta(
            description="The request types that it pays for; all, if absent.",
            examples=[["image"]],
            extra_json_schema={"minItems": 1, "maxItems": TYPES_MAX},
        ),
    ] = None
    priority: Annotated[
        int,
        Meta(
            description="The lowest is spent first. Paid money has 0, and of one priority given credit goes first.",
            examples=[0],
            extra_json_schema={"minimum": 0, "maximum": PRIORITY_MAX},
        ),
    ] = 0


class EndGrantRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Take back what is left of a grant, or let one that waits never start."""

    reason: _Reason


class GrantsData(Struct, rename="camel"):
    """A page of a merchant's grants, newest first."""

    grants: list[GrantData]
    next_cursor: NextCursor
