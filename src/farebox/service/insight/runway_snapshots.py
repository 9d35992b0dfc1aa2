"""Snapshots of each merchant's runway, worked out behind the charges, so that the console can sort many merchants.

A server walks over all merchants again and again, a stretch at a time, at a pace that takes a few hundredths of a core
however many there are. A merchant whose book moved is worked out again after MOVED_SECONDS, any other after
OLD_SECONDS, since a runway changes with the time alone. The balance that counts is the account's; a snapshot says when
it is likely to be used up.

The walk looks at thresholds in days left as well: what it works out of a merchant that has some is held to them. One
whose money nears a threshold is worked out sooner, so that it is told within minutes.
"""

import asyncio
from typing import Final

from farebox.core.alerting.runway_thresholds import DAY, ends_beyond
from farebox.service.clock import Clock
from farebox.service.insight.forecast import even_burn, read_forecast, spendable_of
from farebox.service.insight.runway_looks import look_at_runway
from farebox.storage.records import RunwaySnapshot, RunwaySnapshotAge
from farebox.storage.stores import Stores

MOVED_SECONDS: Final = 300
OLD_SECONDS: Final = 6 * 3600
NEAR_SECONDS: Final = 60
"""After how long a merchant is worked out again that nears a threshold and moved, or was seen below it once."""

NEAR_OLD_SECONDS: Final = 900
"""After how long one is that nears a threshold and did not move."""

STRETCH_MERCHANTS: Final = 500
"""How many merchants are looked at together."""

BATCH_MERCHANTS: Final = 50
"""How many snapshots are written together."""

STRETCH_SECONDS: Final = 0.5
MERCHANT_SECONDS: Final = 0.1
"""How long to leave the database to others after looking at a stretch, and after working out one merchant."""

ROUND_SECONDS: Final = 5.0
"""How long to wait after the last merchant before the walk begins again."""

_BEFORE_ALL: Final = -1
_MICROS_PER_SECOND: Final = 1_000_000


class RunwaySnapshots:
    """Keeps merchants' snapshots up to date."""

    def __init__(
        self,
        stores: Stores,
        clock: Clock,
        *,
        stretch_merchants: int = STRETCH_MERCHANTS,
        merchant_seconds: float = MERCHANT_SECONDS,
    ) -> None:
        """Read and write these stores, so many merchants at a time and so long after each."""
        self._stores = stores
        self._clock = clock
        self._stretch_merchants = stretch_merchants
        self._merchant_seconds = merchant_seconds
        self._after = _BEFORE_ALL

    async def refresh_stretch(self) -> float | None:
        """Work out what is stale in the next stretch; return the seconds until the next one, None after the last."""
        return None if await self.run_once() else STRETCH_SECONDS

    async def run_once(self) -> bool:
        """Work out what is stale in the next stretch of merchants; return whether it was the last.

        Raises:
            StorageError: the database is away; the stretch is walked again.
        """
        ages = await self._stores.runway_snapshots.ages(self._after, self._stretch_merchants)
        now = self._clock.now()
        stale = [age for age in ages if _is_stale(age, now)]
        for start in range(0, len(stale), BATCH_MERCHANTS):
            snapshots = [await self._work_out(age) for age in stale[start : start + BATCH_MERCHANTS]]
            await self._stores.runway_snapshots.put([snapshot for snapshot in snapshots if snapshot is not None])
        is_last = len(ages) < self._stretch_merchants
        self._after = _BEFORE_ALL if is_last else ages[-1].merchant_id
        return is_last

    async def _work_out(self, age: RunwaySnapshotAge) -> RunwaySnapshot | None:
        merchant_id = age.merchant_id
        account = await self._stores.accounts.find(merchant_id)
        if account is None:
            return None
        now = self._clock.now()
        forecast = await read_forecast(self._stores, account, now)
        runway = forecast.runway
        if age.runway_days:
            await look_at_runway(self._stores, age.merchant_id, age.runway_days, forecast, now)
        await asyncio.sleep(self._merchant_seconds)
        until, burn = (None, None) if runway is None else (runway.until, even_burn(runway, spendable_of(account)))
        return RunwaySnapshot(merchant_id, account.seq, account.available, account.last_at, until, burn, now)


def _is_stale(age: RunwaySnapshotAge, now: int) -> bool:
    if age.seq is None or age.computed_at is None:
        return True
    age_seconds, has_moved = (now - age.computed_at) // _MICROS_PER_SECOND, age.seq != age.book_seq
    if age.is_pending or _nears_threshold(age, now):
        return age_seconds >= (NEAR_SECONDS if has_moved or age.is_pending else NEAR_OLD_SECONDS)
    return age_seconds >= OLD_SECONDS or (has_moved and age_seconds >= MOVED_SECONDS)


def _nears_threshold(age: RunwaySnapshotAge, now: int) -> bool:
    """Tell whether the money lasts for longer than a threshold's days, but not for much."""
    return any(
        days * DAY <= age.runs_out_at - now < ends_beyond(days)
        for days in age.runway_days
        if age.runs_out_at is not None
    )
