"""Budgets: what merchants' API keys may spend, as their owners or support set it."""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec.structs import astuple, replace

from farebox.core.audit_log import AuditEntry
from farebox.core.credit.budgets import Budget, period_of
from farebox.storage import rows
from farebox.storage.interface import Fetch, NotFound
from farebox.storage.records import ApiKey
from farebox.storage.subject import SubjectStore

_MICROS_PER_QUARTER: Final = 900_000_000


class BudgetStore(SubjectStore):
    """The budgets of one database's merchants."""

    async def list(self, merchant_id: int) -> Sequence[Budget]:
        """List a merchant's budgets, each a limit and what was spent of it."""
        return [Budget(*row) for row in await self._rows("budgets_of_merchants", [merchant_id])]

    async def put(
        self,
        merchant_id: int,
        key_id: int,
        limits: Sequence[tuple[int, int]],
        *,
        zone: str,
        audit_entry: AuditEntry | None = None,
    ) -> None:
        """Replace the budget of a key, and of those that spend from it together with the key; none for no limit.

        What the keys have spent in the periods of the book's last transfer is counted, whenever the limits were set: it
        is summed up from the book, which no batch changes meanwhile. No clock has a say: the next transfer may be from
        a server whose clock is behind this one's, and of the day before.

        Args:
            merchant_id: whose key it is.
            key_id: the key.
            limits: units and amounts, each unit once.
            zone: the IANA time zone whose days, weeks and months these are.
            audit_entry: who does it.

        Raises:
            NotFound: the merchant has no such key.
        """

        async def write(fetch: Fetch) -> None:
            locked = await fetch(self._sql["lock_account"], merchant_id)
            keys = {key: budget for _, key, budget in await fetch(self._sql["budgets_of_keys"], [merchant_id])}
            if not locked or key_id not in keys:
                raise NotFound(f"no key {key_id}")
            budget_id, sharing = _shared(key_id, keys[key_id], keys)
            at = rows.account_from_row(locked[0]).last_at
            before = [Budget(*row) for row in await fetch(self._sql["budgets_of_merchants"], [merchant_id])]
            # A limit that stays as it was has been told of already.
            told = {(row.budget_id, row.unit, row.amount, row.zone): row.told_starts_at for row in before}
            await fetch(self._sql["delete_budget"], merchant_id, budget_id)
            for budget in await self._counted(fetch, merchant_id, budget_id, sharing, limits, zone, at):
                told_starts_at = told.get((budget_id, budget.unit, budget.amount, budget.zone))
                await fetch(self._sql["insert_budget"], *astuple(replace(budget, told_starts_at=told_starts_at)))
            await fetch(self._sql["set_budget_of_keys"], merchant_id, sharing, budget_id if limits else None)

        await self._connector.run_in_transaction(write, audit_entry)

    async def would_be(
        self, merchant_id: int, key: ApiKey, limits: Sequence[tuple[int, int]], *, zone: str, now: int
    ) -> Sequence[Budget]:
        """Tell what `put` would write at this moment; nothing is written."""
        keys = {number: budget for _, number, budget in await self._rows("budgets_of_keys", [merchant_id])}
        budget_id, sharing = _shared(key.key_id, key.budget_id, keys)
        return await self._counted(self._connector.fetch, merchant_id, budget_id, sharing, limits, zone, now)

    async def _counted(
        self,
        fetch: Fetch,
        merchant_id: int,
        budget_id: int,
        sharing: Sequence[int],
        limits: Sequence[tuple[int, int]],
        zone: str,
        at: int,
    ) -> Sequence[Budget]:
        """Sum up what the keys that share a budget have spent in the periods of a time."""
        budgets = []
        for unit, amount in limits:
            starts_at = period_of(unit, zone, at)[0]
            values = (merchant_id, list(sharing), starts_at // _MICROS_PER_QUARTER)
            ((spent,),) = await fetch(self._sql["spent_by_keys"], *values)
            budgets.append(Budget(merchant_id, budget_id, unit, amount, zone, starts_at, spent))
        return budgets


def _shared(key_id: int, budget_id: int | None, keys: Mapping[int, int | None]) -> tuple[int, list[int]]:
    """Tell the number of a key's budget, or of the one that it would have, and the keys that spend from it together."""
    if budget_id is None:
        return key_id, [key_id]
    return budget_id, [number for number, budget in keys.items() if budget == budget_id]
