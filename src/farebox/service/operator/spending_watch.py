"""The watch over spending: it tells of a merchant that spends far more than is usual for it, within five minutes.

Each server process notes what the batches that it commits leave of their accounts: how much was spent in all, whichever
process charged it. So a look reads nothing of a merchant that does not move, and of one that does its profile, once a
day. Nothing else is kept in memory but the readings of the last minutes; a process that has just started has none.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from msgspec import Struct

from farebox.core.state import Decision
from farebox.service.clock import Clock
from farebox.service.insight.unusual_spending import (
    HISTORY_DAYS,
    WINDOW_SECONDS,
    Reading,
    Readings,
    SpendingWindow,
    is_unusual,
    limit_of,
)
from farebox.storage.records import SpendingPeak
from farebox.storage.stores import Stores

LOOK_SECONDS: Final = 20.0
"""How often to look at what was spent."""

QUIET_SECONDS: Final = 6 * 3600
"""Unusual spending that was not seen for so long is over: what comes after is told anew."""

SEEN_SECONDS: Final = 60
"""How often to write that unusual spending goes on."""

MERCHANTS_MAX: Final = 500
"""Of how many merchants profiles are read, or written, together."""

KEY_TRANSFERS_MAX: Final = 5_000
"""How many of the last transfers are looked at to tell which API key they name."""

_MICROS_PER_SECOND: Final = 1_000_000
_MICROS_PER_DAY: Final = 86_400_000_000
_FORGET_MICROS: Final = 600_000_000
_RISE: Final = 8
"""A day's peak is written anew once it has grown by an eighth."""


class _Profile(Struct):
    """The profile of a merchant on a day, and what it came to on that day so far."""

    day: int
    highest: int
    limit: int | None
    peak: int = 0
    written: int = 0
    seen_at: int = 0


