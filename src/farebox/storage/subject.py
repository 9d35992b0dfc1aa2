"""What the stores of all subjects share: named statements over a connector, read at once or written in a transaction.

Every method of a store may raise StoreUnavailable, having changed nothing, and CommitUnknown if it writes. A method
that takes an `audit_entry` writes it in the same transaction; it is None for what nobody did by hand.
"""

from collections.abc import Sequence
from typing import Any

from farebox.core.audit_log import AuditEntry
from farebox.storage import sql
from farebox.storage.interface import Connector, Fetch, NotFound


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

    async def _write(self, name: str, *values: Any, audit_entry: AuditEntry | None = None) -> Sequence[Sequence[Any]]:
        """Run a statement that writes, in a transaction of its own, and return what it returns."""

        async def write(fetch: Fetch) -> Sequence[Sequence[Any]]:
            return await fetch(self._sql[name], *values)

        return await self._connector.run_in_transaction(write, audit_entry)

    async def _change(self, name: str, *values: Any, missing: str, audit_entry: AuditEntry | None = None) -> None:
        """Run a statement that returns what it changed.

        Raises:
            NotFound: it changed nothing; `missing` is said of it.
        """

        async def change(fetch: Fetch) -> None:
            if not await fetch(self._sql[name], *values):
                raise NotFound(missing)

        await self._connector.run_in_transaction(change, audit_entry)
