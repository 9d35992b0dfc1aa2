"""The words that all bodies are made of."""

from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from farebox.core.commands import IDEMPOTENCY_KEY_CHARS_MAX

# What a text has to be is told by `extra_json_schema`, for readers: the service checks it, for every door alike.
_AMOUNT: Final = r"(0?[0-9]{1,12}(\.[0-9]{1,6})?|10{12}(\.0{1,6})?)"
POSITIVE: Final[dict[str, Any]] = {"pattern": f"^(?=.*[1-9]){_AMOUNT}$"}
SIGNED: Final[dict[str, Any]] = {"pattern": f"^-?(?=.*[1-9]){_AMOUNT}$"}
NOT_NEGATIVE: Final[dict[str, Any]] = {"pattern": f"^{_AMOUNT}$"}
WRITTEN: Final[dict[str, Any]] = {"pattern": r"^-?[0-9]+\.[0-9]{2,6}$"}

ID_LETTERS: Final = "[0-7][0-9A-HJKMNP-TV-Z]{12}"
BOOK_ID_LETTERS: Final = f"{ID_LETTERS}[0-9A-HJKMNP-TV-Z]{{8}}"


def line(chars_max: int) -> dict[str, Any]:
    """Tell of one line of text, with no space at its ends, and without control characters."""
    inner, end = r"[^\x00-\x1f\x7f-\xa0]", r"[^\x00-\x20\x7f-\xa0]"
    return {"minLength": 1, "maxLength": chars_max, "pattern": f"^{end}({inner}*{end})?$"}


def an_id(prefix: str, letters: str = ID_LETTERS) -> dict[str, Any]:
    """Tell of an id."""
    return {"pattern": f"^{prefix}{letters}$"}


Amount = Annotated[
    str, Meta(description="A plain decimal, two to six decimals.", examples=["12.50"], extra_json_schema=WRITTEN)
]
AmountAsked = Annotated[
    str,
    Meta(description="A plain decimal, at most six decimals.", examples=["12.50"], extra_json_schema=POSITIVE),
]
Time = Annotated[
    str,
    Meta(
        description="RFC 3339, UTC.",
        examples=["2026-01-31T12:00:00.000000Z"],
        extra_json_schema={"format": "date-time"},
    ),
]
TimeToCome = Annotated[
    str,
    Meta(
        description="RFC 3339, with its offset; to come.",
        examples=["2099-12-31T23:59:59Z"],
        extra_json_schema={"format": "date-time"},
    ),
]
Currency = Annotated[
    str,
    Meta(description="ISO 4217; fixed for ever.", examples=["USD"], extra_json_schema={"pattern": "^[A-Z]{3}$"}),
]
MerchantId = Annotated[
    str, Meta(description="The merchant's id.", examples=["mer_01K9ABCDEFGHJ"], extra_json_schema=an_id("mer_"))
]
TransferId = Annotated[
    str,
    Meta(
        description="The transfer's id.",
        examples=["xfer_01K9ABCDEFGHJ00000002"],
        extra_json_schema=an_id("xfer_", BOOK_ID_LETTERS),
    ),
]
HoldId = Annotated[
    str,
    Meta(
        description="The hold's id.",
        examples=["hold_01K9ABCDEFGHJ00000003"],
        extra_json_schema=an_id("hold_", BOOK_ID_LETTERS),
    ),
]
IdempotencyKey = Annotated[
    str,
    Meta(
        description="Yours, unique per merchant for ever; the same key and content again moves nothing more.",
        examples=["01922f6e-7c3a-7c52-9d3e-4b1f6a0c2d11"],
        extra_json_schema={"pattern": f"^[!-~]{{1,{IDEMPOTENCY_KEY_CHARS_MAX}}}$"},
    ),
]
Posted = Annotated[
    str,
    Meta(description="The posted balance: spendable and held.", examples=["87.50"], extra_json_schema=WRITTEN),
]
Held = Annotated[str, Meta(description="What holds have set aside.", examples=["2.50"], extra_json_schema=WRITTEN)]
Available = Annotated[str, Meta(description="What can be spent.", examples=["85.00"], extra_json_schema=WRITTEN)]
CreditLimit = Annotated[
    str,
    Meta(description="How far below zero the merchant may spend.", examples=["0.00"], extra_json_schema=WRITTEN),
]
IsFrozen = Annotated[bool, Meta(description="A frozen merchant can't spend.", examples=[False])]
PostedAfter = Annotated[
    str,
    Meta(
        description="The posted balance after it: spendable and held.",
        examples=["87.50"],
        extra_json_schema=WRITTEN,
    ),
]
AvailableAfter = Annotated[
    str, Meta(description="The available balance after it.", examples=["85.00"], extra_json_schema=WRITTEN)
]


class ThresholdData(Struct, rename="camel"):
    """An amount of posted balance that the merchant is warned below."""

    amount: Amount
    is_armed: Annotated[
        bool, Meta(description="False once it has fired, until a top-up reaches it again.", examples=[True])
    ]
