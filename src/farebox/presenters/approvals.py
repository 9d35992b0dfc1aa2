"""A request for approval: a top-up or adjustment that waits for a second person, or did."""

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from farebox.core import ids
from farebox.core.accounts import Kind
from farebox.core.approvals import Approval, ApprovalState
from farebox.core.money import format_amount
from farebox.presenters.fields import Amount, MerchantId, Time, TransferId, id_schema, time_or_none
from farebox.service import inputs

APPROVAL_STATE_WORDS: Final[dict[int, Literal["pending", "approved", "rejected"]]] = {
    ApprovalState.PENDING: "pending",
    ApprovalState.APPROVED: "approved",
    ApprovalState.REJECTED: "rejected",
}

ApprovalId = Annotated[
    str, Meta(description="The request's id.", examples=["appr_01K9ABCDEFGHJ"], extra_json_schema=id_schema("appr_"))
]


class ApprovalData(Struct, frozen=True, rename="camel"):
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


def approval_data(approval: Approval) -> ApprovalData:
    """Tell of a request for approval; an adjustment that takes away has a minus."""
    seq = approval.transfer_seq
    sign = "-" if approval.kind == Kind.ADJUSTMENT_DEBIT else ""
    return ApprovalData(
        approval_id=approval.id,
        merchant_id=ids.public_id(ids.MERCHANT, approval.merchant_id),
        kind="top_up" if approval.kind == Kind.TOP_UP else "adjustment",
        amount=sign + format_amount(approval.amount),
        reference=approval.reference,
        note=approval.note,
        state=APPROVAL_STATE_WORDS[approval.state],
        requested_by=approval.requested_by,
        requested_at=inputs.format_time(approval.requested_at),
        decided_by=approval.decided_by,
        decided_at=time_or_none(approval.decided_at),
        transfer_id=None if seq is None else ids.book_id(ids.TRANSFER, merchant_id=approval.merchant_id, seq=seq),
    )
