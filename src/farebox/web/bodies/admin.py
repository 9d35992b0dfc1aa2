"""What support asks for, and what it is answered."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.web.bodies.common import (
    Amount,
    AvailableAfter,
    MerchantId,
    PostedAfter,
    ThresholdData,
    Time,
    TransferId,
)

Name = Annotated[str, Meta(description="One line.", examples=["Northwind Imaging"])]
KeyId = Annotated[str, Meta(description="The key's id.", examples=["key_01K9ABCDEFGHJ"])]
UserId = Annotated[str, Meta(description="The person's id.", examples=["user_01K9ABCDEFGHJ"])]
ApprovalId = Annotated[str, Meta(description="The request's id.", examples=["appr_01K9ABCDEFGHJ"])]
PaymentReference = Annotated[
    str, Meta(description="Unique per merchant; the same one again moves nothing more.", examples=["INV-2026-001"])
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
    currency: Annotated[str, Meta(description="ISO 4217; fixed for ever.", examples=["USD"])]
    threshold: Annotated[str | None, Meta(description="Warn below this posted balance.", examples=["100.00"])] = None
    thresholds: Annotated[
        list[str] | None, Meta(description="Up to five thresholds, instead of one.", examples=[["100.00", "20.00"]])
    ] = None
    credit_limit: Annotated[str, Meta(description="How far below zero the merchant may spend.", examples=["0"])] = "0"


class NewMerchantData(Struct, rename="camel"):
    """A merchant just added. The key is shown this once and can't be read again."""

    merchant_id: MerchantId
    name: Name
    currency: Annotated[str, Meta(examples=["USD"])]
    credit_limit: Amount
    thresholds: list[ThresholdData]
    api_key: Annotated[str, Meta(examples=["fbm_01K9ABCDEFGHJ0123456789ABCDEFGHJKMNPQRST"])]


class MerchantData(Struct, rename="camel"):
    """A merchant and its account."""

    merchant_id: MerchantId
    name: Name
    currency: Annotated[str, Meta(examples=["USD"])]
    posted: Amount
    held: Amount
    available: Amount
    credit_limit: Amount
    is_frozen: bool
    thresholds: list[ThresholdData]
    created_at: Time


class MerchantsData(Struct, rename="camel"):
    """A page of merchants, oldest first."""

    merchants: list[MerchantData]
    next_cursor: NextCursor


class MerchantChange(Struct, rename="camel", forbid_unknown_fields=True):
    """What to change of a merchant; what is not named stays."""

    name: Name | UnsetType = UNSET
    thresholds: Annotated[list[str], Meta(description="All of them; none to be silent.")] | UnsetType = UNSET
    credit_limit: Annotated[str, Meta(examples=["50.00"])] | UnsetType = UNSET


class TopUpRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Add money that a merchant has paid."""

    amount: Amount
    reference: PaymentReference
    note: Annotated[str | None, Meta(examples=["wire of 2 May"])] = None


class AdjustmentRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Correct a balance by hand."""

    amount: Annotated[str, Meta(description="With a minus, it takes away.", examples=["-3.20"])]
    reference: PaymentReference
    reason: Annotated[str, Meta(examples=["charged twice by mistake"])]


class ReversalRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Take a top-up back, or a part of it."""

    transfer_id: TransferId
    reference: PaymentReference
    reason: Annotated[str, Meta(examples=["the payment bounced"])]
    amount: Annotated[str | None, Meta(description="All that is left of it, if absent.", examples=["10.00"])] = None


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
    kind: Literal["top_up", "adjustment"]
    amount: Amount
    reference: str
    note: str | None
    state: Literal["pending", "approved", "rejected"]
    requested_by: str
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

    email: Annotated[str, Meta(examples=["ann@northwind.example"])]


class UserData(Struct, rename="camel"):
    """A person registered on a merchant's account, who gets its alerts."""

    user_id: UserId
    email: Annotated[str, Meta(examples=["ann@northwind.example"])]
    created_at: Time


class UsersData(Struct, rename="camel"):
    """The people registered on a merchant's account, oldest first."""

    users: list[UserData]


class MerchantKeyRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Make an API key for a merchant."""

    expires: Annotated[Time | None, Meta(description="Never, if absent.")] = None


class StaffKeyRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Make an API key for one of the operator's services or support people."""

    kind: Literal["service", "support"]
    name: Annotated[str, Meta(description="Which service or person.", examples=["recognition"])]
    expires: Annotated[Time | None, Meta(description="Never, if absent.")] = None


class ExpireKeyRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Let an API key end at a time to come."""

    expires: Time


class RotateKeyRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Make an API key's successor."""

    overlap_seconds: Annotated[int, Meta(description="How long the old one goes on.", examples=[86400])] = 86400


class KeyData(Struct, rename="camel"):
    """An API key, without its text, which nobody can read again."""

    key_id: KeyId
    kind: Literal["merchant", "service", "support"]
    hint: Annotated[str, Meta(description="Its prefix and last four.", examples=["fbm_…8K2P"])]
    merchant_id: MerchantId | None
    name: str | None
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

    type: Annotated[str, Meta(examples=["image"])]
    unit_price: Annotated[
        str | None, Meta(description="Null for a variable type, whose callers name the amount.", examples=["0.008"])
    ]
    starts_at: Annotated[Time | None, Meta(description="Now, if absent; never in the past.")] = None


class PriceData(Struct, rename="camel"):
    """One version of a price, in force from its start until a later one starts."""

    price_id: Annotated[str, Meta(examples=["price_01K9ABCDEFGHJ"])]
    type: Annotated[str, Meta(examples=["image"])]
    unit_price: Amount | None
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
