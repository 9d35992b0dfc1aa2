"""Verifications: runs over the whole ledger, the one that is under way included."""

from collections.abc import Sequence

from msgspec.structs import astuple

from farebox.core.audit_log import AuditEntry
from farebox.storage.records import Repeat, Verification
from farebox.storage.subject import SubjectStore


class VerificationStore(SubjectStore):
    """The verifications of one database."""

    async def begin(
        self, verification: Verification, audit_entry: AuditEntry | None = None, repeat: Repeat | None = None
    ) -> None:
        """Add a verification that is under way."""
        await self._write("insert_verification", *astuple(verification), audit_entry=audit_entry, repeat=repeat)

    async def update(self, verification: Verification) -> None:
        """Write how far a verification is, or how it ended."""
        progress = (verification.merchants, verification.merchants_done, verification.transfers_done)
        await self._write(
            "update_verification",
            verification.verification_id,
            verification.seen_at,
            verification.finished_at,
            *progress,
            verification.problems,
            verification.first_problem,
        )

    async def list(self, limit: int) -> Sequence[Verification]:
        """List the verifications, newest first."""
        return [Verification(*row) for row in await self._rows("verifications", limit)]
