"""The query of a statement, and a page of it."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from farebox.core.commands import REQUEST_TYPE_CHARS_MAX
from farebox.service.statements.lines import KINDS, TransferData
from farebox.service.statements.reader import PAGE_TRANSFERS_DEFAULT, PAGE_TRANSFERS_MAX

_Moment = Annotated[str, Meta(examples=["2026-01-31T12:00:00Z"], extra_json_schema={"format": "date-time"})]


class TransfersQuery(Struct, rename="camel", forbid_unknown_fields=True):
    """Which transfers to read, and as what."""

    start: Annotated[_Moment, Meta(description="RFC 3339; transfers from this time on.")] | UnsetType = field(
        default=UNSET, name="from"
    )
    end: Annotated[_Moment, Meta(description="RFC 3339; transfers before this time.")] | UnsetType = field(
        default=UNSET, name="to"
    )
    kind: (
        Annotated[
            str,
            Meta(description="This kind alone.", examples=["charge"], extra_json_schema={"enum": list(KINDS)}),
        ]
        | UnsetType
    ) = UNSET
    type: (
        Annotated[
            str,
            Meta(
                description="This request type alone.",
                examples=["image"],
                extra_json_schema={"maxLength": REQUEST_TYPE_CHARS_MAX},
            ),
        ]
        | UnsetType
    ) = UNSET
    reference: Annotated[str, Meta(description="This very reference alone.", examples=["INV-2026-001"])] | UnsetType = (
        UNSET
    )
    cursor: (
        Annotated[
            str,
            Meta(
                description="Where to go on: the last page's nextCursor. For pages of JSON.",
                examples=["xfer_01K9ABCDEFGHJ00000002"],
            ),
        ]
        | UnsetType
    ) = UNSET
    limit: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=PAGE_TRANSFERS_MAX,
                description="How many at most. For pages of JSON.",
                examples=[PAGE_TRANSFERS_DEFAULT],
                extra_json_schema={"default": PAGE_TRANSFERS_DEFAULT},
            ),
        ]
        | UnsetType
    ) = UNSET
    format: Annotated[
        Literal["json", "csv", "jsonl"],
        Meta(
            description="A page of JSON, newest first; or all as CSV, or as JSON lines that can be verified offline, "
            "both oldest first. JSON lines are a whole stretch of the book: they take from and to alone.",
            examples=["json"],
        ),
    ] = "json"


class TransfersData(Struct, rename="camel"):
    """A page of a statement, newest first; it may be short, or even empty, while there is a nextCursor."""

    transfers: list[TransferData]
    next_cursor: Annotated[
        str | None,
        Meta(description="Where the next page goes on; null once there is no more.", examples=[None]),
    ]