class SpendingWatch:
    """Watches what merchants spend. Several processes may do so at once: each episode is told of once."""

    def __init__(self, stores: Stores, clock: Clock) -> None:
        """Watch over this database."""
        self._stores = stores
        self._clock = clock
        self._latest: dict[int, tuple[int, int]] = {}
        self._readings: dict[int, Readings] = {}
        self._profiles: dict[int, _Profile] = {}

    def note(self, decision: Decision) -> None:
        """Note what a batch that was committed left of its accounts."""
        latest = self._latest
        for account in decision.accounts:
            latest[account.merchant_id] = (account.revenue + account.held, account.seq)

    async def look(self) -> None:
        """Look at what was spent in the last minutes, and tell of what is far more than usual.

        Raises:
            StorageError: the database is away; what was read is looked at the next time.
        """
        latest, self._latest = self._latest, {}
        try:
            await self._look_at(latest, self._clock.now())
        except BaseException:
            # Of a merchant that moves no more, nothing else would be looked at again.
            self._latest = {**latest, **self._latest}
            raise

    async def _look_at(self, latest: Mapping[int, tuple[int, int]], now: int) -> None:
        windows = {}
        for merchant_id, (spent, seq) in sorted(latest.items()):
            readings = self._readings.setdefault(merchant_id, Readings())
            windows[merchant_id] = readings.add(Reading(now, spent, seq))
        self._forget(now)
        day = now // _MICROS_PER_DAY
        await self._read_profiles([number for number in windows if not self._is_known(number, day)], day)
        for merchant_id, window in windows.items():
            profile = self._profiles[merchant_id]
            if is_unusual(window, profile.limit):
                await self._tell(merchant_id, window, profile, now)
            # Unusual spending raises the profile of the days to come by no more than its limit.
            spent = window.spent if profile.limit is None else min(window.spent, profile.limit)
            profile.peak = max(profile.peak, spent)
        await self._write_peaks(windows)

    def _is_known(self, merchant_id: int, day: int) -> bool:
        profile = self._profiles.get(merchant_id)
        return profile is not None and profile.day == day

    def _forget(self, now: int) -> None:
        """Forget merchants that have not moved for some time."""
        for merchant_id in [
            number for number, readings in self._readings.items() if readings.forget_before(now - _FORGET_MICROS)
        ]:
            del self._readings[merchant_id]
            self._profiles.pop(merchant_id, None)

    async def _read_profiles(self, merchant_ids: Sequence[int], day: int) -> None:
        first_day = day - HISTORY_DAYS
        for start in range(0, len(merchant_ids), MERCHANTS_MAX):
            some = merchant_ids[start : start + MERCHANTS_MAX]
            peaks = await self._stores.spending.peaks(some, first_day=first_day)
            by_merchant = {number: list(rows) for number, rows in groupby(peaks, key=lambda peak: peak.merchant_id)}
            for merchant_id in some:
                known = by_merchant.get(merchant_id, [])
                before = [peak.amount for peak in known if peak.day < day]
                today = max((peak.amount for peak in known if peak.day >= day), default=0)
                self._profiles[merchant_id] = _Profile(day, max(before, default=0), limit_of(before), today, today)

    async def _write_peaks(self, merchant_ids: Iterable[int]) -> None:
        risen = []
        for merchant_id in merchant_ids:
            profile = self._profiles[merchant_id]
            if profile.peak * _RISE > profile.written * (_RISE + 1):
                risen.append(SpendingPeak(merchant_id, profile.day, profile.peak))
        for start in range(0, len(risen), MERCHANTS_MAX):
            some = risen[start : start + MERCHANTS_MAX]
            await self._stores.spending.put_peaks(some, keep_days=HISTORY_DAYS)
            for peak in some:
                self._profiles[peak.merchant_id].written = peak.amount

    async def _tell(self, merchant_id: int, window: SpendingWindow, profile: _Profile, now: int) -> None:
        if now - profile.seen_at < SEEN_SECONDS * _MICROS_PER_SECOND:
            return
        spending = self._stores.spending
        quiet_since = now - QUIET_SECONDS * _MICROS_PER_SECOND
        earlier = await spending.find(merchant_id)
        if earlier is not None and earlier.seen_at >= quiet_since:
            await spending.see(merchant_id, now)
        else:
            facts = await self._facts(merchant_id, window, profile)
            await spending.tell(merchant_id, facts, key_id=facts["key_id"], now=now, quiet_since=quiet_since)
        profile.seen_at = now

    async def _facts(self, merchant_id: int, window: SpendingWindow, profile: _Profile) -> dict[str, Any]:
        """Tell what was spent, and by which API key, if one spent the most of it."""
        key_id = _most_of(await self._by_key(merchant_id, window.rush_seq, window.last_seq))
        key = None if key_id is None else await self._stores.api_keys.find(key_id)
        by_key = dict(await self._by_key(merchant_id, window.after_seq, window.last_seq))
        total = sum(by_key.values())
        return {
            "spent": window.spent,
            "window_seconds": WINDOW_SECONDS,
            "highest": profile.highest,
            "key_id": None if key is None else key.key_id,
            "key_hint": None if key is None else key.hint,
            "key_name": None if key is None else key.name,
            "key_spent": 0 if key is None else window.spent * by_key[key.key_id] // total,
        }

    async def _by_key(self, merchant_id: int, after_seq: int, last_seq: int) -> Sequence[tuple[int | None, int]]:
        first_seq = max(after_seq + 1, last_seq - KEY_TRANSFERS_MAX + 1)
        return await self._stores.spending.by_key(merchant_id, first_seq=first_seq, last_seq=last_seq)


def _most_of(by_key: Sequence[tuple[int | None, int]]) -> int | None:
    """Tell which API key spent more than all others together, if one did; the largest comes first."""
    return by_key[0][0] if by_key and 2 * by_key[0][1] > sum(spent for _, spent in by_key) else None
