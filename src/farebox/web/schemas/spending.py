"""What the operator's services ask for, and what they are answered: charges, holds, refunds."""

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from farebox.core.commands import NOTE_CHARS_MAX, REFERENCE_CHARS_MAX
from farebox.core.holds import TTL_SECONDS_DEFAULT, TTL_SECONDS_MAX
from farebox.core.prices import QUANTITY_MAX
from farebox.core.pricing.rules import LINES_MAX
from farebox.core.pricing.rules import QUANTITY_MAX as LINE_QUANTITY_MAX
from farebox.presenters.fields import (
    AMOUNT_OUT,
    Amount,
    AvailableAfter,
    HoldId,
    KeyId,
    MerchantId,
    PostedAfter,
    Time,
    TransferId,
    line_schema,
)
from farebox.presenters.holds import OpenHoldData
from farebox.service.inputs import LINE_NAME_PATTERN, REQUEST_TYPE_PATTERN
from farebox.web.schemas.common import POSITIVE, Cursor, IdempotencyKey, Limit, NextCursor

BATCH_CHARGES_MAX: Final = 10_000

Payer = Annotated[str, Meta(description="The merchant's API key, or its id.", examples=["mer_01K9ABCDEFGHJ"])]
RequestType = Annotated[
    str,
    Meta(
        description="The request type, which decides the price.",
        examples=["image"],
        extra_json_schema={"pattern": f"^{REQUEST_TYPE_PATTERN}$"},
    ),
]
Quantity = Annotated[
    int | None,
    Meta(
        description=f"How many requests, or how much of the only line of a price: 1 to {QUANTITY_MAX:,}; 1 if absent.",
        examples=[1],
        extra_json_schema={"minimum": 1, "maximum": QUANTITY_MAX},
    ),
]
QuantityByLine = Annotated[
    dict[str, Any],
    Meta(
        title="Quantities",
        description="How much was used, by the lines of the price.",
        extra_json_schema={
            "minProperties": 1,
            "maxProperties": LINES_MAX,
            "propertyNames": {"pattern": f"^{LINE_NAME_PATTERN}$"},
            "additionalProperties": {"type": "integer", "minimum": 0, "maximum": LINE_QUANTITY_MAX},
        },
    ),
]
"""Read by `service.inputs`, which names each fault by its line."""

Quantities = Annotated[
    QuantityByLine | None,
    Meta(
        description=f"How much was used, by the lines of the price: whole numbers from 0 to {LINE_QUANTITY_MAX:,}. "
        'In place of a quantity: {"input": 1200, "output": 350}.',
        examples=[{"input": 1200, "output": 350}],
        extra_json_schema={
            "minProperties": 1,
            "maxProperties": LINES_MAX,
            "propertyNames": {"pattern": f"^{LINE_NAME_PATTERN}$"},
        },
    ),
]
RequestedAt = Annotated[
    str | None,
    Meta(
        description="When the request was made, if that is not now: at most 24 hours ago. Prices that depend on the "
        "hour, or count over a day or month, go by it; the version of a price goes by when it is charged.",
        extra_json_schema={"format": "date-time"},
    ),
]
VariableAmount = Annotated[
    str | None,
    Meta(
        description="The cost; for variable request types, and only for those.",
        examples=["0.35"],
        extra_json_schema=POSITIVE,
    ),
]
Reference = Annotated[
    str | None,
    Meta(
        description="Anything of yours to find it by, one line.",
        examples=["job-8812"],
        extra_json_schema=line_schema(REFERENCE_CHARS_MAX),
    ),
]


