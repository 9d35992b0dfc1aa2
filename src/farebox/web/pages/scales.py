"""Where things stand in a chart: round numbers along an amount's axis, round times along a time's.

Places are tenths of a pixel, so that all of it is reckoned in whole numbers, exactly.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from farebox.core.money import MICROS_PER_UNIT

MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
CHARACTER_WIDTH: Final = 72
"""How wide a letter or digit of 11 pixels is taken to be, in tenths: that of a wide font."""

HOUR: Final = 3_600_000_000
DAY: Final = 24 * HOUR

_MINUTE: Final = 60_000_000
_MICROS_PER_SECOND: Final = 1_000_000
_DAY_MINUTES: Final = 24 * 60
_MINUTE_STEPS: Final = (10, 15, 30, 60, 120, 180, 360, 720)
_DAY_STEPS: Final = (1, 2, 3, 7, 14, 28)
_SUFFIXES: Final = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k"))
_SUFFIX_FROM_UNITS: Final = 10_000


class Scale(Struct, frozen=True):
    """A straight map from values onto places: `low` stands at `start`, `high`, which is more, at `end`."""

    low: int
    high: int
    start: int
    end: int

    def place(self, value: int) -> int:
        """Return where a value stands, rounded half up."""
        span = self.high - self.low
        return self.start + (2 * (value - self.low) * (self.end - self.start) + span) // (2 * span)


class Tick(Struct, frozen=True):
    """A time that is labelled, microseconds since 1970."""

    at: int
    label: str


def pixels(tenths: int) -> str:
    """Write a place in pixels, rounded to no more than it is: 44, 129.6.

    >>> pixels(440), pixels(1296), pixels(-5)
    ('44', '129.6', '-0.5')
    """
    whole, rest = divmod(abs(tenths), 10)
    return f"{'-' if tenths < 0 else ''}{whole}{f'.{rest}' if rest else ''}"


def amount_ticks(low: int, high: int, *, count_max: int) -> list[int]:
    """List the multiples of 1, 2 or 5 times a power of ten from `low` to `high`, `count_max` at most; 0 is one of them.

    Args:
        low: micros, 0 or less.
        high: micros, 0 or more, and above `low`.
        count_max: at least 2.
    """
    power = 1
    while True:
        for factor in (1, 2, 5):
            step = factor * power
            first, last = -(-low // step), high // step
            if last - first < count_max:
                return [number * step for number in range(first, last + 1)]
        power *= 10


def short_amounts(ticks: Sequence[int]) -> list[str]:
    """Write round amounts shortly, all alike: 0, 200, 400; 0, 0.5M, 1M."""
    most = max(abs(tick) for tick in ticks) // MICROS_PER_UNIT
    units, suffix = (1, "")
    if most >= _SUFFIX_FROM_UNITS:
        units, suffix = next(item for item in _SUFFIXES if item[0] <= most)
    return [_short(tick, units * MICROS_PER_UNIT, suffix) for tick in ticks]


def time_ticks(start: int, end: int, zone: ZoneInfo, *, anchor: int, count_max: int) -> list[Tick]:
    """List round times of a zone from `start` to `end`, about `count_max` at most.

    Days are those a whole number of steps before or after the anchor's day.
    """
    for minutes in _MINUTE_STEPS:
        if end - start <= count_max * minutes * _MINUTE:
            times = _times_of_day(local(start, zone).date(), local(end, zone).date(), minutes, zone)
            break
    else:
        times = _midnights(start, end, zone, anchor=anchor, count_max=count_max)
    return [Tick(at, _tick_label(at, zone)) for at in sorted(set(times)) if start <= at <= end]


def local(micros: int, zone: ZoneInfo) -> datetime:
    """Turn microseconds since 1970 into a time of a zone, rounded down to the second."""
    return datetime.fromtimestamp(micros // _MICROS_PER_SECOND, zone)


def midnight(day: date, zone: ZoneInfo) -> int:
    """Return when a day begins in a zone, microseconds since 1970."""
    return int(datetime.combine(day, time(), zone).timestamp()) * _MICROS_PER_SECOND


def day_label(day: date) -> str:
    """Write a day: 22 Nov."""
    return f"{day.day} {MONTHS[day.month - 1]}"


def moment_label(micros: int, zone: ZoneInfo) -> str:
    """Write a time: 22 Nov, 14:05."""
    moment = local(micros, zone)
    return f"{day_label(moment.date())}, {moment:%H:%M}"


def text_width(text: str) -> int:
    """Estimate how wide a label is, in tenths of a pixel."""
    return len(text) * CHARACTER_WIDTH


def _short(tick: int, scale: int, suffix: str) -> str:
    if tick == 0:
        return "0"
    whole, rest = divmod(abs(tick), scale)
    decimals = str(rest).rjust(len(str(scale)) - 1, "0").rstrip("0") if rest else ""
    return f"{'-' if tick < 0 else ''}{whole:,}{f'.{decimals}' if decimals else ''}{suffix}"


def _times_of_day(first: date, last: date, minutes: int, zone: ZoneInfo) -> Iterator[int]:
    """List times of day; one that a clock set forward leaves out is the next that there is."""
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


def _tick_label(at: int, zone: ZoneInfo) -> str:
    moment = local(at, zone)
    return day_label(moment.date()) if moment.time() == time() else f"{moment:%H:%M}"
