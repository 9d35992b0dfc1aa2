"""Requests for approval, as support lists and decides them."""

from typing import Final

from farebox.core import ids
from farebox.core.outcomes import Code
from farebox.core.permissions import Operation
from farebox.presenters.approvals import ApprovalData, approval_data
from farebox.presenters.moves import ApprovedData, approved_grant_data, approved_limit_data
from farebox.service import inputs
from farebox.service.errors import Refused, ensure_done
from farebox.web.api.answers import answer, answer_move, replay_headers
from farebox.web.api.paths import MERCHANT_PATH, approval_in_path, merchant_in_path, merchant_in_query
from farebox.web.api_route import SUPPORT, Answer, ApiRequest, Endpoints, route
from farebox.web.schemas.admin import ApprovalsData, MerchantPageQuery

_APPROVAL_PATH: Final = f"{MERCHANT_PATH}/approvals/{{approval_id:str}}"


class ApprovalEndpoints(Endpoints):
    """Moves of money that wait for a second person."""

    @route(
        method="GET",
        path="/api/admin/approvals",
        keys=SUPPORT,
        summary="List requests for approval, newest first",
        data=ApprovalsData,
    )
    async def list_approvals(self, request: ApiRequest, query: MerchantPageQuery) -> Answer:
        """List a page of requests for approval."""
        approvals = await self._services.approvals.page(
            merchant_id=merchant_in_query(query),
            before=None if query.cursor is None else inputs.public_id("cursor", ids.APPROVAL, query.cursor),
            limit=query.limit,
        )
        more = len(approvals) == query.limit
        return answer(
            ApprovalsData([approval_data(approval) for approval in approvals], approvals[-1].id if more else None)
        )

    @route(
        method="POST",
        path=f"{_APPROVAL_PATH}/approve",
        keys=SUPPORT,
        summary="Approve a request, which is then made",
        data=ApprovedData,
        operations=(Operation.DECIDE_APPROVAL,),
        refusals=(
            Code.MERCHANT_NOT_FOUND,
            Code.MERCHANT_CLOSED,
            Code.IDEMPOTENCY_CONFLICT,
            Code.APPROVAL_NOT_FOUND,
            Code.APPROVAL_ALREADY_REJECTED,
            Code.APPROVAL_NEEDS_ANOTHER_PERSON,
            Code.REFUND_EXCEEDS_TRANSFER,
            Code.CREDIT_LIMIT_IN_USE,
            Code.GRANT_TIMES_OUT_OF_BOUNDS,
            Code.AMOUNT_TOO_FINE,
            Code.BALANCE_LIMIT_EXCEEDED,
            Code.INSUFFICIENT_BALANCE,
        ),
    )
    async def approve(self, request: ApiRequest) -> Answer:
        """Approve a request."""
        merchant_id, approval_id = merchant_in_path(request), approval_in_path(request)
        outcome = await self._services.approvals.approve(merchant_id, approval_id, principal=request.principal)
        ensure_done(outcome)
        if outcome.transfer is not None:
            return answer_move(outcome)
        _, account = await self._services.merchants.get(merchant_id)
        if outcome.grant is not None:
            return answer(approved_grant_data(outcome.grant, account), replay_headers(is_replay=outcome.is_replay))
        return answer(approved_limit_data(account), replay_headers(is_replay=outcome.is_replay))

    @route(
        method="POST",
        path=f"{_APPROVAL_PATH}/reject",
        keys=SUPPORT,
        summary="Reject a request, or take one's own back",
        data=ApprovalData,
        operations=(Operation.DECIDE_APPROVAL,),
        refusals=(Code.MERCHANT_NOT_FOUND, Code.APPROVAL_NOT_FOUND, Code.APPROVAL_ALREADY_APPROVED),
    )
    async def reject(self, request: ApiRequest) -> Answer:
        """Reject a request."""
        merchant_id, approval_id = merchant_in_path(request), approval_in_path(request)
        outcome = await self._services.approvals.reject(merchant_id, approval_id, principal=request.principal)
        if outcome.approval is None:
            raise Refused(outcome)
        return answer(approval_data(outcome.approval), replay_headers(is_replay=outcome.is_replay))
