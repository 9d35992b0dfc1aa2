"""What support asks for, and what it is answered."""

from typing import Annotated, Any, ClassVar, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.core.alerting.runway_thresholds import DAYS_LEFT_MAX, RUNWAY_THRESHOLDS_MAX
from farebox.core.commands import NOTE_CHARS_MAX, REFERENCE_CHARS_MAX
from farebox.core.thresholds import THRESHOLDS_MAX
from farebox.presenters.approvals import ApprovalData
from farebox.presenters.audit_log import AuditEntryData
from farebox.presenters.fields import Email, Name, RequestType, TransferId, line_schema
from farebox.presenters.keys import KeyData, RoleName
from farebox.presenters.merchants import MerchantData
from farebox.presenters.notes import NoteData
from farebox.presenters.outbox import MailData
from farebox.presenters.prices import PriceData
from farebox.presenters.rules import RULE_REFERENCE
from farebox.presenters.shortfalls import ShortfallData
from farebox.presenters.users import UserData
from farebox.service.inputs import NAME_CHARS_MAX, OVERLAP_SECONDS_MAX, TAG_CHARS_MAX, TAGS_MAX
from farebox.web.schemas.common import (
    ANY_SIGN,
    NOT_NEGATIVE,
    POSITIVE,
    SIGNED,
    AmountPaid,
    Currency,
    Cursor,
    Limit,
    NextCursor,
    TimeToCome,
)

PaymentReference = Annotated[
    str,
    Meta(
        description="Unique per merchant; the same one again moves nothing more.",
        examples=["INV-2026-001"],
        extra_json_schema=line_schema(REFERENCE_CHARS_MAX),
    ),
]
PriceAsked = Annotated[
    str | None,
    Meta(
        description="What one request costs: 0 for a free type, null for a variable one, whose callers name the "
        "amount. A price has either this or a rule.",
        examples=["0.008"],
        extra_json_schema=NOT_NEGATIVE,
    ),
]
RuleAsked = Annotated[
    dict[str, Any],
    Meta(
        description="What requests cost by their quantities.",
        examples=[{"lines": [{"name": "input", "amount": "0.15", "per": 1_000_000}]}],
        extra_json_schema=RULE_REFERENCE,
    ),
]
"""Read by `service.price_texts`, which names each fault by its place."""


class PageQuery(Struct, rename="camel", forbid_unknown_fields=True):
    """A page of a list."""

    cursor: Cursor = None
    limit: Limit = 100


class MerchantPageQuery(Struct, rename="camel", forbid_unknown_fields=True):
    """A page of a list that may be of one merchant alone."""

    merchant: Annotated[str | None, Meta(description="This merchant's alone.", examples=["mer_01K9ABCDEFGHJ"])] = None
    cursor: Cursor = None
    limit: Limit = 100


class ShortfallsQuery(MerchantPageQuery, rename="camel", forbid_unknown_fields=True):
    """Which shortfalls to read."""

    format: Annotated[Literal["json", "csv"], Meta(description="How they are written.")] = "json"


class ShortfallsData(Struct, rename="camel"):
    """A page of transfers that took less than was due, newest first."""

    shortfalls: list[ShortfallData]
    next_cursor: NextCursor


class MerchantsQuery(PageQuery, rename="camel", forbid_unknown_fields=True):
    """Which merchants to list."""

    closed: Annotated[
        Annotated[Literal["true", "false"], Meta(title="TrueOrFalse")] | None,
        Meta(description="Those alone that are closed, or are not; all, if absent."),
    ] = None
    tag: Annotated[str | None, Meta(description="Those with this tag alone.", examples=["vip"])] = None
    format: Annotated[Literal["json", "csv"], Meta(description="How they are written.")] = "json"


class ClosingRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Close a merchant, or open it again."""

    reason: Annotated[
        str,
        Meta(
            description="It stands in the audit log.",
            examples=["moved to another provider"],
            extra_json_schema=line_schema(NOTE_CHARS_MAX),
        ),
    ]


class NoteRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Note something about a merchant."""

    text: Annotated[str, Meta(examples=["pays by the quarter"], extra_json_schema=line_schema(NOTE_CHARS_MAX))]


