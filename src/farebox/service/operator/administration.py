"""What support looks at besides merchants: requests that wait for a second person, and the audit log."""

from collections.abc import Sequence
from typing import Final

from farebox.core import commands, ids
from farebox.core.accounts import Kind
from farebox.core.approvals import Approval
from farebox.core.audit_log import AuditEntry
from farebox.core.outcomes import Code, Outcome, refused
from farebox.service.people.api_keys import Actor
from farebox.service.ledger.committer import Committer
from farebox.service.errors import InvalidInput, translated
from farebox.storage.interface import Store

PAGE_ROWS_MAX: Final = 1_000


class Approvals:
    """Requests for approval. Every method may raise Unavailable, and what `Committer.submit` raises."""

    def __init__(self, store: Store, committer: Committer) -> None:
        """Read from this store, decide through this committer."""
        self._store = store
        self._committer = committer

    async def approve(self, merchant_id: int, number: int, *, actor: Actor) -> Outcome:
        """Approve a request, whose move is then made; another person than its requester has to."""
        with translated():
            approval = await self._store.approval(merchant_id, number)
        if approval is None:
            return _NOT_FOUND
        return await self._committer.submit(commands.Approve(_move(approval, actor), number))

    async def reject(self, merchant_id: int, number: int, *, actor: Actor) -> Outcome:
        """Reject a request, or take one's own back."""
        return await self._committer.submit(commands.Reject(merchant_id, number, actor.caller, actor.origin()))

    async def page(self, *, merchant_id: int | None, before: int | None, limit: int) -> Sequence[Approval]:
        """List requests, newest first: those before the one of this number."""
        with translated():
            return await self._store.approvals(
                merchant_id=merchant_id, before=ids.NUMBER_MAX if before is None else before, limit=limit
            )


class AuditLog:
    """Who did what from where. Every method may raise Unavailable."""

    def __init__(self, store: Store) -> None:
        """Read from this store."""
        self._store = store

    async def page(
        self, *, merchant_id: int | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[AuditEntry], str | None]:
        """List entries, newest first, and the cursor of the next page, if there may be one.

        Raises:
            InvalidInput: the cursor is none that this method gave out.
        """
        before = (ids.NUMBER_MAX, ids.NUMBER_MAX) if cursor is None else _place(cursor)
        with translated():
            found = await self._store.audit_entries(merchant_id=merchant_id, before=before, limit=limit)
        more = len(found) == limit
        return found, ids.encode_number(found[-1].at) + ids.encode_number(found[-1].entry_id) if more else None


_NOT_FOUND: Final = refused(Code.APPROVAL_NOT_FOUND, "The merchant has no such request for approval")


def _move(approval: Approval, actor: Actor) -> commands.TopUp | commands.Adjust:
    """Make the command that was requested, with the one who approves it in the requester's place."""
    asked_by = (actor.caller, actor.origin())
    if approval.kind == Kind.TOP_UP:
        return commands.TopUp(approval.merchant_id, approval.amount, approval.reference, approval.note, *asked_by)
    is_credit = approval.kind == Kind.ADJUSTMENT_CREDIT
    reason = approval.note or ""
    return commands.Adjust(approval.merchant_id, approval.amount, is_credit, approval.reference, reason, *asked_by)


def _place(cursor: str) -> tuple[int, int]:
    try:
        return ids.decode_number(cursor[: ids.NUMBER_LETTERS]), ids.decode_number(cursor[ids.NUMBER_LETTERS :])
    except ids.InvalidId as error:
        raise InvalidInput("cursor", "not a cursor that a page of this list came with") from error
