"""Periods of reports: whole weeks and months of any zone, one after the other, and when each report falls due."""

from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.service.insight import quarters
from farebox.service.reports.periods import ReportPeriod, last_due, period_from, period_of, present_period, reader_zone
from farebox.storage.report_records import ReportKind

WEEKLY, MONTHLY = ReportKind.WEEKLY, ReportKind.MONTHLY
BERLIN: Final = ZoneInfo("Europe/Berlin")
ZONES: Final = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Apia"])
DAYS: Final = st.dates(date(2020, 1, 1), date(2035, 12, 31))


def micros(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("kind", "day", "week_start", "first", "last"),
    [
        (WEEKLY, "2026-11-29", 1, "2026-11-23", "2026-11-29"),
        (WEEKLY, "2026-11-30", 1, "2026-11-30", "2026-12-06"),
        (WEEKLY, "2026-11-29", 7, "2026-11-29", "2026-12-05"),
        (WEEKLY, "2026-11-28", 7, "2026-11-22", "2026-11-28"),
        (MONTHLY, "2026-11-29", 1, "2026-11-01", "2026-11-30"),
        (MONTHLY, "2028-02-29", 5, "2028-02-01", "2028-02-29"),
        (MONTHLY, "2026-12-31", 1, "2026-12-01", "2026-12-31"),
    ],
)
def test_a_day_is_in_one_week_or_month(kind: ReportKind, day: str, week_start: int, first: str, last: str) -> None:
    period = period_of(kind, date.fromisoformat(day), week_start=week_start)
    assert (first, last) == (str(period.first), str(period.last))


@given(kind=st.sampled_from(ReportKind), day=DAYS, week_start=st.integers(1, 7), zone=ZONES)
def test_periods_follow_each_other_without_a_gap(kind: ReportKind, day: date, week_start: int, zone: str) -> None:
    period, place = period_of(kind, day, week_start=week_start), ZoneInfo(zone)
    assert period.first <= day <= period.last
    assert period == period.before().after() == period.after().before() == period_from(kind, period.first)
    assert timedelta(1) == period.after().first - period.last
    assert period.ends_at(place) == period.after().starts_at(place)
    assert (period.last - period.first).days + 1 == (
        7 if kind == WEEKLY else (period.after().first - period.first).days
    )
    first, last = quarters.quarters_of(period.days(place))
    assert (first * 900_000_000, (last + 1) * 900_000_000) == (period.starts_at(place), period.ends_at(place))


@given(kind=st.sampled_from(ReportKind), day=DAYS, hour=st.integers(0, 23), week_start=st.integers(1, 7), zone=ZONES)
def test_the_last_one_that_is_due_is_over_and_the_next_one_is_not_due(
    kind: ReportKind, day: date, hour: int, week_start: int, zone: str
) -> None:
    place = ZoneInfo(zone)
    now = int(datetime(day.year, day.month, day.day, hour, tzinfo=place).timestamp()) * 1_000_000
    period = last_due(kind, now, place, week_start=week_start)
    assert period.ends_at(place) < period.due_at(place) <= now < period.after().due_at(place)


@pytest.mark.parametrize(
    ("now", "first"),
    [
        ("2026-11-30 05:59:59", "2026-11-16"),
        ("2026-11-30 06:00:00", "2026-11-23"),
        ("2026-12-06 23:00:00", "2026-11-23"),
    ],
)
def test_a_report_falls_due_in_the_morning_of_its_reader(now: str, first: str) -> None:
    period = last_due(WEEKLY, micros(now, "Europe/Berlin"), BERLIN, week_start=1)
    assert first == str(period.first)


def test_the_week_in_which_clocks_change_has_all_of_its_hours() -> None:
    period = present_period(WEEKLY, micros("2026-10-22 12:00:00"), BERLIN)
    assert 7 * 24 + 1 == (period.ends_at(BERLIN) - period.starts_at(BERLIN)) // 3_600_000_000
    assert ReportPeriod(WEEKLY, date(2026, 10, 19), date(2026, 10, 25)) == period
    assert datetime(2026, 10, 26, 5, tzinfo=UTC).timestamp() * 1_000_000 == period.due_at(BERLIN)


def test_a_zone_that_the_machine_does_not_know_any_more_is_utc() -> None:
    assert ("Europe/Berlin", "UTC", "UTC") == tuple(
        reader_zone(name).key for name in ("Europe/Berlin", "Mars/Phobos", "")
    )