class NotesData(Struct, rename="camel"):
    """A page of notes, newest first."""

    notes: list[NoteData]
    next_cursor: NextCursor


class OutboxQuery(Struct, rename="camel", forbid_unknown_fields=True):
    """The newest mails, of one merchant alone or of all."""

    merchant: Annotated[str | None, Meta(description="This merchant's alone.", examples=["mer_01K9ABCDEFGHJ"])] = None
    limit: Limit = 100


class RevenueQuery(Struct, rename="camel", forbid_unknown_fields=True):
    """Which month's revenue to read."""

    month: Annotated[
        str | None,
        Meta(
            description="The month, in UTC; the present one, if absent. One that is not over is told as far as it is.",
            examples=["2026-11"],
            extra_json_schema={"pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$"},
        ),
    ] = None
    format: Annotated[Literal["json", "csv"], Meta(description="JSON, or CSV for a spreadsheet.")] = "json"


class OutboxData(Struct, rename="camel"):
    """The newest mails, newest first."""

    mails: list[MailData]


class MerchantRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Add a merchant."""

    name: Name
    currency: Currency
    threshold: Annotated[
        str | None,
        Meta(
            description="Warn below this posted balance; negative ones reach down to the credit limit.",
            examples=["100.00"],
            extra_json_schema=ANY_SIGN,
        ),
    ] = None
    thresholds: Annotated[
        list[Annotated[str, Meta(extra_json_schema=ANY_SIGN)]] | None,
        Meta(
            description=f"Up to {THRESHOLDS_MAX} thresholds, instead of one.",
            examples=[["100.00", "20.00"]],
            extra_json_schema={"maxItems": THRESHOLDS_MAX},
        ),
    ] = None
    credit_limit: Annotated[
        str,
        Meta(
            description="How far below zero the merchant may spend. No finer than the currency.",
            examples=["0"],
            extra_json_schema=NOT_NEGATIVE,
        ),
    ] = "0"


class MerchantsData(Struct, rename="camel"):
    """A page of merchants, oldest first."""

    merchants: list[MerchantData]
    next_cursor: NextCursor


class MerchantChange(Struct, rename="camel", forbid_unknown_fields=True):
    """What to change of a merchant; what is not named stays."""

    name: Name | UnsetType = UNSET
    thresholds: (
        Annotated[
            list[Annotated[str, Meta(extra_json_schema=ANY_SIGN)]],
            Meta(
                description="All of them; none to be silent.",
                examples=[["100.00", "20.00"]],
                extra_json_schema={"maxItems": THRESHOLDS_MAX},
            ),
        ]
        | UnsetType
    ) = UNSET
    runway_thresholds: (
        Annotated[
            list[Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": DAYS_LEFT_MAX})]],
            Meta(
                description="The days left to be warned below, all of them; none to be silent.",
                examples=[[14, 3]],
                extra_json_schema={"maxItems": RUNWAY_THRESHOLDS_MAX},
            ),
        ]
        | UnsetType
    ) = UNSET
    credit_limit: Annotated[str, Meta(examples=["50.00"], extra_json_schema=NOT_NEGATIVE)] | UnsetType = UNSET
    tags: (
        Annotated[
            list[Annotated[str, Meta(extra_json_schema=line_schema(TAG_CHARS_MAX))]],
            Meta(
                description="All of them, without commas, in lower case; none to have no tag.",
                examples=[["vip", "eu"]],
                extra_json_schema={"maxItems": TAGS_MAX},
            ),
        ]
        | UnsetType
    ) = UNSET


class TopUpRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Add money that a merchant has paid."""

    amount: AmountPaid
    reference: PaymentReference
    note: Annotated[str | None, Meta(examples=["wire of 2 May"], extra_json_schema=line_schema(NOTE_CHARS_MAX))] = None


class AdjustmentRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Correct a balance by hand."""

    amount: Annotated[
        str,
        Meta(
            description="With a minus, it takes away. No finer than the currency.",
            examples=["-3.20"],
            extra_json_schema=SIGNED,
        ),
    ]
    reference: PaymentReference
    reason: Annotated[str, Meta(examples=["charged twice by mistake"], extra_json_schema=line_schema(NOTE_CHARS_MAX))]


class ReversalRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Take a top-up back, or a part of it."""

    transfer_id: TransferId
    reference: PaymentReference
    reason: Annotated[str, Meta(examples=["the payment bounced"], extra_json_schema=line_schema(NOTE_CHARS_MAX))]
    amount: Annotated[
        str | None,
        Meta(
            description="All that is left of it, if absent. No finer than the currency.",
            examples=["10.00"],
            extra_json_schema=POSITIVE,
        ),
    ] = None
    owed: Annotated[
        bool,
        Meta(
            description="Whether the merchant owes what was spent already and can't be taken back: what comes in next "
            "pays it, and nothing can be spent until then. If not, the whole is refused.",
            examples=[False],
        ),
    ] = False


class ApprovalsData(Struct, rename="camel"):
    """A page of requests for approval, newest first."""

    approvals: list[ApprovalData]
    next_cursor: NextCursor


class UserRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Register a person on a merchant's account."""

    email: Email


class UsersData(Struct, rename="camel"):
    """The people registered on a merchant's account, oldest first."""

    users: list[UserData]


class MerchantKeyRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Make an API key for a merchant."""

    name: Annotated[
        str | None,
        Meta(
            description="What the merchant uses it for.",
            examples=["batch jobs"],
            extra_json_schema=line_schema(NAME_CHARS_MAX),
        ),
    ] = None
    expires: Annotated[TimeToCome | None, Meta(description="Never, if absent.")] = None


class StaffKeyRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Make an API key for one of the operator's services or support people."""

    kind: Annotated[Literal["service", "support"], Meta(examples=["service"])]
    name: Annotated[
        str,
        Meta(
            description="Which service or person.",
            examples=["recognition"],
            extra_json_schema=line_schema(NAME_CHARS_MAX),
        ),
    ]
    expires: Annotated[TimeToCome | None, Meta(description="Never, if absent.")] = None
    roles: Annotated[
        list[RoleName] | None,
        Meta(
            description="What a support key may do: no more than who makes it may, and that much if absent.",
            examples=[["support"]],
        ),
    ] = None


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


class RenameKeyRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Give an API key another name."""

    name: Annotated[
        str | None,
        Meta(
            description="Null takes a merchant's key its name; a service's or support's must have one.",
            examples=["batch jobs"],
            extra_json_schema=line_schema(NAME_CHARS_MAX),
        ),
    ]


BudgetAmount = Annotated[
    str | None,
    Meta(
        description="In the merchant's currency; 0 allows nothing. No such limit, if absent.",
        examples=["10.00"],
        extra_json_schema=NOT_NEGATIVE,
    ),
]


class KeyBudgetRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Say what a merchant's API key may spend; without a limit it has no budget."""

    day: BudgetAmount = None
    week: BudgetAmount = None
    month: BudgetAmount = None
    total: BudgetAmount = None
    time_zone: Annotated[
        str,
        Meta(
            description="The IANA time zone whose days, weeks (from Monday) and months these are.",
            examples=["Europe/Berlin"],
        ),
    ] = "UTC"

    @property
    def limits(self) -> dict[str, str]:
        """The limits that are named."""
        named = {"day": self.day, "week": self.week, "month": self.month, "total": self.total}
        return {word: amount for word, amount in named.items() if amount is not None}


class KeysData(Struct, rename="camel"):
    """API keys, oldest first."""

    keys: list[KeyData]


class PriceRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Set a request type's price: a new version, never an edit."""

    NEEDS_ONE_OF: ClassVar = ("unitPrice", "rule")

    type: RequestType
    unit_price: PriceAsked | UnsetType = UNSET
    rule: RuleAsked | UnsetType = UNSET
    starts_at: Annotated[TimeToCome | None, Meta(description="Now, if absent; never in the past.")] = None


class EndPriceRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """End a request type's price by a version that has none."""

    type: RequestType
    starts_at: Annotated[TimeToCome | None, Meta(description="Now, if absent; never in the past.")] = None


class PricesData(Struct, rename="camel"):
    """A page of versions of prices, by type and start."""

    prices: list[PriceData]
    next_cursor: NextCursor


class AuditData(Struct, rename="camel"):
    """A page of the audit log, newest first."""

    entries: list[AuditEntryData]
    next_cursor: NextCursor
