"""Periods of reports: whole weeks or months of a time zone, and when the report of one falls due.

A week begins on the weekday that its reader chose. A report falls due at DUE_HOUR of the first day after its period, in
the morning: people find it when their day begins, and by then the clocks of all servers agree that the period is over.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct

from farebox.service.insight import quarters
from farebox.service.insight.quarters import Days
from farebox.storage.report_records import ReportKind

DUE_HOUR: Final = 6

_WEEK_DAYS: Final = 7
_DAY: Final = timedelta(days=1)
_MICROS_PER_SECOND: Final = 1_000_000


class ReportPeriod(Struct, frozen=True):
    """A week or a month: its days, the first and the last included."""

    kind: ReportKind
    first: date
    last: date

    def before(self) -> "ReportPeriod":
        """Return the period that ends ahead of it."""
        if self.kind == ReportKind.WEEKLY:
            return _week_from(self.first - _WEEK_DAYS * _DAY)
        return _month_of(self.first - _DAY)

    def after(self) -> "ReportPeriod":
        """Return the period that begins as it ends."""
        return _week_from(self.last + _DAY) if self.kind == ReportKind.WEEKLY else _month_of(self.last + _DAY)

    def days(self, zone: ZoneInfo) -> Days:
        """Its days in a zone."""
        return Days(self.first, self.last, zone)

    def starts_at(self, zone: ZoneInfo) -> int:
        """When it starts, microseconds since 1970."""
        return _micros(self.first, time(), zone)

    def ends_at(self, zone: ZoneInfo) -> int:
        """When the next one starts."""
        return _micros(self.last + _DAY, time(), zone)

    def due_at(self, zone: ZoneInfo) -> int:
        """When its report falls due."""
        return _micros(self.last + _DAY, time(DUE_HOUR), zone)


def period_of(kind: ReportKind, day: date, *, week_start: int = 1) -> ReportPeriod:
    """Return the period that a day is in; weeks begin on the weekday `week_start`, 1 for Monday to 7."""
    if kind == ReportKind.MONTHLY:
        return _month_of(day)
    return _week_from(day - (day.isoweekday() - week_start) % _WEEK_DAYS * _DAY)


def period_from(kind: ReportKind, first: date) -> ReportPeriod:
    """Return the period that begins on a day."""
    return _month_of(first) if kind == ReportKind.MONTHLY else _week_from(first)


def present_period(kind: ReportKind, now: int, zone: ZoneInfo, *, week_start: int = 1) -> ReportPeriod:
    """Return the period that a time is in."""
    return period_of(kind, quarters.today(now, zone), week_start=week_start)


def last_due(kind: ReportKind, now: int, zone: ZoneInfo, *, week_start: int) -> ReportPeriod:
    """Return the last period whose report has fallen due."""
    period = present_period(kind, now, zone, week_start=week_start).before()
    return period if period.due_at(zone) <= now else period.before()


def reader_zone(name: str) -> ZoneInfo:
    """Return a reader's zone; UTC in place of one that the machine's data do not have any more."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def _week_from(first: date) -> ReportPeriod:
    return ReportPeriod(ReportKind.WEEKLY, first, first + (_WEEK_DAYS - 1) * _DAY)


def _month_of(day: date) -> ReportPeriod:
    first = day.replace(day=1)
    next_first = (first + 31 * _DAY).replace(day=1)
    return ReportPeriod(ReportKind.MONTHLY, first, next_first - _DAY)


def _micros(day: date, hour: time, zone: ZoneInfo) -> int:
    return int(datetime.combine(day, hour, zone).astimezone(UTC).timestamp()) * _MICROS_PER_SECOND
