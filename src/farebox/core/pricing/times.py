"""Which rates of a rule apply at a time, and when the period began in which units are counted.

Times are microseconds since 1970. Days, weekdays and hours are those of a wall clock in a named IANA zone, also where
the clock is set forward or back. The zones' database is data: nothing else is read, and what was read is kept.
"""

from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from farebox.core.pricing.rules import Period, PeriodUnit, Rates, Rule

_MICROS_PER_SECOND: Final = 1_000_000
_ZONES_MAX: Final = 1_024
_PERIODS_MAX: Final = 4_096


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
    """Tell when the period of a time began: the first moment that a clock of the zone showed its first day or later.

    Periods follow one another without a gap. Where a clock is set back over midnight, the new day has begun at its
    first midnight, and what the clock shows of the old day once more belongs to the new one.
    """
    start, end = _bounds(period.unit, period.zone, _local(at, period.zone).date())
    return start if at < end else end


@lru_cache(_ZONES_MAX)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _local(at: int, zone: str) -> datetime:
    return datetime.fromtimestamp(at // _MICROS_PER_SECOND, _zone(zone))


@lru_cache(_PERIODS_MAX)
def _bounds(unit: PeriodUnit, zone: str, day: date) -> tuple[int, int]:
    """Tell when the period of a day begins, and when the next one does."""
    first = day.replace(day=1) if unit is PeriodUnit.MONTH else day
    following = (first + timedelta(days=31)).replace(day=1) if unit is PeriodUnit.MONTH else day + timedelta(days=1)
    return _day_start(first, _zone(zone)), _day_start(following, _zone(zone))


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
