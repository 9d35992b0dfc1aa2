"""Shortfalls: what requests left uncollected and what is owed, as JSON and CSV have it."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from farebox.core import ids
from farebox.core.accounts import Kind
from farebox.core.money import format_amount
from farebox.presenters.fields import AMOUNT_OUT, Amount, MerchantId, Time, TransferId
from farebox.service import inputs
from farebox.service.csv_files import csv_of
from farebox.service.ledger.shortfalls import ShortTransfer
from farebox.service.operator.console import MerchantRow

_TEXTS: Final = frozenset({"type", "reference"})


class ShortfallData(Struct, frozen=True, rename="camel"):
    """A transfer that took less than was due."""

    transfer_id: TransferId
    merchant_id: MerchantId
    committed_at: Time
    kind: Annotated[
        Literal["charge", "top_up_reversal"],
        Meta(description="A reversal's missing part is owed.", examples=["charge"]),
    ]
    type: Annotated[str | None, Meta(description="The request type, of a charge.", examples=["image"])]
    currency: Annotated[str, Meta(examples=["USD"])]
    amount: Annotated[Amount, Meta(description="What was taken.")]
    uncollected: Annotated[Amount, Meta(description="What was missing.")]
    owed: Annotated[
        str,
        Meta(
            description="What is still to be paid of it; of a charge nothing, as no more is taken for it later.",
            examples=["0.00"],
            extra_json_schema=AMOUNT_OUT,
        ),
    ]
    refers_to: Annotated[
        TransferId | None, Meta(description="The top-up that was taken back, or the hold that was captured.")
    ]
    reference: Annotated[str | None, Meta(description="The transfer's own.", examples=["job-8812"])]


def shortfall_data(row: ShortTransfer, currency: str) -> ShortfallData:
    """Tell of a shortfall."""
    shortfall, transfer = row.shortfall, row.transfer
    refers_to = transfer.refers_to
    return ShortfallData(
        transfer_id=transfer.id,
        merchant_id=ids.public_id(ids.MERCHANT, transfer.merchant_id),
        committed_at=inputs.format_time(transfer.committed_at),
        kind="charge" if transfer.kind == Kind.CHARGE else "top_up_reversal",
        type=transfer.request_type,
        currency=currency,
        amount=format_amount(transfer.amount),
        uncollected=format_amount(shortfall.amount),
        owed=format_amount(shortfall.owed),
        refers_to=None
        if refers_to is None
        else ids.book_id(ids.TRANSFER, merchant_id=transfer.merchant_id, seq=refers_to),
        reference=transfer.reference,
    )


def shortfalls_csv(rows: Iterable[ShortTransfer], merchants: Mapping[int, MerchantRow]) -> bytes:
    """Write shortfalls as CSV; `merchants` are theirs, by their numbers."""
    data = [shortfall_data(row, merchants[row.transfer.merchant_id].account.currency) for row in rows]
    return csv_of(ShortfallData, data, texts=_TEXTS)
