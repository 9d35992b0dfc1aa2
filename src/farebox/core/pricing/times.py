"""Which rates of a rule apply at a time, and when the period began in which units or money are counted.

Times are microseconds since 1970. Days, weekdays and hours are those of a wall clock in a named IANA zone, also where
the clock is set forward or back. The zones' database is data: nothing else is read, and what was read is kept.
"""

from datetime import date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from farebox.core.pricing.rules import Period, Rates, Rule

_MICROS_PER_SECOND: Final = 1_000_000
_ZONES_MAX: Final = 1_024
_PERIODS_MAX: Final = 4_096
_LONGEST_MONTH: Final = timedelta(days=31)


class CalendarUnit(StrEnum):
    """A stretch of the calendar; a week begins on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


def rates_at(rule: Rule, at: int) -> tuple[int | None, Rates]:
    """Choose the rates that apply at a time.

    Returns:
        The number of the window, from 1, or None outside of all windows; and its rates, or the rule's own.
    """
    if rule.windows is None:
        return None, rule.rates
    local = _local(at, rule.windows.zone)
    weekday, minute = local.weekday(), local.hour * 60 + local.minute
    for number, window in enumerate(rule.windows.windows, 1):
        if window.start_minute <= minute < window.end_minute and weekday in window.days:
            return number, window.rates
    return None, rule.rates


def period_start(period: Period, at: int) -> int:
    """Tell when the period of a time began: the first moment that a clock of the zone showed its first day or later."""
    return calendar_bounds(CalendarUnit(period.unit), period.zone, at)[0]


def calendar_bounds(unit: CalendarUnit, zone: str, at: int) -> tuple[int, int]:
    """Tell when the day, week or month of a time began in a zone, and when the next one begins.

    They follow one another without a gap. Where a clock is set back over midnight, the new day has begun at its first
    midnight, and what the clock shows of the old day once more belongs to the new one.
    """
    day = _local(at, zone).date()
    start, end = _bounds(unit, zone, day)
    return (start, end) if at < end else _bounds(unit, zone, _following(unit, _first(unit, day)))


@lru_cache(_ZONES_MAX)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _local(at: int, zone: str) -> datetime:
    return datetime.fromtimestamp(at // _MICROS_PER_SECOND, _zone(zone))


def _first(unit: CalendarUnit, day: date) -> date:
    """Find the first day of the day, week or month that a day is in."""
    if unit is CalendarUnit.MONTH:
        return day.replace(day=1)
    return day - timedelta(days=day.weekday()) if unit is CalendarUnit.WEEK else day


def _following(unit: CalendarUnit, first: date) -> date:
    """Find the first day of the next day, week or month."""
    if unit is CalendarUnit.MONTH:
        return (first + _LONGEST_MONTH).replace(day=1)
    return first + timedelta(days=7 if unit is CalendarUnit.WEEK else 1)


@lru_cache(_PERIODS_MAX)
def _bounds(unit: CalendarUnit, zone: str, day: date) -> tuple[int, int]:
    """Tell when the day, week or month of a day begins, and when the next one does."""
    first = _first(unit, day)
    return _day_start(first, _zone(zone)), _day_start(_following(unit, first), _zone(zone))


def _day_start(day: date, zone: ZoneInfo) -> int:
    """Tell when a clock of the zone first showed midnight of a day, or a later time."""
    midnight = datetime.combine(day, time())
    start, other = (int(midnight.replace(tzinfo=zone, fold=fold).timestamp()) for fold in (0, 1))
    if other < start:
        # The clock was set forward over midnight, somewhere between these two: at `other` it showed an earlier time.
        while start - other > 1:
            middle = (start + other) // 2
            if datetime.fromtimestamp(middle, zone).replace(tzinfo=None) < midnight:
                other = middle
            else:
                start = middle
    return start * _MICROS_PER_SECOND
