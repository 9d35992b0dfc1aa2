"""What waits for a second person, and what became of earlier requests."""

from collections.abc import Awaitable
from typing import Final

from starlette.responses import Response

from farebox.core import ids
from farebox.core.accounts import Kind
from farebox.core.approvals import ApprovalState
from farebox.core.outcomes import Outcome
from farebox.service import inputs
from farebox.service.errors import InvalidInput, ServiceError
from farebox.service.operator.approvals import PAGE_ROWS_MAX
from farebox.web.pages.console.common import cut, ensure_done, merchant_of
from farebox.web.pages.house import Audience, PageRequest, PageRoute, number_of

ROWS: Final = 50
_ROOT: Final = "/support/approvals"
_ONE: Final = f"{_ROOT}/{{merchant:str}}/{{approval:str}}"
_STATES: Final = {
    ApprovalState.PENDING: "waits",
    ApprovalState.APPROVED: "approved",
    ApprovalState.REJECTED: "rejected",
}


class Approvals:
    """Requests for approval."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [
            PageRoute(_ROOT, Audience.SUPPORT, get=self.show, is_console=True),
            PageRoute(f"{_ONE}/approve", Audience.SUPPORT, post=self.approve, is_console=True),
            PageRoute(f"{_ONE}/reject", Audience.SUPPORT, post=self.reject, is_console=True),
        ]

    async def show(self, ask: PageRequest) -> Response:
        """List what waits, and the history below."""
        return await self._page(ask)

    async def approve(self, ask: PageRequest) -> Response:
        """Approve somebody else's request; it is made at once."""
        merchant_id, number = merchant_of(ask), number_of(ask, "approval", ids.APPROVAL)
        deed = ask.services.approvals.approve(merchant_id, number, principal=ask.principal)
        return await self._decide(ask, deed, "approved")

    async def reject(self, ask: PageRequest) -> Response:
        """Reject a request, or take one's own back."""
        merchant_id, number = merchant_of(ask), number_of(ask, "approval", ids.APPROVAL)
        deed = ask.services.approvals.reject(merchant_id, number, principal=ask.principal)
        return await self._decide(ask, deed, "rejected")

    async def _decide(self, ask: PageRequest, deed: Awaitable[Outcome], said: str) -> Response:
        try:
            ensure_done(await deed)
        except ServiceError as error:
            ask.form.fail(error)
            return await self._page(ask, 422)
        return ask.redirect(_ROOT, said)

    async def _page(self, ask: PageRequest, status: int = 200) -> Response:
        approvals = ask.services.approvals
        before = _before(ask)
        newest = await approvals.page(merchant_id=None, before=None, limit=PAGE_ROWS_MAX)
        waiting = [it for it in newest if it.state == ApprovalState.PENDING][::-1]
        found = [it for it in newest if it.state != ApprovalState.PENDING]
        if before is not None:
            older = await approvals.page(merchant_id=None, before=before, limit=PAGE_ROWS_MAX)
            found = [it for it in older if it.state != ApprovalState.PENDING]
        decided, more = cut(found, ROWS)
        every = {it.merchant_id for it in (*waiting, *decided)}
        return ask.page(
            "console/approvals.html",
            status,
            waiting=waiting,
            decided=decided,
            more=decided[-1].id if more else None,
            is_first=before is None,
            debit=Kind.ADJUSTMENT_DEBIT,
            names=await ask.services.console.names(every),
            currencies={number: (await ask.services.merchants.get(number))[1].currency for number in every},
            state_words={int(state): words for state, words in _STATES.items()},
        )


def _before(ask: PageRequest) -> int | None:
    """Read where the page before ended; anything else begins anew."""
    try:
        return inputs.public_id("before", ids.APPROVAL, ask.query("before"))
    except InvalidInput:
        return None
