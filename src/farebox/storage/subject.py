"""What the stores of all subjects share: named statements over a connector, read at once or written in a transaction.

Every method of a store may raise StoreUnavailable, having changed nothing, and CommitUnknown if it writes. A method
that takes an `audit_entry` writes it in the same transaction; it is None for what nobody did by hand. One that takes a
`repeat` uses that idempotency key up in the same transaction, and raises Repeated if it was used: of two at once, one
makes something.
"""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import astuple

from farebox.core.audit_log import AuditEntry
from farebox.storage import sql
from farebox.storage.interface import Connector, Fetch, NotFound, Repeated
from farebox.storage.records import REPEATS_KEPT_MICROS, Repeat


class SubjectStore:
    """The rows of one subject in one database."""

    def __init__(self, connector: Connector) -> None:
        """Keep them in this database."""
        self._connector = connector
        self._sql = sql.statements(connector.dialect)

    async def _rows(self, name: str, *values: Any) -> Sequence[Sequence[Any]]:
        """Run a statement that reads."""
        return await self._connector.fetch(self._sql[name], *values)

    async def _row(self, name: str, *values: Any) -> Sequence[Any] | None:
        """Read the one row that there may be."""
        rows = await self._connector.fetch(self._sql[name], *values)
        return rows[0] if rows else None

    async def _claim(self, fetch: Fetch, repeat: Repeat | None) -> None:
        """Use an idempotency key up, if there is one; a use that is too long ago counts no more.

        Raises:
            Repeated: it was used.
        """
        if repeat is not None:
            values = (*astuple(repeat), repeat.created_at - REPEATS_KEPT_MICROS)
            if not await fetch(self._sql["claim_repeat"], *values):
                raise Repeated("the idempotency key was used")

    async def _write(
        self, name: str, *values: Any, audit_entry: AuditEntry | None = None, repeat: Repeat | None = None
    ) -> Sequence[Sequence[Any]]:
        """Run a statement that writes, in a transaction of its own, and return what it returns."""

        async def write(fetch: Fetch) -> Sequence[Sequence[Any]]:
            await self._claim(fetch, repeat)
            return await fetch(self._sql[name], *values)

        return await self._connector.run_in_transaction(write, audit_entry)

    async def _change(
        self,
        name: str,
        *values: Any,
        missing: str,
        audit_entry: AuditEntry | None = None,
        repeat: Repeat | None = None,
    ) -> None:
        """Run a statement that returns what it changed.

        Raises:
            NotFound: it changed nothing; `missing` is said of it.
        """

        async def change(fetch: Fetch) -> None:
            await self._claim(fetch, repeat)
            if not await fetch(self._sql[name], *values):
                raise NotFound(missing)

        await self._connector.run_in_transaction(change, audit_entry)
