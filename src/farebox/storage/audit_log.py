"""The audit log. What changes anything writes its entry by itself, in its own transaction."""

from collections.abc import Sequence

from farebox.core.audit_log import AuditEntry
from farebox.storage import rows
from farebox.storage.subject import SubjectStore


class AuditLogStore(SubjectStore):
    """The audit log of one database."""

    async def list(self, *, merchant_id: int | None, before: tuple[int, int], limit: int) -> Sequence[AuditEntry]:
        """List the audit log below `before`, (at, id), of one merchant or all with None, newest first."""
        if merchant_id is None:
            found = await self._rows("all_audit_entries", *before, limit)
        else:
            found = await self._rows("merchant_audit_entries", merchant_id, *before, limit)
        return [rows.audit_from_row(row) for row in found]

    async def append(self, audit_entry: AuditEntry) -> None:
        """Write down what somebody did that changed nothing else."""
        await self._write("insert_audit_entry", *rows.audit_to_row(audit_entry))
