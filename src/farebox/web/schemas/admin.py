"""What support asks for, and what it is answered."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.core.commands import NOTE_CHARS_MAX, REFERENCE_CHARS_MAX, REQUEST_TYPE_CHARS_MAX
from farebox.core.thresholds import THRESHOLDS_MAX
from farebox.service.inputs import NAME_CHARS_MAX, OVERLAP_SECONDS_MAX
from farebox.web.schemas.common import (
    NOT_NEGATIVE,
    POSITIVE,
    SIGNED,
    WRITTEN,
    Amount,
    AmountAsked,
    Available,
    AvailableAfter,
    CreditLimit,
    Currency,
    Held,
    IsFrozen,
    MerchantId,
    Posted,
    PostedAfter,
    ThresholdData,
    Time,
    TimeToCome,
    TransferId,
    an_id,
    line,
)

Name = Annotated[
    str,
    Meta(description="One line.", examples=["Northwind Imaging"], extra_json_schema=line(NAME_CHARS_MAX)),
]
KeyId = Annotated[
    str, Meta(description="The key's id.", examples=["key_01K9ABCDEFGHJ"], extra_json_schema=an_id("key_"))
]
UserId = Annotated[
    str, Meta(description="The person's id.", examples=["user_01K9ABCDEFGHJ"], extra_json_schema=an_id("user_"))
]
ApprovalId = Annotated[
    str, Meta(description="The request's id.", examples=["appr_01K9ABCDEFGHJ"], extra_json_schema=an_id("appr_"))
]
PaymentReference = Annotated[
    str,
    Meta(
        description="Unique per merchant; the same one again moves nothing more.",
        examples=["INV-2026-001"],
        extra_json_schema=line(REFERENCE_CHARS_MAX),
    ),
]
Email = Annotated[str, Meta(examples=["ann@northwind.example"], extra_json_schema={"format": "email"})]
PriceAsked = Annotated[
    str | None,
    Meta(
        description="Null for a variable type, whose callers name the amount.",
        examples=["0.008"],
        extra_json_schema=NOT_NEGATIVE,
    ),
]
RequestType = Annotated[
    str,
    Meta(
        description="What is paid for.",
        examples=["image"],
        extra_json_schema={"pattern": f"^[a-z0-9][a-z0-9._-]{{0,{REQUEST_TYPE_CHARS_MAX - 1}}}$"},
    ),
]
Limit = Annotated[int, Meta(ge=1, le=1000, description="How many at most.", examples=[100])]
Cursor = Annotated[str | None, Meta(description="Where to go on: the last page's nextCursor.")]
NextCursor = Annotated[str | None, Meta(description="Null once there is no more.")]


class PageQuery(Struct, rename="camel", forbid_unknown_fields=True):
    """A page of a list."""

    cursor: Cursor = None
    limit: Limit = 100


class MerchantPageQuery(Struct, rename="camel", forbid_unknown_fields=True):
    """A page of a list that may be of one merchant alone."""

    merchant: Annotated[str | None, Meta(description="This merchant's alone.", examples=["mer_01K9ABCDEFGHJ"])] = None
    cursor: Cursor = None
    limit: Limit = 100


class MerchantRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Add a merchant."""

    name: Name
    currency: Currency
    threshold: Annotated[
        str | None,
        Meta(description="Warn below this posted balance.", examples=["100.00"], extra_json_schema=POSITIVE),
    ] = None
    thresholds: Annotated[
        list[Annotated[str, Meta(extra_json_schema=POSITIVE)]] | None,
        Meta(
            description=f"Up to {THRESHOLDS_MAX} thresholds, instead of one.",
            examples=[["100.00", "20.00"]],
            extra_json_schema={"maxItems": THRESHOLDS_MAX},
        ),
    ] = None
    credit_limit: Annotated[
        str,
        Meta(description="How far below zero the merchant may spend.", examples=["0"], extra_json_schema=NOT_NEGATIVE),
    ] = "0"


class NewMerchantData(Struct, rename="camel"):
    """A merchant just added. The key is shown this once and can't be read again."""

    merchant_id: MerchantId
    name: Name
    currency: Annotated[str, Meta(examples=["USD"])]
    credit_limit: CreditLimit
    thresholds: list[ThresholdData]
    api_key: Annotated[str, Meta(examples=["fbm_01K9ABCDEFGHJ0123456789ABCDEFGHJKMNPQRST"])]


class MerchantData(Struct, rename="camel"):
    """A merchant and its account."""

    merchant_id: MerchantId
    name: Name
    currency: Annotated[str, Meta(examples=["USD"])]
    posted: Posted
    held: Held
    available: Available
    credit_limit: CreditLimit
    is_frozen: IsFrozen
    thresholds: list[ThresholdData]
    created_at: Time


class MerchantsData(Struct, rename="camel"):
    """A page of merchants, oldest first."""

    merchants: list[MerchantData]
    next_cursor: NextCursor


class MerchantChange(Struct, rename="camel", forbid_unknown_fields=True):
    """What to change of a merchant; what is not named stays."""

    name: Name | UnsetType = UNSET
    thresholds: (
        Annotated[
            list[Annotated[str, Meta(extra_json_schema=POSITIVE)]],
            Meta(
                description="All of them; none to be silent.",
                examples=[["100.00", "20.00"]],
                extra_json_schema={"maxItems": THRESHOLDS_MAX},
            ),
        ]
        | UnsetType
    ) = UNSET
    credit_limit: Annotated[str, Meta(examples=["50.00"], extra_json_schema=NOT_NEGATIVE)] | UnsetType = UNSET


class TopUpRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Add money that a merchant has paid."""

    amount: AmountAsked
    reference: PaymentReference
    note: Annotated[str | None, Meta(examples=["wire of 2 May"], extra_json_schema=line(NOTE_CHARS_MAX))] = None


class AdjustmentRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Correct a balance by hand."""

    amount: Annotated[
        str, Meta(description="With a minus, it takes away.", examples=["-3.20"], extra_json_schema=SIGNED)
    ]
    reference: PaymentReference
    reason: Annotated[str, Meta(examples=["charged twice by mistake"], extra_json_schema=line(NOTE_CHARS_MAX))]


class ReversalRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Take a top-up back, or a part of it."""

    transfer_id: TransferId
    reference: PaymentReference
    reason: Annotated[str, Meta(examples=["the payment bounced"], extra_json_schema=line(NOTE_CHARS_MAX))]
    amount: Annotated[
        str | None,
        Meta(description="All that is left of it, if absent.", examples=["10.00"], extra_json_schema=POSITIVE),
    ] = None


class MoveData(Struct, rename="camel"):
    """A move of money that went through."""

    transfer_id: TransferId
    amount: Amount
    balance: PostedAfter
    available: AvailableAfter


class ApprovalData(Struct, rename="camel"):
    """A top-up or adjustment that waits for a second person, or did."""

    approval_id: ApprovalId
    merchant_id: MerchantId
    kind: Annotated[Literal["top_up", "adjustment"], Meta(examples=["top_up"])]
    amount: Amount
    reference: Annotated[str, Meta(examples=["INV-2026-001"])]
    note: str | None
    state: Annotated[Literal["pending", "approved", "rejected"], Meta(examples=["pending"])]
    requested_by: Annotated[str, Meta(examples=["ann"])]
    requested_at: Time
    decided_by: str | None
    decided_at: Time | None
    transfer_id: TransferId | None


class ApprovalsData(Struct, rename="camel"):
    """A page of requests for approval, newest first."""

    approvals: list[ApprovalData]
    next_cursor: NextCursor


class UserRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Register a person on a merchant's account."""

    email: Email


class UserData(Struct, rename="camel"):
    """A person registered on a merchant's account, who gets its alerts."""

    user_id: UserId
    email: Email
    created_at: Time


class UsersData(Struct, rename="camel"):
    """The people registered on a merchant's account, oldest first."""

    users: list[UserData]


class MerchantKeyRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Make an API key for a merchant."""

    expires: Annotated[TimeToCome | None, Meta(description="Never, if absent.")] = None


class StaffKeyRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Make an API key for one of the operator's services or support people."""

    kind: Annotated[Literal["service", "support"], Meta(examples=["service"])]
    name: Annotated[
        str,
        Meta(description="Which service or person.", examples=["recognition"], extra_json_schema=line(NAME_CHARS_MAX)),
    ]
    expires: Annotated[TimeToCome | None, Meta(description="Never, if absent.")] = None


class ExpireKeyRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Let an API key end at a time to come."""

    expires: TimeToCome


class RotateKeyRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Make an API key's successor."""

    overlap_seconds: Annotated[
        int,
        Meta(
            description="How long the old one goes on.",
            examples=[86400],
            extra_json_schema={"minimum": 0, "maximum": OVERLAP_SECONDS_MAX},
        ),
    ] = 86400


class KeyData(Struct, rename="camel"):
    """An API key, without its text, which nobody can read again."""

    key_id: KeyId
    kind: Annotated[Literal["merchant", "service", "support"], Meta(examples=["service"])]
    hint: Annotated[str, Meta(description="Its prefix and last four.", examples=["fbs_…8K2P"])]
    merchant_id: MerchantId | None
    name: Annotated[str | None, Meta(description="Which service or person.", examples=["recognition"])]
    created_at: Time
    expires_at: Time | None
    revoked_at: Time | None


class NewKeyData(Struct, rename="camel"):
    """An API key just made. Its text is shown this once and can't be read again."""

    api_key: Annotated[str, Meta(examples=["fbs_0123456789ABCDEFGHJKMNPQRS"])]
    key: KeyData


class KeysData(Struct, rename="camel"):
    """API keys, oldest first."""

    keys: list[KeyData]


class PriceRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Set a request type's price: a new version, never an edit."""

    type: RequestType
    unit_price: PriceAsked
    starts_at: Annotated[TimeToCome | None, Meta(description="Now, if absent; never in the past.")] = None


class PriceData(Struct, rename="camel"):
    """One version of a price, in force from its start until a later one starts."""

    price_id: Annotated[str, Meta(examples=["price_01K9ABCDEFGHJ"])]
    type: RequestType
    unit_price: Annotated[
        str | None, Meta(description="Null for a variable type.", examples=["0.008"], extra_json_schema=WRITTEN)
    ]
    starts_at: Time
    merchant_id: MerchantId | None


class PricesData(Struct, rename="camel"):
    """Versions of prices, by type and start."""

    prices: list[PriceData]


class AuditEntryData(Struct, rename="camel"):
    """Who did what from where."""

    at: Time
    person: Annotated[str, Meta(examples=["ann"])]
    key_id: KeyId | None
    address: Annotated[str | None, Meta(examples=["203.0.113.7"])]
    action: Annotated[str, Meta(examples=["top_up"])]
    merchant_id: MerchantId | None
    subject: Annotated[str | None, Meta(examples=["xfer_01K9ABCDEFGHJ00000002"])]
    detail: Annotated[str, Meta(examples=["top_up of 12.50 USD, INV-2026-001"])]


class AuditData(Struct, rename="camel"):
    """A page of the audit log, newest first."""

    entries: list[AuditEntryData]
    next_cursor: NextCursor
