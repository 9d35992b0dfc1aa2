"""Times of a zone: its days and hours, how they are written, and the round ones along an axis.

Times are microseconds since 1970.
"""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from farebox.service.languages import ENGLISH, Language

HOUR: Final = 3_600_000_000
DAY: Final = 24 * HOUR

_MINUTE: Final = 60_000_000
_MICROS_PER_SECOND: Final = 1_000_000
_DAY_MINUTES: Final = 24 * 60
_MINUTE_STEPS: Final = (10, 15, 30, 60, 120, 180, 360, 720)
_DAY_STEPS: Final = (1, 2, 3, 7, 14, 28)


class TimeTick(Struct, frozen=True):
    """A time that has a label, microseconds since 1970."""

    at: int
    label: str


def time_ticks(
    start: int, end: int, zone: ZoneInfo, *, anchor: int, count_max: int, spoken: Language = ENGLISH
) -> list[TimeTick]:
    """List round times of a zone from `start` to `end`, about `count_max` at most.

    Days are those a whole number of steps before or after the anchor's day.
    """
    for minutes in _MINUTE_STEPS:
        if end - start <= count_max * minutes * _MINUTE:
            times = _times_of_day(local(start, zone).date(), local(end, zone).date(), minutes, zone)
            break
    else:
        times = _midnights(start, end, zone, anchor=anchor, count_max=count_max)
    return [TimeTick(at, _tick_label(at, zone, spoken)) for at in sorted(set(times)) if start <= at <= end]


def local(micros: int, zone: ZoneInfo) -> datetime:
    """Turn microseconds since 1970 into a time of a zone, rounded down to the second."""
    return datetime.fromtimestamp(micros // _MICROS_PER_SECOND, zone)


def midnight(day: date, zone: ZoneInfo) -> int:
    """Return when a day begins in a zone, microseconds since 1970."""
    return int(datetime.combine(day, time(), zone).timestamp()) * _MICROS_PER_SECOND


def day_label(day: date, spoken: Language = ENGLISH) -> str:
    """Write a day: 22 Nov."""
    return spoken.short_day(day, is_year_shown=False)


def weekday_label(micros: int, zone: ZoneInfo, spoken: Language = ENGLISH) -> str:
    """Write the day of a time, with its weekday: Sun 22 Nov."""
    return spoken.weekday(local(micros, zone))


def time_label(micros: int, zone: ZoneInfo, spoken: Language = ENGLISH) -> str:
    """Write a time: 22 Nov, 14:05."""
    moment = local(micros, zone)
    return f"{day_label(moment, spoken)}, {moment:%H:%M}"


def _times_of_day(first: date, last: date, minutes: int, zone: ZoneInfo) -> Iterator[int]:
    """List times of day; in place of one that a clock set forward leaves out comes the next that there is."""
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        for minute in range(0, _DAY_MINUTES, minutes):
            moment = datetime.combine(day, time(minute // 60, minute % 60), zone)
            yield int(moment.timestamp()) * _MICROS_PER_SECOND


def _midnights(start: int, end: int, zone: ZoneInfo, *, anchor: int, count_max: int) -> Iterator[int]:
    days = -(-(end - start) // DAY)
    step = next((step for step in _DAY_STEPS if days <= count_max * step), None)
    if step is None:
        step = -(-days // (count_max * _DAY_STEPS[-1])) * _DAY_STEPS[-1]
    day = local(anchor, zone).date()
    before = (day - local(start, zone).date()).days // step
    after = (local(end, zone).date() - day).days // step
    for number in range(-before, after + 1):
        yield midnight(day + timedelta(days=number * step), zone)


def _tick_label(at: int, zone: ZoneInfo, spoken: Language) -> str:
    moment = local(at, zone)
    return day_label(moment, spoken) if moment.time() == time() else f"{moment:%H:%M}"
