"""Refunds of charges and captures, by a service or by support."""

from farebox.core import ids
from farebox.core.money import format_amount
from farebox.core.outcomes import Code
from farebox.core.permissions import Operation
from farebox.presenters.approvals import ApprovalData
from farebox.service.errors import transfer_of
from farebox.web.api.answers import answer, replay_headers, waiting_answer
from farebox.web.api_route import SERVICE, SUPPORT, Answer, ApiRequest, Endpoints, route
from farebox.web.schemas.spending import RefundData, RefundRequest


class RefundEndpoints(Endpoints):
    """Giving back what was charged."""

    @route(
        method="POST",
        path="/api/refunds",
        keys=SERVICE | SUPPORT,
        summary="Give back a charge or capture, or part of it",
        data=RefundData,
        accepted=ApprovalData,
        description=(
            "Support's refund above the operator's limit waits for another person's approval: then the answer is 202. "
            "A service's is refused if one person made the service's key."
        ),
        operations=(Operation.REFUND,),
        refusals=(
            Code.MERCHANT_CLOSED,
            Code.IDEMPOTENCY_CONFLICT,
            Code.APPROVAL_ALREADY_REJECTED,
            Code.APPROVAL_REQUIRED,
            Code.TRANSFER_NOT_FOUND,
            Code.TRANSFER_NOT_REFUNDABLE,
            Code.REFUND_EXCEEDS_TRANSFER,
            Code.BALANCE_LIMIT_EXCEEDED,
        ),
    )
    async def refund(self, request: ApiRequest, body: RefundRequest) -> Answer:
        """Give back a charge or capture, in whole or in part."""
        outcome = await self._services.operations.refund(
            body.transfer_id,
            idempotency_key=body.idempotency_key,
            amount=body.amount,
            reference=body.reference,
            note=body.note,
            caller=request.caller,
            principal=request.support,
        )
        waits = waiting_answer(outcome)
        if waits is not None:
            return waits
        transfer = transfer_of(outcome)
        data = RefundData(
            transfer_id=transfer.id,
            refers_to=ids.book_id(ids.TRANSFER, merchant_id=transfer.merchant_id, seq=transfer.refers_to or 0),
            amount=format_amount(transfer.amount),
            balance=format_amount(transfer.posted_after),
            available=format_amount(transfer.wallet_after),
        )
        return answer(data, replay_headers(is_replay=outcome.is_replay))
