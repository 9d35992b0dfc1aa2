"""Holds: what is set aside, for what, since when and until when; and what became of one by hand."""

from typing import Annotated, Final

from msgspec import Meta, Struct

from farebox.core import ids
from farebox.core.holds import Hold
from farebox.core.money import format_amount
from farebox.core.transfers import Transfer
from farebox.presenters.fields import (
    Amount,
    AvailableAfter,
    HoldId,
    MerchantId,
    PostedAfter,
    RequestType,
    Time,
    TransferId,
)
from farebox.service import inputs
from farebox.service.languages import ENGLISH, Language, ngettext_noop
from farebox.service.ledger.open_holds import OpenHold

_UNITS: Final = (
    (86_400, ngettext_noop("%(count)s day", "%(count)s days")),
    (3_600, ngettext_noop("%(count)s hour", "%(count)s hours")),
    (60, ngettext_noop("%(count)s minute", "%(count)s minutes")),
    (1, ngettext_noop("%(count)s second", "%(count)s seconds")),
)


class OpenHoldData(Struct, frozen=True, rename="camel"):
    """A hold that is neither captured nor released, and has not expired."""

    hold_id: HoldId
    merchant_id: MerchantId
    transfer_id: Annotated[TransferId, Meta(description="The transfer that made it.")]
    type: RequestType
    amount: Amount
    quantity: Annotated[int, Meta(description="How many requests are held.", examples=[3])]
    pricing: Annotated[
        str | None,
        Meta(
            description="The quantities that are held, and what else the price went by, if it is a rule; as in "
            "statements.",
            examples=["input=1200,output=350"],
        ),
    ]
    created_at: Time
    expires_at: Time
    reference: Annotated[str | None, Meta(description="The caller's own.", examples=["job-8812"])]


class ReleaseData(Struct, frozen=True, rename="camel"):
    """A hold that was released."""

    hold_id: HoldId
    transfer_id: TransferId
    released: Amount
    balance: PostedAfter
    available: AvailableAfter


class ExtendData(Struct, frozen=True, rename="camel"):
    """A hold, and when it ends now."""

    hold_id: HoldId
    amount: Amount
    expires_at: Time


def open_hold_data(open_hold: OpenHold) -> OpenHoldData:
    """Tell of an open hold."""
    hold, made_by = open_hold.hold, open_hold.made_by
    return OpenHoldData(
        hold_id=hold.id,
        merchant_id=ids.public_id(ids.MERCHANT, hold.merchant_id),
        transfer_id=made_by.id,
        type=hold.request_type or "",
        amount=format_amount(hold.amount),
        quantity=hold.quantity,
        pricing=made_by.pricing,
        created_at=inputs.format_time(made_by.committed_at),
        expires_at=inputs.format_time(hold.expires_at),
        reference=made_by.reference,
    )


def release_data(hold_id: str, transfer: Transfer) -> ReleaseData:
    """Tell of a hold that a transfer released."""
    return ReleaseData(
        hold_id=hold_id,
        transfer_id=transfer.id,
        released=format_amount(transfer.amount),
        balance=format_amount(transfer.posted_after),
        available=format_amount(transfer.wallet_after),
    )


def extend_data(hold: Hold) -> ExtendData:
    """Tell when a hold ends now."""
    return ExtendData(
        hold_id=hold.id, amount=format_amount(hold.amount), expires_at=inputs.format_time(hold.expires_at)
    )


def span_words(micros: int, spoken: Language = ENGLISH) -> str:
    """Write how long something lasts or lasted, to its largest unit: 40 seconds, 3 minutes, 2 hours, 5 days."""
    seconds = max(0, micros) // 1_000_000
    size, (one, many) = next((unit for unit in _UNITS if seconds >= unit[0]), _UNITS[-1])
    return spoken.ngettext(one, many, seconds // size)
