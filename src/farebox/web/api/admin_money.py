"""What support does with its key: top-ups, their reversals, adjustments, approvals, and the log of all that."""

from typing import Final

from starlette.types import Receive, Scope

from farebox.core import ids
from farebox.core.outcomes import Code
from farebox.service import inputs
from farebox.service.errors import Refused
from farebox.services import Services
from farebox.web.api.base import (
    SUPPORT,
    Endpoints,
    Route,
    answer,
    approval_data,
    approval_in_path,
    merchant_in_path,
    moved,
    replay_headers,
)
from farebox.web.client_address import Addresses
from farebox.web.endpoint import Answer, BodyDecoder, decode_query, read_body
from farebox.web.schemas import admin as bodies

_MERCHANT: Final = "/api/admin/merchants/{merchant_id:str}"
_APPROVAL: Final = f"{_MERCHANT}/approvals/{{approval_id:str}}"
_WAITS: Final = "Above the operator's limit it waits for another support person's approval: then the answer is 202."
_REQUEST_REFUSALS: Final = (
    Code.MERCHANT_NOT_FOUND,
    Code.IDEMPOTENCY_CONFLICT,
    Code.APPROVAL_ALREADY_REJECTED,
    Code.BALANCE_LIMIT_EXCEEDED,
)


class AdminMoney(Endpoints):
    """The endpoints for money that support moves."""

    def __init__(self, services: Services, addresses: Addresses) -> None:
        """Answer from these services."""
        super().__init__(services, addresses)
        self._top_up_decoder = BodyDecoder(bodies.TopUpRequest)
        self._adjustment_decoder = BodyDecoder(bodies.AdjustmentRequest)
        self._reversal_decoder = BodyDecoder(bodies.ReversalRequest)

    def routes(self) -> list[Route]:
        """List them."""
        return [
            Route(
                *("POST", f"{_MERCHANT}/topups", self.top_up, "Top a merchant up", SUPPORT),
                *(bodies.MoveData, bodies.TopUpRequest, _REQUEST_REFUSALS, bodies.ApprovalData),
                description=_WAITS,
            ),
            Route(
                *("POST", f"{_MERCHANT}/adjustments", self.adjust, "Correct a balance by hand", SUPPORT),
                *(bodies.MoveData, bodies.AdjustmentRequest),
                (*_REQUEST_REFUSALS, Code.INSUFFICIENT_BALANCE),
                bodies.ApprovalData,
                description=_WAITS,
            ),
            Route(
                *("POST", f"{_MERCHANT}/reversals", self.reverse, "Take a top-up back, or a part of it", SUPPORT),
                *(bodies.MoveData, bodies.ReversalRequest),
                (
                    Code.MERCHANT_NOT_FOUND,
                    Code.IDEMPOTENCY_CONFLICT,
                    Code.TRANSFER_NOT_FOUND,
                    Code.TRANSFER_NOT_REVERSIBLE,
                    Code.REVERSAL_EXCEEDS_TOP_UP,
                    Code.BALANCE_LIMIT_EXCEEDED,
                    Code.INSUFFICIENT_BALANCE,
                ),
            ),
            Route(
                *("GET", "/api/admin/approvals", self.list_approvals, "List requests for approval, newest first"),
                *(SUPPORT, bodies.ApprovalsData),
                query=bodies.MerchantPageQuery,
            ),
            Route(
                *("POST", f"{_APPROVAL}/approve", self.approve, "Approve a request, which is then made", SUPPORT),
                *(bodies.MoveData, None),
                (
                    Code.MERCHANT_NOT_FOUND,
                    Code.IDEMPOTENCY_CONFLICT,
                    Code.APPROVAL_NOT_FOUND,
                    Code.APPROVAL_ALREADY_REJECTED,
                    Code.APPROVAL_NEEDS_ANOTHER_PERSON,
                    Code.BALANCE_LIMIT_EXCEEDED,
                    Code.INSUFFICIENT_BALANCE,
                ),
            ),
            Route(
                *("POST", f"{_APPROVAL}/reject", self.reject, "Reject a request, or take one's own back", SUPPORT),
                *(bodies.ApprovalData, None),
                (Code.MERCHANT_NOT_FOUND, Code.APPROVAL_NOT_FOUND, Code.APPROVAL_ALREADY_APPROVED),
            ),
            Route(
                *("GET", "/api/admin/audit", self.list_audit, "Read who did what from where, newest first", SUPPORT),
                bodies.AuditData,
                query=bodies.MerchantPageQuery,
            ),
        ]

    async def top_up(self, scope: Scope, receive: Receive) -> Answer:
        """Add money that the merchant has paid."""
        principal = await self._support(scope)
        request = self._top_up_decoder.decode(await read_body(scope, receive))
        return moved(
            await self._services.operations.top_up(
                merchant_in_path(scope),
                amount=request.amount,
                reference=request.reference,
                note=request.note,
                principal=principal,
            )
        )

    async def adjust(self, scope: Scope, receive: Receive) -> Answer:
        """Correct a balance by hand."""
        principal = await self._support(scope)
        request = self._adjustment_decoder.decode(await read_body(scope, receive))
        return moved(
            await self._services.operations.adjust(
                merchant_in_path(scope),
                amount=request.amount,
                reference=request.reference,
                reason=request.reason,
                principal=principal,
            )
        )

    async def reverse(self, scope: Scope, receive: Receive) -> Answer:
        """Take a top-up back, or a part of it."""
        principal = await self._support(scope)
        request = self._reversal_decoder.decode(await read_body(scope, receive))
        return moved(
            await self._services.operations.reverse_top_up(
                merchant_in_path(scope),
                transfer=request.transfer_id,
                amount=request.amount,
                reference=request.reference,
                reason=request.reason,
                principal=principal,
            )
        )

    async def list_approvals(self, scope: Scope, receive: Receive) -> Answer:
        """List a page of requests for approval."""
        await self._support(scope)
        query = decode_query(scope, bodies.MerchantPageQuery)
        found = await self._services.approvals.page(
            merchant_id=_merchant(query),
            before=None if query.cursor is None else inputs.public_id("cursor", ids.APPROVAL, query.cursor),
            limit=query.limit,
        )
        more = len(found) == query.limit
        return answer(bodies.ApprovalsData([approval_data(item) for item in found], found[-1].id if more else None))

    async def approve(self, scope: Scope, receive: Receive) -> Answer:
        """Approve a request."""
        principal = await self._support(scope)
        approvals = self._services.approvals
        return moved(await approvals.approve(merchant_in_path(scope), approval_in_path(scope), principal=principal))

    async def reject(self, scope: Scope, receive: Receive) -> Answer:
        """Reject a request."""
        principal = await self._support(scope)
        approvals = self._services.approvals
        outcome = await approvals.reject(merchant_in_path(scope), approval_in_path(scope), principal=principal)
        if outcome.approval is None:
            raise Refused(outcome)
        return answer(approval_data(outcome.approval), replay_headers(outcome))

    async def list_audit(self, scope: Scope, receive: Receive) -> Answer:
        """Read a page of the audit log."""
        await self._support(scope)
        query = decode_query(scope, bodies.MerchantPageQuery)
        found, cursor = await self._services.audit_log.page(
            merchant_id=_merchant(query), cursor=query.cursor, limit=query.limit
        )
        entries = [
            bodies.AuditEntryData(
                at=inputs.format_time(entry.at),
                person=entry.actor,
                key_id=None if entry.key_id is None else ids.public_id(ids.KEY, entry.key_id),
                address=entry.address,
                action=entry.action,
                merchant_id=None if entry.merchant_id is None else ids.public_id(ids.MERCHANT, entry.merchant_id),
                subject=entry.subject,
                detail=entry.detail,
            )
            for entry in found
        ]
        return answer(bodies.AuditData(entries, cursor))


def _merchant(query: bodies.MerchantPageQuery) -> int | None:
    return None if query.merchant is None else inputs.public_id("merchant", ids.MERCHANT, query.merchant)