class SpendRequest(Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """What charges and holds ask for alike."""

    merchant: Payer
    type: RequestType
    idempotency_key: IdempotencyKey
    quantity: Quantity = None
    quantities: Quantities = None
    requested_at: RequestedAt = None
    amount: VariableAmount = None
    reference: Reference = None


class ChargeRequest(SpendRequest):
    """Deduct the cost of a request."""

    above: Annotated[
        Literal["refuse", "uncollected"],
        Meta(
            description="What becomes of a cost above what can be spent: the charge is refused; or what there is is "
            "taken, and the missing part is written down as uncollected, for a request that was served already.",
        ),
    ] = "refuse"


class ChargeData(Struct, rename="camel", omit_defaults=True):
    """A charge that went through."""

    transfer_id: TransferId
    cost: Annotated[Amount, Meta(description="What was taken: with what is uncollected, the cost of the request.")]
    balance: PostedAfter
    available: AvailableAfter
    uncollected: Annotated[
        str | None,
        Meta(description="What was missing; absent if nothing was.", examples=["0.75"], extra_json_schema=AMOUNT_OUT),
    ] = None


class BatchRequest(Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """Charges, each on its own: one that is refused leaves the others be, and the whole is not atomic."""

    charges: Annotated[list[ChargeRequest], Meta(min_length=1, max_length=BATCH_CHARGES_MAX)]


class BatchOutcome(Struct, rename="camel"):
    """What one charge of a batch came to: what a charge of its own would be answered, and its two headers."""

    is_success: Annotated[bool, Meta(examples=[True])]
    status_code: Annotated[int, Meta(examples=[200])]
    error_code: Annotated[str | None, Meta(description="The refusal's name, as in X-Error-Code.")]
    error_message: str | None
    is_replay: Annotated[
        bool, Meta(description="Whether this is the first answer again, as Idempotent-Replay tells.", examples=[False])
    ]
    data: ChargeData | None


class BatchData(Struct, rename="camel"):
    """One outcome per charge, in their order."""

    outcomes: list[BatchOutcome]


class HoldRequest(SpendRequest):
    """Set aside the cost of a request, to be captured or released later."""

    ttl_seconds: Annotated[
        int,
        Meta(
            description=f"How long until it expires by itself, up to {TTL_SECONDS_MAX:,}.",
            examples=[TTL_SECONDS_DEFAULT],
            extra_json_schema={"minimum": 1, "maximum": TTL_SECONDS_MAX},
        ),
    ] = TTL_SECONDS_DEFAULT


class HoldData(Struct, rename="camel"):
    """A hold that was made."""

    hold_id: HoldId
    transfer_id: TransferId
    amount: Amount
    expires_at: Time
    balance: PostedAfter
    available: AvailableAfter


class CaptureRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Take a hold's money, or a part of it; the rest goes back at once."""

    idempotency_key: IdempotencyKey
    quantity: Annotated[
        int | None,
        Meta(
            description="How many of the held requests were done. Without an amount, unit price x quantity is taken; "
            "a hold of a variable type needs the amount beside it.",
            examples=[3],
            extra_json_schema={"minimum": 1, "maximum": QUANTITY_MAX},
        ),
    ] = None
    quantities: Annotated[
        QuantityByLine | None,
        Meta(
            description="How much was used after all, by the lines of the price that the hold was made at; of each at "
            "most what was held, unless `above` says otherwise. It is charged as the hold was priced, and the rest "
            "goes back.",
        ),
    ] = None
    amount: Annotated[
        str | None,
        Meta(
            description="What is taken: all of the hold, if neither is given. Without a quantity, usage counts the "
            "share of the held requests that it is of the held amount, rounded up.",
            examples=["2.50"],
            extra_json_schema=POSITIVE,
        ),
    ] = None
    reference: Reference = None
    above: Annotated[
        Literal["refuse", "charge", "uncollected"],
        Meta(
            description="What becomes of what the work came to above the hold: the capture is refused; or the rest is "
            "charged to the balance, and the whole is refused if there is too little; or what there is is taken, and "
            "the missing part is written down as uncollected.",
        ),
    ] = "refuse"


class AboveData(Struct, rename="camel"):
    """What a capture took from the balance above its hold: a charge of its own, which is refunded by itself."""

    transfer_id: TransferId
    charged: Amount
    uncollected: Annotated[
        str | None,
        Meta(description="What was missing; null if nothing was.", examples=["0.75"], extra_json_schema=AMOUNT_OUT),
    ]


class CaptureData(Struct, rename="camel", omit_defaults=True):
    """A hold that was captured."""

    hold_id: HoldId
    transfer_id: TransferId
    quantity: Annotated[int, Meta(description="How many requests it counts.", examples=[3])]
    captured: Amount
    released: Annotated[
        str, Meta(description="The rest, which went back.", examples=["0.00"], extra_json_schema=AMOUNT_OUT)
    ]
    balance: PostedAfter
    available: AvailableAfter
    above: Annotated[AboveData | None, Meta(description="Absent if the work came to no more than was held.")] = None


class ReleaseRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Give a hold's money back."""

    idempotency_key: IdempotencyKey
    reference: Reference = None
    reason: Annotated[
        str | None,
        Meta(
            description="Why, for people; one line. Support has to give one.",
            examples=["The service that made it is gone"],
            extra_json_schema=line_schema(NOTE_CHARS_MAX),
        ),
    ] = None


class ExtendRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Let a hold last longer: for so many seconds from now, or until a time. One of both is named."""

    ttl_seconds: Annotated[
        int | None,
        Meta(
            description=f"How long from now it lasts at least, up to {TTL_SECONDS_MAX:,}.",
            examples=[TTL_SECONDS_DEFAULT],
            extra_json_schema={"minimum": 1, "maximum": TTL_SECONDS_MAX},
        ),
    ] = None
    expires_at: Annotated[
        str | None,
        Meta(
            description=f"Until when it lasts at least: RFC 3339, at most {TTL_SECONDS_MAX:,} seconds from now.",
            examples=["2026-01-31T12:00:00Z"],
            extra_json_schema={"format": "date-time"},
        ),
    ] = None


class HoldsQuery(Struct, rename="camel", forbid_unknown_fields=True):
    """A page of a merchant's open holds."""

    merchant: Annotated[
        str | None,
        Meta(
            description="The merchant's id. A service names it; a merchant's own key needs none.",
            examples=["mer_01K9ABCDEFGHJ"],
        ),
    ] = None
    cursor: Cursor = None
    limit: Limit = 100


class HoldsData(Struct, rename="camel"):
    """A page of open holds, the soonest end first."""

    holds: list[OpenHoldData]
    next_cursor: NextCursor


class RefundRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Give back a charge or capture, in whole or in part; several times, up to what it took."""

    transfer_id: TransferId
    idempotency_key: IdempotencyKey
    amount: Annotated[
        str | None,
        Meta(description="All that is left of it, if absent.", examples=["1.00"], extra_json_schema=POSITIVE),
    ] = None
    reference: Reference = None
    note: Annotated[
        str | None,
        Meta(
            description="Why, for people; one line.",
            examples=["Blurred image"],
            extra_json_schema=line_schema(NOTE_CHARS_MAX),
        ),
    ] = None


class RefundData(Struct, rename="camel"):
    """A refund that went through."""

    transfer_id: TransferId
    refers_to: Annotated[str, Meta(description="The charge or capture.", examples=["xfer_01K9ABCDEFGHJ00000001"])]
    amount: Amount
    balance: PostedAfter
    available: AvailableAfter


class KeyCheckRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Ask whose an API key is."""

    api_key: Annotated[
        str, Meta(description="A merchant's API key.", examples=["fbm_0123456789ABC0123456789ABCDEFGHJKMNPQRS"])
    ]


class CheckedKeyData(Struct, rename="camel"):
    """A merchant's API key that is good."""

    merchant_id: MerchantId
    key_id: KeyId
    name: Annotated[str | None, Meta(description="What the merchant uses it for.", examples=["production"])]
    state: Annotated[
        Literal["valid", "ending"], Meta(description="Ending: it is good until expiresAt.", examples=["valid"])
    ]
    expires_at: Time | None
