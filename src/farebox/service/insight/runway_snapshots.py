"""Each merchant's prospects, worked out behind the charges' backs, so that the console can sort many merchants by them.

A server walks over all merchants again and again, a stretch at a time, at a pace that takes a few hundredths of a core
however many there are. A merchant whose book moved is looked at again after MOVED_SECONDS, any other after OLD_SECONDS,
since a runway changes with the time alone. The balance that counts is the account's; prospects say when it is likely to
be used up.
"""

import asyncio
import logging
from typing import Final

from farebox.service.clock import Clock
from farebox.service.insight.forecast import read_runway
from farebox.storage.interface import StorageError, Store
from farebox.storage.office import Office
from farebox.storage.rows import RunwaySnapshot, RunwaySnapshotAge

MOVED_SECONDS: Final = 300
OLD_SECONDS: Final = 6 * 3600
STRETCH_MERCHANTS: Final = 500
"""How many merchants are looked at together."""

BATCH_MERCHANTS: Final = 50
"""How many merchants' prospects are written together."""

STRETCH_SECONDS: Final = 0.5
MERCHANT_SECONDS: Final = 0.1
"""How long to leave the database to others after looking at a stretch, and after working out one merchant."""

ROUND_SECONDS: Final = 5.0
"""How long to wait after the last merchant before the walk begins again."""

_BEFORE_ALL: Final = -1
_MICROS_PER_SECOND: Final = 1_000_000

_log = logging.getLogger("farebox.runway_snapshots")


class RunwaySnapshots:
    """Keeps merchants' prospects up to date."""

    def __init__(self, store: Store, office: Office, clock: Clock) -> None:
        """Read from this store and write to this office."""
        self._store = store
        self._office = office
        self._clock = clock
        self._after = _BEFORE_ALL

    async def run(self) -> None:
        """Walk over all merchants, until cancelled; a database that is away is waited for."""
        while True:
            try:
                is_round_over = await self.run_once()
                await asyncio.sleep(ROUND_SECONDS if is_round_over else STRETCH_SECONDS)
            except StorageError as error:
                _log.warning("merchants' prospects wait: %s", error)
                await asyncio.sleep(ROUND_SECONDS)
            except Exception:
                _log.exception("merchants' prospects can't be worked out")
                await asyncio.sleep(ROUND_SECONDS)

    async def run_once(self) -> bool:
        """Work out what is stale in the next stretch of merchants; return whether it was the last.

        Raises:
            StorageError: the database is away; the stretch is walked again.
        """
        marks = await self._office.runway_snapshot_ages(self._after, STRETCH_MERCHANTS)
        now = self._clock.now()
        stale = [mark.merchant_id for mark in marks if _is_stale(mark, now)]
        for start in range(0, len(stale), BATCH_MERCHANTS):
            found = [await self._work_out(number) for number in stale[start : start + BATCH_MERCHANTS]]
            await self._office.put_runway_snapshots(
                [runway_snapshot for runway_snapshot in found if runway_snapshot is not None]
            )
        is_last = len(marks) < STRETCH_MERCHANTS
        self._after = _BEFORE_ALL if is_last else marks[-1].merchant_id
        return is_last

    async def _work_out(self, merchant_id: int) -> RunwaySnapshot | None:
        account = await self._store.account(merchant_id)
        if account is None:
            return None
        now = self._clock.now()
        runway = await read_runway(self._store, account, now)
        await asyncio.sleep(MERCHANT_SECONDS)
        until, burn = (None, None) if runway is None else (runway.until, runway.burn_per_day)
        return RunwaySnapshot(merchant_id, account.seq, account.available, account.last_at, until, burn, now)


def _is_stale(mark: RunwaySnapshotAge, now: int) -> bool:
    if mark.seq is None or mark.computed_at is None:
        return True
    age_seconds = (now - mark.computed_at) // _MICROS_PER_SECOND
    return age_seconds >= OLD_SECONDS or (mark.seq != mark.book_seq and age_seconds >= MOVED_SECONDS)
