"""The fields that many requests have, with their words in the API's document."""

from typing import Annotated, Any, Final

from msgspec import Meta

from farebox.core.commands import IDEMPOTENCY_KEY_CHARS_MAX

# What a text has to be is told by `extra_json_schema`, for readers: the service checks it.
_AMOUNT: Final = r"(0?[0-9]{1,12}(\.[0-9]{1,6})?|10{12}(\.0{1,6})?)"
POSITIVE: Final[dict[str, Any]] = {"pattern": f"^(?=.*[1-9]){_AMOUNT}$"}
SIGNED: Final[dict[str, Any]] = {"pattern": f"^-?(?=.*[1-9]){_AMOUNT}$"}
ANY_SIGN: Final[dict[str, Any]] = {"pattern": f"^-?{_AMOUNT}$"}
NOT_NEGATIVE: Final[dict[str, Any]] = {"pattern": f"^{_AMOUNT}$"}
AmountPaid = Annotated[
    str,
    Meta(
        description="A plain decimal, with no more decimals than the merchant's currency has.",
        examples=["12.50"],
        extra_json_schema=POSITIVE,
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
Limit = Annotated[int, Meta(ge=1, le=1000, description="How many at most.", examples=[100])]
Cursor = Annotated[str | None, Meta(description="Where to go on: the last page's nextCursor.")]
NextCursor = Annotated[str | None, Meta(description="Null once there is no more.")]
Currency = Annotated[
    str,
    Meta(
        description="A code of ISO 4217 that is in use, for money; fixed for ever.",
        examples=["USD"],
        extra_json_schema={"pattern": "^[A-Z]{3}$"},
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
