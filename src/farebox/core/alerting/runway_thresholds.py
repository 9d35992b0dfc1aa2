"""Thresholds in days left: when the money lasts for too few days, and when that is told.

An episode of such a threshold is a stretch of time in which the money is likely to be used up within so many days. A
forecast wobbles, so it takes two looks in a row to begin one, and it ends only when the money lasts for some days more
than the threshold says, or when money arrives. Each episode is told of once. docs/explanation/alerts.md has the rule.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

RUNWAY_THRESHOLDS_MAX: Final = 3
DAYS_LEFT_MAX: Final = 90

DAY: Final = 86_400_000_000
LOOK_MICROS: Final = 50_000_000
"""How long after the first look that saw the money near a threshold another one counts as the second."""

_QUARTERS: Final = 4


class RunwayEpisode(Struct, frozen=True):
    """A threshold in days left that the money is near, and whether it was told.

    `near_since` is when it was first seen so. Once it was told, `alert_number` is the alert, and `told_seq` the book's
    last transfer then.
    """

    merchant_id: int
    days: int
    near_since: int
    alert_number: int | None = None
    told_seq: int | None = None

    @property
    def is_told(self) -> bool:
        """Whether it was told, so that it is an episode."""
        return self.alert_number is not None


def look(
    merchant_id: int,
    thresholds: Sequence[int],
    episodes: Sequence[RunwayEpisode],
    *,
    until: int | None,
    now: int,
    arrived_seq: int,
) -> tuple[list[RunwayEpisode], list[int]]:
    """Look at how long a merchant's money lasts.

    Args:
        merchant_id: whose money it is.
        thresholds: the days left to be warned below.
        episodes: what is known of those that the money is near.
        until: when the money is likely to be used up, in microseconds since 1970; None if that can't be told, or if it
            is used up, which is told otherwise.
        now: microseconds since 1970.
        arrived_seq: the last transfer that brought money; 0 if there is none.

    Returns:
        The episodes from now on, and the days left to tell of, ascending: one alert tells of all of them, and names
        the lowest.
    """
    known = {episode.days: episode for episode in episodes}
    kept, due = [], []
    for days in sorted(thresholds):
        episode = known.get(days)
        is_near = until is not None and until - now < days * DAY
        if episode is not None and episode.told_seq is not None:
            is_over = arrived_seq > episode.told_seq or (until is not None and until - now >= ends_beyond(days))
            if not is_over:
                kept.append(episode)
                continue
            episode = None
        if not is_near:
            continue
        if episode is None:
            kept.append(RunwayEpisode(merchant_id, days, now))
            continue
        kept.append(episode)
        if now - episode.near_since >= LOOK_MICROS:
            due.append(days)
    return kept, due


def ends_beyond(days: int) -> int:
    """Tell how far away the end of the money is when an episode of a threshold is over, in microseconds.

    A quarter more than the threshold, rounded up to whole days.
    """
    return (days - -days // _QUARTERS) * DAY


def told(episodes: Sequence[RunwayEpisode], due: Sequence[int], *, alert_number: int, seq: int) -> list[RunwayEpisode]:
    """Tell what is known once an alert has told of some thresholds."""
    return [
        replace(episode, alert_number=alert_number, told_seq=seq) if episode.days in due else episode
        for episode in episodes
    ]
