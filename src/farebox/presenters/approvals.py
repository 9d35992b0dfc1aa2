"""A request for approval: a move of money or a credit limit that waits for a second person, or did."""

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from farebox.core import ids
from farebox.core.approvals import Approval, ApprovalState, RequestKind
from farebox.core.credit.grants import read_terms
from farebox.core.money import format_amount
from farebox.presenters.fields import AMOUNT_OUT, MerchantId, Time, TransferId, id_schema, time_or_none
from farebox.presenters.grants import TermsData, terms_data
from farebox.service import inputs

APPROVAL_STATE_WORDS: Final[dict[int, Literal["pending", "approved", "rejected"]]] = {
    ApprovalState.PENDING: "pending",
    ApprovalState.APPROVED: "approved",
    ApprovalState.REJECTED: "rejected",
}

_KindWord = Literal["top_up", "adjustment", "refund", "grant", "credit_limit"]
_KIND_WORDS: Final[dict[int, _KindWord]] = {
    RequestKind.TOP_UP: "top_up",
    RequestKind.REFUND: "refund",
    RequestKind.ADJUSTMENT_CREDIT: "adjustment",
    RequestKind.ADJUSTMENT_DEBIT: "adjustment",
    RequestKind.GRANT: "grant",
    RequestKind.CREDIT_LIMIT: "credit_limit",
}

ApprovalId = Annotated[
    str, Meta(description="The request's id.", examples=["appr_01K9ABCDEFGHJ"], extra_json_schema=id_schema("appr_"))
]


class ApprovalData(Struct, frozen=True, rename="camel"):
    """A move of money or a credit limit that waits for a second person, or did."""

    approval_id: ApprovalId
    merchant_id: MerchantId
    kind: Annotated[_KindWord, Meta(examples=["top_up"])]
    amount: Annotated[
        str,
        Meta(
            description="Of a credit limit, the limit that was asked for.",
            examples=["500.00"],
            extra_json_schema=AMOUNT_OUT,
        ),
    ]
    reference: Annotated[str | None, Meta(examples=["INV-2026-001"])]
    note: str | None
    state: Annotated[Literal["pending", "approved", "rejected"], Meta(examples=["pending"])]
    requested_by: Annotated[str, Meta(examples=["ann"])]
    requested_at: Time
    decided_by: str | None
    decided_at: Time | None
    transfer_id: TransferId | None
    refers_to: Annotated[TransferId | None, Meta(description="What a refund would give back.")]
    terms: Annotated[TermsData | None, Meta(description="On which terms credit would be given; null for all else.")]


def approval_data(approval: Approval) -> ApprovalData:
    """Tell of a request for approval; an adjustment that takes away has a minus."""
    return ApprovalData(
        approval_id=approval.id,
        merchant_id=ids.public_id(ids.MERCHANT, approval.merchant_id),
        kind=_KIND_WORDS[approval.kind],
        amount=format_amount(approval.signed_amount),
        reference=approval.reference,
        note=approval.note,
        state=APPROVAL_STATE_WORDS[approval.state],
        requested_by=approval.requested_by,
        requested_at=inputs.format_time(approval.requested_at),
        decided_by=approval.decided_by,
        decided_at=time_or_none(approval.decided_at),
        transfer_id=_transfer_id(approval, approval.transfer_seq),
        refers_to=_transfer_id(approval, approval.refers_to),
        terms=None if approval.terms is None else terms_data(read_terms(approval.terms)[1]),
    )


def _transfer_id(approval: Approval, seq: int | None) -> str | None:
    return None if seq is None else ids.book_id(ids.TRANSFER, merchant_id=approval.merchant_id, seq=seq)
