"""The fields that many things have, with their words in the API's document."""

from typing import Annotated, Any, Final

from msgspec import Meta

from farebox.core import ids
from farebox.core.money import format_amount
from farebox.service import inputs
from farebox.service.inputs import NAME_CHARS_MAX, REQUEST_TYPE_PATTERN

AMOUNT_OUT: Final[dict[str, Any]] = {"pattern": r"^-?[0-9]+\.[0-9]{2,6}$"}
ID_CHARS: Final = "[0-7][0-9A-HJKMNP-TV-Z]{12}"
BOOK_ID_CHARS: Final = f"{ID_CHARS}[0-9A-HJKMNP-TV-Z]{{8}}"


def id_schema(prefix: str, chars: str = ID_CHARS) -> dict[str, Any]:
    """Describe an id."""
    return {"pattern": f"^{prefix}{chars}$"}


def line_schema(chars_max: int) -> dict[str, Any]:
    """Describe one line of text, with no space at its ends, and without control characters."""
    inner, end = r"[^\x00-\x1f\x7f-\xa0]", r"[^\x00-\x20\x7f-\xa0]"
    return {"minLength": 1, "maxLength": chars_max, "pattern": f"^{end}({inner}*{end})?$"}


def time_or_none(micros: int | None) -> str | None:
    """Write a time that may be absent."""
    return None if micros is None else inputs.format_time(micros)


def amount_or_none(micros: int | None) -> str | None:
    """Write an amount that may be absent."""
    return None if micros is None else format_amount(micros)


def id_or_none(prefix: str, number: int | None) -> str | None:
    """Write an id that may be absent."""
    return None if number is None else ids.public_id(prefix, number)


Amount = Annotated[
    str, Meta(description="A plain decimal, two to six decimals.", examples=["12.50"], extra_json_schema=AMOUNT_OUT)
]
Time = Annotated[
    str,
    Meta(
        description="RFC 3339, UTC.",
        examples=["2026-01-31T12:00:00.000000Z"],
        extra_json_schema={"format": "date-time"},
    ),
]
MerchantId = Annotated[
    str, Meta(description="The merchant's id.", examples=["mer_01K9ABCDEFGHJ"], extra_json_schema=id_schema("mer_"))
]
TransferId = Annotated[
    str,
    Meta(
        description="The transfer's id.",
        examples=["xfer_01K9ABCDEFGHJ00000002"],
        extra_json_schema=id_schema("xfer_", BOOK_ID_CHARS),
    ),
]
HoldId = Annotated[
    str,
    Meta(
        description="The hold's id.",
        examples=["hold_01K9ABCDEFGHJ00000003"],
        extra_json_schema=id_schema("hold_", BOOK_ID_CHARS),
    ),
]
KeyId = Annotated[
    str, Meta(description="The key's id.", examples=["key_01K9ABCDEFGHJ"], extra_json_schema=id_schema("key_"))
]
DestinationId = Annotated[
    str,
    Meta(description="The destination's id.", examples=["dest_01K9ABCDEFGHJ"], extra_json_schema=id_schema("dest_")),
]
Name = Annotated[
    str,
    Meta(description="One line.", examples=["Northwind Imaging"], extra_json_schema=line_schema(NAME_CHARS_MAX)),
]
RequestType = Annotated[
    str,
    Meta(
        description="What is paid for.",
        examples=["image"],
        extra_json_schema={"pattern": f"^{REQUEST_TYPE_PATTERN}$"},
    ),
]
Email = Annotated[str, Meta(examples=["ann@northwind.example"], extra_json_schema={"format": "email"})]
Posted = Annotated[
    str,
    Meta(description="The posted balance: spendable and held.", examples=["87.50"], extra_json_schema=AMOUNT_OUT),
]
Held = Annotated[str, Meta(description="What holds have set aside.", examples=["2.50"], extra_json_schema=AMOUNT_OUT)]
Available = Annotated[
    str,
    Meta(
        description="The available balance: what can be spent before the credit limit, which comes on top of it.",
        examples=["85.00"],
        extra_json_schema=AMOUNT_OUT,
    ),
]
CreditLimit = Annotated[
    str,
    Meta(description="How far below zero the merchant may spend.", examples=["0.00"], extra_json_schema=AMOUNT_OUT),
]
OwedAmount = Annotated[
    str,
    Meta(
        description="What was taken back of top-ups when it was spent already. What comes in next pays it, and nothing "
        "can be spent until then.",
        examples=["0.00"],
        extra_json_schema=AMOUNT_OUT,
    ),
]
IsFrozen = Annotated[bool, Meta(description="A frozen merchant can't spend.", examples=[False])]
PostedAfter = Annotated[
    str,
    Meta(
        description="The posted balance after it: spendable and held.",
        examples=["87.50"],
        extra_json_schema=AMOUNT_OUT,
    ),
]
AvailableAfter = Annotated[
    str, Meta(description="The available balance after it.", examples=["85.00"], extra_json_schema=AMOUNT_OUT)
]
