"""Runway snapshots: how long each merchant's money lasts, as last worked out. The table was released as `outlook`."""

from collections.abc import Sequence

from msgspec.structs import astuple

from farebox.storage.interface import Fetch
from farebox.storage.records import RunwaySnapshot, RunwaySnapshotAge
from farebox.storage.subject import SubjectStore


class RunwaySnapshotStore(SubjectStore):
    """The runway snapshots of one database. Lists of merchants read them too."""

    async def find(self, merchant_id: int) -> RunwaySnapshot | None:
        """Read a merchant's runway as it was last worked out."""
        row = await self._row("runway_snapshot", merchant_id)
        return None if row is None else RunwaySnapshot(*row)

    async def put(self, runway_snapshots: Sequence[RunwaySnapshot]) -> None:
        """Write merchants' runways over those that were there."""

        async def put(fetch: Fetch) -> None:
            # In one order in every process, so that two of them never wait for each other.
            for runway_snapshot in sorted(runway_snapshots, key=lambda snapshot: snapshot.merchant_id):
                await fetch(self._sql["put_runway_snapshot"], *astuple(runway_snapshot))

        await self._connector.run_in_transaction(put)

    async def ages(self, after: int, limit: int) -> Sequence[RunwaySnapshotAge]:
        """List merchants above `after`, in order: how far each book is, and how far and how old its snapshot."""
        return [RunwaySnapshotAge(*row) for row in await self._rows("runway_snapshot_ages", after, limit)]
