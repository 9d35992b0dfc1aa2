"""Verifications: runs over the whole ledger, the one that is under way included."""

from collections.abc import Sequence

from msgspec.structs import astuple

from farebox.core.audit_log import AuditEntry
from farebox.storage.interface import Fetch, StorageError
from farebox.storage.records import Repeat, Verification
from farebox.storage.subject import SubjectStore


class UnderWay(StorageError):
    """A verification is at work already; nothing was changed."""


class VerificationStore(SubjectStore):
    """The verifications of one database."""

    async def begin(self, verification: Verification) -> None:
        """Add a verification that is under way."""
        await self._write("insert_verification", *astuple(verification))

    async def begin_alone(
        self,
        verification: Verification,
        *,
        heard_since: int,
        audit_entry: AuditEntry | None = None,
        repeat: Repeat | None = None,
    ) -> None:
        """Add a verification that is under way, if no other one is that was heard of since a time.

        Raises:
            UnderWay: one is.
        """

        async def begin(fetch: Fetch) -> None:
            await self._claim(fetch, repeat)
            await fetch(self._sql["lock_verifications"])
            if await fetch(self._sql["verification_under_way"], heard_since):
                raise UnderWay("a verification is under way")
            await fetch(self._sql["insert_verification"], *astuple(verification))

        await self._connector.run_in_transaction(begin, audit_entry)

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
