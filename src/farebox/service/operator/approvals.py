"""Top-ups and adjustments above the operator's limit, which wait for a second person."""

from collections.abc import Sequence
from typing import Final

from farebox.core import commands, ids
from farebox.core.accounts import Kind
from farebox.core.approvals import Approval
from farebox.core.outcomes import Code, Outcome, refused
from farebox.core.permissions import Operation
from farebox.service.errors import Missing, translated
from farebox.service.ledger.committer import Committer
from farebox.service.people.api_keys import Principal
from farebox.storage.approvals import ApprovalStore

PAGE_ROWS_MAX: Final = 1_000


class Approvals:
    """Requests for approval. Every method may raise Unavailable, Forbidden, and what `Committer.submit` raises."""

    def __init__(self, approvals: ApprovalStore, committer: Committer) -> None:
        """Read from this store, decide through this committer."""
        self._approvals = approvals
        self._committer = committer

    async def find(self, merchant_id: int, approval_id: int) -> Approval:
        """Read one request.

        Raises:
            Missing: the merchant has none of this id.
        """
        with translated():
            approval = await self._approvals.find(merchant_id, approval_id)
        if approval is None:
            raise Missing("there is no such request")
        return approval

    async def approve(
        self, merchant_id: int, approval_id: int, *, principal: Principal, is_dry_run: bool = False
    ) -> Outcome:
        """Approve a request, whose move is then made; another person than its requester has to.

        With `is_dry_run` the outcome is told, by the same decision, and nothing is done.
        """
        principal.ensure_may(Operation.DECIDE_APPROVAL)
        with translated():
            approval = await self._approvals.find(merchant_id, approval_id)
        if approval is None:
            return _NOT_FOUND
        command = commands.Approve(_move(approval, principal), approval_id)
        return await (self._committer.dry_run(command) if is_dry_run else self._committer.submit(command))

    async def reject(self, merchant_id: int, approval_id: int, *, principal: Principal) -> Outcome:
        """Reject a request, or take one's own back."""
        principal.ensure_may(Operation.DECIDE_APPROVAL)
        return await self._committer.submit(
            commands.Reject(merchant_id, approval_id, principal.caller, principal.actor())
        )

    async def page(self, *, merchant_id: int | None, before: int | None, limit: int) -> Sequence[Approval]:
        """List requests, newest first: those before the one of this id."""
        with translated():
            return await self._approvals.list(
                merchant_id=merchant_id, before=ids.NUMBER_MAX if before is None else before, limit=limit
            )


_NOT_FOUND: Final = refused(Code.APPROVAL_NOT_FOUND, "The merchant has no such request for approval")


def _move(approval: Approval, principal: Principal) -> commands.TopUp | commands.Adjust:
    """Make the command that was requested, with the one who approves it in the requester's place."""
    asked_by = (principal.caller, principal.actor())
    if approval.kind == Kind.TOP_UP:
        return commands.TopUp(approval.merchant_id, approval.amount, approval.reference, approval.note, *asked_by)
    is_credit = approval.kind == Kind.ADJUSTMENT_CREDIT
    reason = approval.note or ""
    return commands.Adjust(approval.merchant_id, approval.amount, is_credit, approval.reference, reason, *asked_by)
