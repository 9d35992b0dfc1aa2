"""Grants of credit: a merchant's as pages and forecasts need them, and those that are due to start or to end."""

from collections.abc import Sequence

from farebox.core.credit.grants import Grant
from farebox.storage import rows
from farebox.storage.subject import SubjectStore


class GrantStore(SubjectStore):
    """All merchants' grants. Batches alone write them."""

    async def find(self, merchant_id: int, number: int) -> Grant | None:
        """Read one grant."""
        row = await self._row("find_grant", merchant_id, number)
        return None if row is None else rows.grant_from_row(row)

    async def at(self, merchant_id: int, numbers: Sequence[int]) -> Sequence[Grant]:
        """Read several grants by their numbers, in order; what does not exist is absent."""
        return [rows.grant_from_row(row) for row in await self._rows("grants_of_numbers", merchant_id, list(numbers))]

    async def list(self, merchant_id: int, *, before: int, limit: int) -> Sequence[Grant]:
        """List grants numbered below `before`, whatever became of them, newest first."""
        return [rows.grant_from_row(row) for row in await self._rows("grants", merchant_id, before, limit)]

    async def open(self, merchant_id: int, limit: int) -> Sequence[Grant]:
        """List open grants of which something is left, in the order in which they are spent."""
        return [rows.grant_from_row(row) for row in await self._rows("open_grants", merchant_id, limit)]

    async def waiting(self, merchant_id: int, limit: int) -> Sequence[Grant]:
        """List grants that have not started, the next one first."""
        return [rows.grant_from_row(row) for row in await self._rows("waiting_grants", merchant_id, limit)]

    async def due(self, now: int, limit: int) -> Sequence[int]:
        """Name the merchant of each grant that is due to start or to end at `now`, the longest due first."""
        return [row[0] for row in await self._rows("due_grants", now, limit)]
