"""Grants of credit: what was given, what is left of it and when it ends."""

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct
from msgspec.structs import asdict

from farebox.core import ids
from farebox.core.credit.grants import Grant, GrantState, GrantTerms
from farebox.core.money import format_amount
from farebox.core.transfers import Transfer
from farebox.presenters.fields import (
    BOOK_ID_CHARS,
    Amount,
    MerchantId,
    RequestType,
    Time,
    TransferId,
    id_schema,
    time_or_none,
)
from farebox.service import inputs

GRANT_STATE_WORDS: Final[dict[int, Literal["waiting", "open", "ended"]]] = {
    GrantState.WAITING: "waiting",
    GrantState.OPEN: "open",
    GrantState.ENDED: "ended",
}

ENDING_MAX: Final = 20
"""How many grants that end are told beside a balance: the soonest."""

GrantId = Annotated[
    str,
    Meta(
        description="The grant's id.",
        examples=["grant_01K9ABCDEFGHJ00000001"],
        extra_json_schema=id_schema("grant_", BOOK_ID_CHARS),
    ),
]
GrantTypes = Annotated[
    list[RequestType] | None, Meta(description="The request types that it pays for; null: all.", examples=[["image"]])
]


class GrantData(Struct, frozen=True, rename="camel"):
    """Credit that was given, not paid for."""

    grant_id: GrantId
    merchant_id: MerchantId
    state: Annotated[
        Literal["waiting", "open", "ended"],
        Meta(
            description="Waiting: it starts later. Open: it can be spent, as far as any of it is left.",
            examples=["open"],
        ),
    ]
    amount: Amount
    left: Annotated[Amount, Meta(description="What can be spent of it still; none of what holds have set aside.")]
    priority: Annotated[int, Meta(description="The lowest is spent first. Paid money has 0.", examples=[0])]
    starts_at: Time
    expires_at: Annotated[Time | None, Meta(description="Null: it does not end.")]
    ended_at: Annotated[Time | None, Meta(description="When it ended, or was ended before its time.")]
    types: GrantTypes
    reference: Annotated[str, Meta(examples=["WELCOME-1"])]
    reason: Annotated[str, Meta(examples=["for trying it out"])]
    transfer_id: Annotated[TransferId | None, Meta(description="The transfer that brought it; null while it waits.")]


class EndedGrantData(GrantData, frozen=True, rename="camel"):
    """A grant that was ended, and what was left of it and is taken back."""

    taken_back: Amount
    end_transfer_id: Annotated[TransferId | None, Meta(description="Null if nothing was left, or it had not started.")]


class TermsData(Struct, frozen=True, rename="camel"):
    """On which terms credit is to be given."""

    starts_at: Annotated[Time | None, Meta(description="Null: at once.")]
    expires_at: Annotated[Time | None, Meta(description="Null: it does not end.")]
    types: GrantTypes
    priority: Annotated[int, Meta(description="The lowest is spent first. Paid money has 0.", examples=[0])]


class EndingData(Struct, frozen=True, rename="camel"):
    """Given credit that ends."""

    grant_id: GrantId
    amount: Annotated[Amount, Meta(description="What is left of it now.")]
    expires_at: Annotated[Time, Meta(description="From when on it can't be spent.")]
    types: GrantTypes


def grant_transfer_id(grant: Grant) -> str | None:
    """Name the transfer that brought a grant; None if none did."""
    if grant.transfer_seq is None:
        return None
    return ids.book_id(ids.TRANSFER, merchant_id=grant.merchant_id, seq=grant.transfer_seq)


def grant_data(grant: Grant) -> GrantData:
    """Tell of a grant."""
    return GrantData(
        grant_id=grant.id,
        merchant_id=ids.public_id(ids.MERCHANT, grant.merchant_id),
        state=GRANT_STATE_WORDS[grant.state],
        amount=format_amount(grant.amount),
        left=format_amount(grant.left),
        priority=grant.priority,
        starts_at=inputs.format_time(grant.starts_at),
        expires_at=time_or_none(grant.expires_at),
        ended_at=time_or_none(grant.ended_at),
        types=types_of(grant.types),
        reference=grant.reference,
        reason=grant.reason,
        transfer_id=grant_transfer_id(grant),
    )


def ended_grant_data(grant: Grant, transfer: Transfer | None) -> EndedGrantData:
    """Tell of a grant that was ended by hand, and of the transfer that took back what was left, if any was."""
    return EndedGrantData(
        **asdict(grant_data(grant)),
        taken_back=format_amount(0 if transfer is None else transfer.amount),
        end_transfer_id=None if transfer is None else transfer.id,
    )


def ending_data(grant: Grant) -> EndingData:
    """Tell what ends when."""
    return EndingData(
        grant.id, format_amount(grant.left), inputs.format_time(grant.expires_at or 0), types_of(grant.types)
    )


def terms_data(terms: GrantTerms) -> TermsData:
    """Tell on which terms credit is to be given."""
    return TermsData(
        time_or_none(terms.starts_at), time_or_none(terms.expires_at), types_of(terms.types), terms.priority
    )


def types_of(types: str | None) -> list[str] | None:
    """List the request types that a grant pays for; None if it pays for all."""
    return None if types is None else types.split(" ")
