"""Money that support moves: top-ups, their reversals, adjustments."""

from typing import Final

from farebox.core.outcomes import Code
from farebox.core.permissions import Operation
from farebox.presenters.approvals import ApprovalData
from farebox.presenters.moves import MoveData
from farebox.web.api.answers import answer_move
from farebox.web.api.paths import MERCHANT_PATH, merchant_in_path
from farebox.web.api_route import SUPPORT, Answer, ApiRequest, Endpoints, route
from farebox.web.schemas.admin import AdjustmentRequest, ReversalRequest, TopUpRequest

_WAITS: Final = "Above the operator's limit it waits for another support person's approval: then the answer is 202."
_REQUEST_REFUSALS: Final = (
    Code.MERCHANT_NOT_FOUND,
    Code.MERCHANT_CLOSED,
    Code.IDEMPOTENCY_CONFLICT,
    Code.APPROVAL_ALREADY_REJECTED,
    Code.AMOUNT_TOO_FINE,
    Code.BALANCE_LIMIT_EXCEEDED,
)


class MoveEndpoints(Endpoints):
    """Moves of money by hand."""

    @route(
        method="POST",
        path=f"{MERCHANT_PATH}/topups",
        keys=SUPPORT,
        summary="Top a merchant up",
        data=MoveData,
        operations=(Operation.TOP_UP,),
        accepted=ApprovalData,
        refusals=_REQUEST_REFUSALS,
        description=_WAITS,
        is_made_once=True,
    )
    async def top_up(self, request: ApiRequest, body: TopUpRequest) -> Answer:
        """Add money that the merchant has paid."""
        await self._services.repeats.bind(request.request_key(body))
        return answer_move(
            await self._services.operations.top_up(
                merchant_in_path(request),
                amount=body.amount,
                reference=body.reference,
                note=body.note,
                principal=request.principal,
            )
        )

    @route(
        method="POST",
        path=f"{MERCHANT_PATH}/adjustments",
        keys=SUPPORT,
        summary="Correct a balance by hand",
        data=MoveData,
        operations=(Operation.ADJUST,),
        accepted=ApprovalData,
        refusals=(*_REQUEST_REFUSALS, Code.INSUFFICIENT_BALANCE),
        description=_WAITS,
        is_made_once=True,
    )
    async def adjust_balance(self, request: ApiRequest, body: AdjustmentRequest) -> Answer:
        """Correct a balance by hand."""
        await self._services.repeats.bind(request.request_key(body))
        return answer_move(
            await self._services.operations.adjust(
                merchant_in_path(request),
                amount=body.amount,
                reference=body.reference,
                reason=body.reason,
                principal=request.principal,
            )
        )

    @route(
        method="POST",
        path=f"{MERCHANT_PATH}/reversals",
        keys=SUPPORT,
        summary="Take a top-up back, or a part of it",
        data=MoveData,
        operations=(Operation.REVERSE_TOP_UP,),
        refusals=(
            Code.MERCHANT_NOT_FOUND,
            Code.MERCHANT_CLOSED,
            Code.IDEMPOTENCY_CONFLICT,
            Code.TRANSFER_NOT_FOUND,
            Code.TRANSFER_NOT_REVERSIBLE,
            Code.REVERSAL_EXCEEDS_TOP_UP,
            Code.AMOUNT_TOO_FINE,
            Code.BALANCE_LIMIT_EXCEEDED,
            Code.INSUFFICIENT_BALANCE,
        ),
        is_made_once=True,
    )
    async def reverse_top_up(self, request: ApiRequest, body: ReversalRequest) -> Answer:
        """Take a top-up back, or a part of it."""
        await self._services.repeats.bind(request.request_key(body))
        return answer_move(
            await self._services.operations.reverse_top_up(
                merchant_in_path(request),
                transfer=body.transfer_id,
                amount=body.amount,
                reference=body.reference,
                reason=body.reason,
                is_owed=body.owed,
                principal=request.principal,
            )
        )
