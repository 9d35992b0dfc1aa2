"""What waits for a second person, and what became of earlier requests."""

from collections.abc import Awaitable
from typing import Final

from starlette.responses import Response

from farebox.core import ids
from farebox.core.approvals import ApprovalState, RequestKind
from farebox.core.credit.grants import read_terms
from farebox.core.currencies import format_money_with_code
from farebox.core.outcomes import Outcome
from farebox.core.people import are_others, read_people
from farebox.core.permissions import Operation
from farebox.service import inputs
from farebox.service.errors import InvalidInput
from farebox.service.operator.approvals import PAGE_ROWS_MAX
from farebox.web.pages.console.common import merchant_of, outcome_of
from farebox.web.pages.console.previews import MINUS
from farebox.web.pages.paging import cut
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

ROWS: Final = 50
_ROOT: Final = "/support/approvals"
_ONE: Final = f"{_ROOT}/{{merchant:str}}/{{approval:str}}"


class ApprovalPages:
    """Requests for approval."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [
            PageRoute(_ROOT, Audience.SUPPORT, get=self.show, is_console=True),
            PageRoute(_ONE, Audience.SUPPORT, get=self.show_one, is_console=True),
            PageRoute(
                f"{_ONE}/approve",
                Audience.SUPPORT,
                post=self.approve,
                is_console=True,
                operation=Operation.DECIDE_APPROVAL,
            ),
            PageRoute(
                f"{_ONE}/reject",
                Audience.SUPPORT,
                post=self.reject,
                is_console=True,
                operation=Operation.DECIDE_APPROVAL,
            ),
        ]

    async def show(self, request: PageRequest) -> Response:
        """List what waits, and the history below."""
        approvals = request.services.approvals
        before = _before(request)
        people = await approvals.people(request.principal)
        waiting = await approvals.pending()
        listed = await approvals.page(merchant_id=None, before=before, limit=PAGE_ROWS_MAX)
        decided, more = cut([approval for approval in listed if approval.state != ApprovalState.PENDING], ROWS)
        merchants = await request.services.console.merchants_of(
            approval.merchant_id for approval in (*waiting, *decided)
        )
        return request.page(
            "console/approvals.html",
            waiting=waiting,
            may_decide={
                approval.id for approval in waiting if are_others(people, read_people(approval.requested_people))
            },
            unconfirmed=await approvals.accounts_to_confirm(people),
            decided=decided,
            more=decided[-1].id if more else None,
            is_first=before is None,
            approved=ApprovalState.APPROVED,
            debit=RequestKind.ADJUSTMENT_DEBIT,
            limit=RequestKind.CREDIT_LIMIT,
            names={number: row.merchant.name for number, row in merchants.items()},
            currencies={number: row.account.currency for number, row in merchants.items()},
            limits={number: row.account.credit_limit for number, row in merchants.items()},
            actors=await request.services.audit_log.names(),
        )

    async def show_one(self, request: PageRequest) -> Response:
        """Show one request, what it would come to to approve it, and the buttons that decide it."""
        return await self._one(request)

    async def approve(self, request: PageRequest) -> Response:
        """Approve somebody else's request; it is made at once."""
        merchant_id, number = merchant_of(request), request.number("approval", ids.APPROVAL)
        action = request.services.approvals.approve(merchant_id, number, principal=request.principal)
        return await self._decide(request, action, "approved")

    async def reject(self, request: PageRequest) -> Response:
        """Reject a request, or take one's own back."""
        merchant_id, number = merchant_of(request), request.number("approval", ids.APPROVAL)
        action = request.services.approvals.reject(merchant_id, number, principal=request.principal)
        return await self._decide(request, action, "rejected")

    async def _decide(self, request: PageRequest, action: Awaitable[Outcome], flash: str) -> Response:
        if await outcome_of(request, action) is None:
            return await self._one(request, 422)
        return request.redirect(_ROOT, flash)

    async def _one(self, request: PageRequest, status: int = 200) -> Response:
        merchant_id, number = merchant_of(request), request.number("approval", ids.APPROVAL)
        approvals = request.services.approvals
        approval = await approvals.find(merchant_id, number)
        refusal = None
        if request.may(Operation.DECIDE_APPROVAL):
            outcome = await approvals.approve(merchant_id, number, principal=request.principal, is_dry_run=True)
            refusal = outcome.message
        merchant, account = await request.services.merchants.get(merchant_id)
        change = approval.signed_amount
        return request.page(
            "console/approval.html",
            status,
            approval=approval,
            is_waiting=approval.state == ApprovalState.PENDING,
            is_own=approval.requested_by == request.login.email,
            refusal=refusal,
            merchant=merchant,
            account=account,
            sum=f"{MINUS if change < 0 else ''}{format_money_with_code(approval.amount, account.currency)}",
            after=account.available + change,
            is_limit=approval.kind == RequestKind.CREDIT_LIMIT,
            terms=None if approval.terms is None else read_terms(approval.terms)[1],
            original=ids.book_id(ids.TRANSFER, merchant_id=merchant_id, seq=approval.refers_to or 0),
            here=f"{_ROOT}/{merchant.id}/{approval.id}",
            actors=await request.services.audit_log.names(),
        )


def _before(request: PageRequest) -> int | None:
    """Read where the page before ended; anything else begins anew."""
    try:
        return inputs.public_id("before", ids.APPROVAL, request.query("before"))
    except InvalidInput:
        return None
