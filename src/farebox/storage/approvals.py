"""Requests for approval, read for those who decide them."""

from collections.abc import Sequence

from farebox.core.approvals import Approval, LoneMove
from farebox.storage.subject import SubjectStore


class ApprovalStore(SubjectStore):
    """The requests for approval of one database. Batches alone write them."""

    async def find(self, merchant_id: int, approval_id: int) -> Approval | None:
        """Read one request for approval."""
        row = await self._row("approval", merchant_id, approval_id)
        return None if row is None else Approval(*row)

    async def pending(self, limit: int) -> Sequence[Approval]:
        """List the requests that wait, oldest first."""
        return [Approval(*row) for row in await self._rows("pending_approvals", limit)]

    async def lone_moves(self, merchant_id: int, since: int) -> Sequence[LoneMove]:
        """List what people moved alone for a merchant after a time."""
        return [LoneMove(*row) for row in await self._rows("lone_moves", [merchant_id], since)]

    async def list(self, *, merchant_id: int | None, before: int, limit: int) -> Sequence[Approval]:
        """List requests for approval numbered below `before`, of one merchant or of all with None, newest first."""
        if merchant_id is None:
            found = await self._rows("all_approvals", before, limit)
        else:
            found = await self._rows("merchant_approvals", merchant_id, before, limit)
        return [Approval(*row) for row in found]
