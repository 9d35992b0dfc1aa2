"""What the console shows of many merchants at once: prospects, use of keys, verifications; for both engines.

Times are microseconds since 1970, amounts micros, both from the caller. Every method may raise StoreUnavailable, having
changed nothing, and CommitUnknown if it writes.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from farebox.core.audit_log import AuditEntry
from farebox.storage import sql
from farebox.storage.interface import Fetch, Runner
from farebox.storage.rows import Counts, MerchantOrder, RunwaySnapshot, RunwaySnapshotAge, Verification

_ORDERS: Final = {
    MerchantOrder.RUNS_OUT: "merchants_by_runs_out",
    MerchantOrder.AVAILABLE: "merchants_by_available",
    MerchantOrder.LAST: "merchants_by_last",
    MerchantOrder.AGE: "merchants_by_age",
}


class Office:
    """What the operator sees of one database."""

    def __init__(self, runner: Runner) -> None:
        """Keep it in this database."""
        self._runner = runner
        self._sql = sql.shared_statements(runner.dialect)

    async def list_merchants(self, order: MerchantOrder, *, limit: int, offset: int) -> Sequence[int]:
        """List merchants' numbers in an order; those whose money does not run out are not in RUNS_OUT."""
        return [row[0] for row in await self._runner.fetch(self._sql[_ORDERS[order]], limit, offset)]

    async def search_merchants(self, text: str, *, limit: int, offset: int) -> Sequence[int]:
        """List the numbers of merchants whose name, or one of whose people's addresses, holds a text; newest first.

        AccountMails of ASCII match in either case.
        """
        if "\0" in text:
            # PostgreSQL has no texts with it, so nobody's name holds it.
            return []
        # As the databases' own lower() does, which leaves letters beyond ASCII as they are.
        lowered = "".join(letter.lower() if letter.isascii() else letter for letter in text)
        escaped = "".join(f"!{letter}" if letter in "!%_" else letter for letter in lowered)
        found = await self._runner.fetch(self._sql["search_merchants"], f"%{escaped}%", limit, offset)
        return [row[0] for row in found]

    async def runway_snapshot(self, merchant_id: int) -> RunwaySnapshot | None:
        """Read a merchant's prospects as they were last worked out."""
        found = await self._runner.fetch(self._sql["runway_snapshot"], merchant_id)
        return RunwaySnapshot(*found[0]) if found else None

    async def put_runway_snapshots(self, runway_snapshots: Sequence[RunwaySnapshot]) -> None:
        """Write merchants' prospects."""

        async def put(fetch: Fetch) -> None:
            for runway_snapshot in sorted(runway_snapshots, key=lambda runway_snapshot: runway_snapshot.merchant_id):
                await fetch(self._sql["put_runway_snapshot"], *msgspec.structs.astuple(runway_snapshot))

        await self._runner.run_in_transaction(put)

    async def runway_snapshot_ages(self, after: int, limit: int) -> Sequence[RunwaySnapshotAge]:
        """List merchants above `after`, in order: how far each book is, and how far and how old its prospects are."""
        found = await self._runner.fetch(self._sql["runway_snapshot_ages"], after, limit)
        return [RunwaySnapshotAge(*row) for row in found]

    async def note_keys(self, keys: Sequence[tuple[int | None, bytes]], at: int) -> None:
        """Write that keys were used; each is its merchant's number, None for a service's or support's, and its digest.

        A key that is not there is passed over.
        """

        async def note(fetch: Fetch) -> None:
            for merchant_id, digest in sorted(keys, key=lambda key: (key[0] or 0, key[1])):
                if merchant_id is None:
                    await fetch(self._sql["note_staff_key"], digest, at)
                else:
                    await fetch(self._sql["note_merchant_key"], merchant_id, digest, at)

        await self._runner.run_in_transaction(note)

    async def begin_verification(self, verification: Verification) -> None:
        """Add a verification that is under way."""

        async def begin(fetch: Fetch) -> None:
            await fetch(self._sql["insert_verification"], *msgspec.structs.astuple(verification))

        await self._runner.run_in_transaction(begin)

    async def update_verification(self, verification: Verification) -> None:
        """Write how far a verification is, or how it ended."""
        values = (verification.seen_at, verification.finished_at, verification.merchants, verification.merchants_done)
        findings = (verification.transfers_done, verification.problems, verification.first_problem)

        async def update(fetch: Fetch) -> None:
            await fetch(self._sql["update_verification"], verification.verification_id, *values, *findings)

        await self._runner.run_in_transaction(update)

    async def verifications(self, limit: int) -> Sequence[Verification]:
        """List the verifications, newest first."""
        return [Verification(*row) for row in await self._runner.fetch(self._sql["verifications"], limit)]

    async def counts(self) -> Counts:
        """Count what is there; it looks at every account."""
        return Counts(*(await self._runner.fetch(self._sql["counts"]))[0])

    async def note(self, audit_entry: AuditEntry) -> None:
        """Write into the audit log what somebody did that changed nothing else."""

        async def nothing(_: Fetch) -> None:
            """Leave all else as it is."""

        await self._runner.run_in_transaction(nothing, audit_entry)
