"""Which rates apply at a time, and when a period began: worked out by hand, and against slow models."""

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from farebox.core.pricing.rules import Line, Period, PeriodUnit, Rates, Rule, Window, Windows
from farebox.core.pricing.times import period_start, rates_at
from tests.support.price_rules import flat_rates, periods, times, windows

MINUTE: Final = 60 * 10**6
DAY: Final = 24 * 60 * MINUTE
NORMAL: Final = Rates((Line("in", 150_000, 10**6), Line("out", 600_000, 10**6)))
PEAK: Final = Rates((Line("in", 300_000, 10**6), Line("out", 1_200_000, 10**6)))
NIGHT: Final = Rates((Line("in", 75_000, 10**6), Line("out", 300_000, 10**6)))
WORKDAYS: Final = (0, 1, 2, 3, 4)


def micros(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int(moment.replace(microsecond=0).timestamp()) * 10**6 + moment.microsecond


def in_zone(zone: str, *parts: Window) -> Rule:
    return Rule(NORMAL, Windows(zone, parts))


@pytest.mark.parametrize(
    ("at", "number"),
    [
        ("2026-11-27T00:59:59.999999Z", None),
        ("2026-11-27T01:00:00Z", 1),
        ("2026-11-27T03:59:59.999999Z", 1),
        ("2026-11-27T04:00:00Z", None),
        ("2026-11-28T02:00:00Z", None),
        ("2026-11-30T02:00:00Z", 1),
    ],
)
def test_a_window_begins_with_its_first_microsecond_and_ends_before_its_last(at: str, number: int | None) -> None:
    rule = in_zone("UTC", Window(WORKDAYS, 60, 240, PEAK))
    assert (number, NORMAL if number is None else PEAK) == rates_at(rule, micros(at))


def test_a_rule_without_windows_has_the_same_rates_at_all_times() -> None:
    assert (None, NORMAL) == rates_at(Rule(NORMAL), micros("2026-11-27T01:00:00Z"))


@pytest.mark.parametrize(
    ("at", "number"),
    [
        # Sunday 29 March 2026: 02:00 is followed by 03:00. The hour that is left out is in nobody's window.
        ("2026-03-29T01:59:59.999999+01:00", 1),
        ("2026-03-29T03:00:00+02:00", 2),
        # Sunday 25 October 2026: 03:00 is followed by 02:00, and so the hour from 02:00 comes twice.
        ("2026-10-25T01:59:59+02:00", 1),
        ("2026-10-25T02:30:00+02:00", None),
        ("2026-10-25T02:30:00+01:00", None),
        ("2026-10-25T03:00:00+01:00", 2),
        # Days and hours are the zone's: Saturday night in UTC.
        ("2026-11-28T23:30:00+00:00", 1),
        ("2026-11-28T22:59:59.999999+00:00", None),
    ],
)
def test_windows_go_by_the_clock_of_their_zone(at: str, number: int | None) -> None:
    rule = in_zone("Europe/Berlin", Window((6,), 0, 120, NIGHT), Window((6,), 180, 1440, PEAK))
    assert number == rates_at(rule, micros(at))[0]


@given(rates=windows(flat_rates()), at=times())
def test_a_window_holds_the_minutes_that_a_clock_shows(rates: Windows, at: int) -> None:
    minutes = {
        (weekday, f"{minute // 60:02}:{minute % 60:02}"): number
        for number, window in enumerate(rates.windows, 1)
        for weekday in window.days
        for minute in range(window.start_minute, window.end_minute)
    }
    assert sum(len(window.days) * (window.end_minute - window.start_minute) for window in rates.windows) == len(minutes)
    clock = datetime.fromtimestamp(at // 10**6, ZoneInfo(rates.zone))
    number = minutes.get((clock.weekday(), clock.strftime("%H:%M")))
    expected = (number, NORMAL if number is None else rates.windows[number - 1].rates)
    rule = Rule(NORMAL, rates)
    assert expected == rates_at(rule, at)
    # The whole minute has the same rates.
    assert expected == rates_at(rule, at - at % MINUTE) == rates_at(rule, at - at % MINUTE + MINUTE - 1)


@pytest.mark.parametrize(
    ("unit", "zone", "at", "start"),
    [
        ("day", "UTC", "2026-11-29T00:00:00Z", "2026-11-29T00:00:00Z"),
        ("day", "UTC", "2026-11-28T23:59:59.999999Z", "2026-11-28T00:00:00Z"),
        ("month", "UTC", "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z"),
        ("month", "UTC", "2026-12-31T23:59:59.999999Z", "2026-12-01T00:00:00Z"),
        ("month", "Europe/Berlin", "2026-11-30T23:30:00Z", "2026-12-01T00:00:00+01:00"),
        # Clocks were set forward and back within the month.
        ("month", "Europe/Berlin", "2026-03-31T12:00:00+02:00", "2026-03-01T00:00:00+01:00"),
        ("month", "Europe/Berlin", "2026-10-31T12:00:00+01:00", "2026-10-01T00:00:00+02:00"),
        # Cairo, 24 April 2026: 00:00 is followed by 01:00, so the day begins at 01:00.
        ("day", "Africa/Cairo", "2026-04-24T12:00:00+03:00", "2026-04-24T01:00:00+03:00"),
        ("day", "Africa/Cairo", "2026-04-23T23:59:59.999999+02:00", "2026-04-23T00:00:00+02:00"),
        # Havana, 1 November 2026: 01:00 is followed by 00:00, so midnight comes twice; the first one begins the month.
        ("month", "America/Havana", "2026-11-01T00:30:00-05:00", "2026-11-01T00:00:00-04:00"),
        ("day", "America/Havana", "2026-11-01T12:00:00-05:00", "2026-11-01T00:00:00-04:00"),
        # Santiago, 4 April 2027: 24:00 is followed by 23:00, and the day before has that hour twice.
        ("day", "America/Santiago", "2027-04-03T23:30:00-04:00", "2027-04-03T00:00:00-03:00"),
        ("day", "America/Santiago", "2027-04-04T00:00:00-04:00", "2027-04-04T00:00:00-04:00"),
        # St. John's, 1 November 2009: a minute after midnight the clock was set back to 23:01 of the day before.
        ("month", "America/St_Johns", "2009-11-01T00:00:30-02:30", "2009-11-01T00:00:00-02:30"),
        ("month", "America/St_Johns", "2009-10-31T23:30:00-03:30", "2009-11-01T00:00:00-02:30"),
        ("month", "America/St_Johns", "2009-10-31T23:30:00-02:30", "2009-10-01T00:00:00-02:30"),
        # Scoresbysund, 30 March 2025, from -02:00 to -01:00 at 23:00 of the day before: that day has 23 hours.
        ("day", "America/Scoresbysund", "2025-03-30T00:00:00-01:00", "2025-03-30T00:00:00-01:00"),
        # Apia had no 30 December 2011.
        ("day", "Pacific/Apia", "2011-12-31T08:00:00+14:00", "2011-12-31T00:00:00+14:00"),
        ("day", "Pacific/Apia", "2011-12-29T23:59:59-10:00", "2011-12-29T00:00:00-10:00"),
        # Toronto, 30 March 1919: 23:30 was followed by 00:30, which was the first moment of the next day.
        ("day", "America/Toronto", "1919-03-31T12:00:00-04:00", "1919-03-31T00:30:00-04:00"),
    ],
)
def test_starts_of_periods_worked_out_by_hand(unit: str, zone: str, at: str, start: str) -> None:
    assert micros(start) == period_start(Period(PeriodUnit(unit), zone), micros(at))


@given(periods(), times())
@example(Period(PeriodUnit.MONTH, "America/St_Johns"), micros("2009-10-31T23:30:00-03:30"))
def test_periods_follow_one_another_without_a_gap(period: Period, at: int) -> None:
    start = period_start(period, at)
    assert start <= at
    assert start == period_start(period, start)
    assert period_start(period, start - 1) < start
    following = next(
        later for day in range(1, 35) if (later := period_start(period, start + day * DAY)) > max(start, at)
    )
    assert start == period_start(period, following - 1)
    assert following == period_start(period, following)


@given(periods(), times(), st.floats(0, 1, exclude_max=True))
def test_all_times_between_have_the_same_period(period: Period, at: int, share: float) -> None:
    start = period_start(period, at)
    assert start == period_start(period, start + int((at - start) * share))


@settings(max_examples=60)
@given(periods(), times())
@example(Period(PeriodUnit.DAY, "Pacific/Apia"), micros("2011-12-31T08:00:00+14:00"))
@example(Period(PeriodUnit.DAY, "Pacific/Kwajalein"), micros("1993-08-22T08:00:00+12:00"))
@example(Period(PeriodUnit.MONTH, "America/St_Johns"), micros("2009-10-31T23:30:00-03:30"))
def test_a_period_begins_with_the_first_minute_that_shows_its_days(period: Period, at: int) -> None:
    """Go through all minutes before the time; once a clock has shown a day, no earlier one comes back."""
    days = 3 if period.unit is PeriodUnit.DAY else 35
    last = at // MINUTE
    shown, start = (0, 0), 0
    for minute in range(last - days * 24 * 60, last + 1):
        clock = datetime.fromtimestamp(minute * 60, ZoneInfo(period.zone))
        now = (clock.year * 12 + clock.month, clock.day if period.unit is PeriodUnit.DAY else 0)
        if now > shown:
            shown, start = now, minute * MINUTE
    assert start == period_start(period, at)
