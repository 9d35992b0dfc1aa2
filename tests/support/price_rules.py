"""Random price rules, and requests that they price."""

from datetime import UTC, datetime
from itertools import pairwise
from typing import Final
from zoneinfo import available_timezones

from hypothesis import strategies as st

from farebox.core.price_rules import Line, Period, PeriodUnit, Rates, Window, Windows

DAY_MINUTES: Final = 24 * 60

ODD_ZONES: Final = (
    "Africa/Cairo",
    "America/Havana",
    "America/Santiago",
    "America/Scoresbysund",
    "America/St_Johns",
    "Antarctica/Casey",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Kwajalein",
)
"""Zones whose clocks were set forward or back over midnight, by half an hour, or by a whole day."""

_FIRST: Final = int(datetime(1973, 1, 1, tzinfo=UTC).timestamp()) * 10**6
_LAST: Final = int(datetime(2060, 1, 1, tzinfo=UTC).timestamp()) * 10**6


def zones() -> st.SearchStrategy[str]:
    return st.sampled_from(("UTC", "Europe/Berlin", *ODD_ZONES)) | st.sampled_from(sorted(available_timezones()))


def times() -> st.SearchStrategy[int]:
    """Make microseconds since 1970, of years in which every zone is whole minutes away from UTC."""
    return st.integers(_FIRST, _LAST)


def periods() -> st.SearchStrategy[Period]:
    return st.builds(Period, st.sampled_from(PeriodUnit), zones(), st.booleans())


@st.composite
def windows(draw: st.DrawFn, rates: st.SearchStrategy[Rates]) -> Windows:
    """Make windows none of which overlaps another: each weekday has the hours of one of two lists, or none."""
    groups: list[int] = draw(st.lists(st.integers(0, 2), min_size=7, max_size=7))
    parts = []
    for group in (1, 2):
        days = tuple(day for day in range(7) if groups[day] == group)
        borders: set[int] = draw(st.sets(st.integers(0, DAY_MINUTES), max_size=5))
        for start, end in pairwise(sorted(borders)):
            is_there: bool = draw(st.booleans())
            if days and is_there:
                parts.append(Window(days, start, end, draw(rates)))
    whole_week = Window(tuple(range(7)), 0, DAY_MINUTES, draw(rates))
    return Windows(draw(zones()), tuple(parts) or (whole_week,))


def flat_rates() -> st.SearchStrategy[Rates]:
    return st.builds(lambda amount: Rates((Line("units", amount),)), st.integers(0, 10**6))
