"""Unusual spending: whether a merchant's last minutes are far out of its own profile, as those of a leaked key are.

The profile is what the merchant spent in the five minutes in which it spent most, of each day of some weeks. The limit
is well above the highest of these, and the further above it the more they differ from each other. So a merchant that is
quiet and steady is told early, and one whose days are wild by themselves late: see
docs/decisions/0037-unusual-spending.md.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

WINDOW_SECONDS: Final = 300
HISTORY_DAYS: Final = 56
"""How many days back the profile goes."""

DAYS_MIN: Final = 7
"""A merchant that spent on fewer days is new: nothing is known yet of what is usual for it."""

TRANSFERS_MIN: Final = 10
"""In a window with fewer, a few dear requests would look like a rush."""

PERCENT_MIN: Final = 150
PERCENT_MAX: Final = 300
"""The limit is so many hundredths of the highest day: as many as that one is of the middle one, within these."""

_WINDOW_MICROS: Final = WINDOW_SECONDS * 1_000_000
_RUSH_MICROS: Final = 60_000_000
_SLACK_MICROS: Final = 45_000_000
"""How much longer than the window a reading may lie back, as readings come only so often."""


class Reading(Struct, frozen=True):
    """What a merchant had spent in all at a time, in micros, and the last transfer of its book then."""

    at: int
    spent: int
    seq: int


class SpendingWindow(Struct, frozen=True):
    """How much was spent between two readings, by the transfers after `after_seq` up to `last_seq`.

    `rush_seq` is the transfer after which its last minute began, or what came at once after a rest: whoever spends most
    of that began the rush.
    """

    spent: int
    after_seq: int
    last_seq: int
    rush_seq: int = 0

    @property
    def transfers(self) -> int:
        """How many transfers there were."""
        return self.last_seq - self.after_seq


class Readings:
    """The readings of one merchant's last minutes."""

    def __init__(self) -> None:
        """Begin without any."""
        self._readings: deque[Reading] = deque()

    def add(self, reading: Reading) -> SpendingWindow:
        """Add a reading; return what was spent in the window that it ends, as far back as readings go."""
        readings = self._readings
        if not readings or reading.seq >= readings[-1].seq:
            readings.append(reading)
        earliest = reading.at - _WINDOW_MICROS
        self.forget_before(earliest - _SLACK_MICROS)
        while len(readings) > 1 and readings[1].at <= earliest:
            readings.popleft()
        if not readings:
            return SpendingWindow(0, reading.seq, reading.seq)
        first, last = readings[0], readings[-1]
        # The latest began no rush: where it is the only one of the last minute, the rush began at the one before.
        started = list(readings)[:-1] or [last]
        rush = next((item for item in started if item.at >= reading.at - _RUSH_MICROS), started[-1])
        return SpendingWindow(max(last.spent - first.spent, 0), first.seq, last.seq, rush.seq)

    def forget_before(self, at: int) -> bool:
        """Forget what was read before a time; return whether nothing is left."""
        while self._readings and self._readings[0].at < at:
            self._readings.popleft()
        return not self._readings


def limit_of(peaks: Sequence[int]) -> int | None:
    """Tell how much a merchant may spend in a window before that is unusual, in micros; None if it is new.

    Args:
        peaks: what it spent at most in a window of each day on which it spent anything, oldest first.
    """
    if len(peaks) < DAYS_MIN:
        return None
    *_, highest = ordered = sorted(peaks)
    middle = ordered[len(ordered) // 2]
    # Rounded down, both the hundredths and the limit.
    percent = min(max(100 * highest // middle, PERCENT_MIN), PERCENT_MAX)
    return highest * percent // 100


def is_unusual(window: SpendingWindow, limit: int | None) -> bool:
    """Tell whether a window is far out of the profile that the limit was made of."""
    return limit is not None and window.spent > limit and window.transfers >= TRANSFERS_MIN
