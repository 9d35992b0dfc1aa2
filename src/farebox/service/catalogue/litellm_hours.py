"""The off-peak hours of litellm's price file as windows.

The file has hours in UTC, and weekdays in a zone of their own. Both become the zone's: its days are as the file has
them, and its hours are the file's, moved by how far the zone's clock is ahead. That works for zones whose clock is
never changed.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, time, timedelta
from fractions import Fraction
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from farebox.core.pricing.rules import Rates, Window
from farebox.service.catalogue.lines import Component, NumberReader
from farebox.service.catalogue.listed import Inexpressible, Reason
from farebox.service.catalogue.litellm_members import read_member
from farebox.service.price_window_texts import DAYS

_DAY_MINUTES: Final = 24 * 60
_EVERY_DAY: Final = tuple(range(7))
_WEEKDAYS: Final = {name: number for number, name in enumerate(DAYS)}
_YEARS_CHECKED: Final = range(2024, 2031)

_Minutes = list[tuple[int, int]]


def off_peak_windows(
    block: object, rates_of: Callable[[Mapping[Component, Fraction]], Rates], numbers: NumberReader, remarks: list[str]
) -> tuple[str, tuple[Window, ...]]:
    """Make windows of an entry's `off_peak_pricing`, and name the zone of their days and hours.

    Raises:
        Inexpressible: its hours are none that windows have.
    """
    if not isinstance(block, Mapping):
        raise Inexpressible(Reason.HOURS, "off_peak_pricing is no object")
    prices = {}
    for name, value in block.items():
        if name in {"windows", "hours_utc", "weekday_timezone"} or value is None:
            continue
        member = read_member(name)
        if member is None or member.processing or member.above:
            raise Inexpressible(Reason.UNKNOWN_MEMBER, f"off_peak_pricing {name}")
        prices[member.component] = numbers.price(f"off_peak_pricing {name}", value, remarks)
    rates = rates_of(prices)
    zone, ahead = _zone(block.get("weekday_timezone"))
    minutes: dict[int, set[int]] = {day: set() for day in _EVERY_DAY}
    for days, hours in _rules(block):
        for start, end in hours:
            for day in days:
                minutes[day] |= {(minute + ahead) % _DAY_MINUTES for minute in range(start, end)}
    by_hours: dict[tuple[int, int], list[int]] = {}
    for day, open_minutes in minutes.items():
        for stretch in _stretches(open_minutes):
            by_hours.setdefault(stretch, []).append(day)
    if not by_hours:
        raise Inexpressible(Reason.HOURS, "off_peak_pricing names no hours")
    return zone, tuple(Window(tuple(days), start, end, rates) for (start, end), days in by_hours.items())


def _rules(block: Mapping[str, object]) -> list[tuple[tuple[int, ...], _Minutes]]:
    """List the weekdays (0 is Monday) and the minutes of a day in UTC that each of the block's rules names."""
    rules = []
    if block.get("hours_utc") is not None:
        rules.append((_EVERY_DAY, _hours(block["hours_utc"])))
    windows = block.get("windows")
    for window in windows if isinstance(windows, list) else []:
        if not isinstance(window, Mapping):
            raise Inexpressible(Reason.HOURS, "a window that is no object")
        days = window.get("weekdays")
        rules.append((_EVERY_DAY if days is None else _days(days), _hours(window.get("hours_utc"))))
    return rules


def _days(value: object) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise Inexpressible(Reason.HOURS, "weekdays that are no list")
    days = []
    for day in value:
        text = str(day).strip().lower()
        number = int(text) - 1 if text in {"1", "2", "3", "4", "5", "6", "7"} else _WEEKDAYS.get(text[:3])
        if number is None:
            raise Inexpressible(Reason.HOURS, f"the weekday {text[:20]!r}")
        days.append(number)
    return tuple(days)


def _hours(value: object) -> _Minutes:
    """Read stretches such as 10:00-00:00; one that ends where it begins is the whole day."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list):
        raise Inexpressible(Reason.HOURS, "a window without hours")
    hours: _Minutes = []
    for text in texts:
        try:
            start, end = (time.fromisoformat(border.strip()) for border in str(text).split("-"))
        except ValueError as error:
            raise Inexpressible(Reason.HOURS, f"the hours {str(text)[:20]!r}") from error
        first, last = (moment.hour * 60 + moment.minute for moment in (start, end))
        hours.append((first, last if last > first else last + _DAY_MINUTES))
    return hours


def _zone(value: object) -> tuple[str, int]:
    """Name the zone, and tell how many minutes its clock is ahead of UTC, at any time of the year."""
    if value is None:
        return "UTC", 0
    try:
        zone = ZoneInfo(str(value))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Inexpressible(Reason.HOURS, f"the zone {str(value)[:40]!r}") from error
    offsets = {
        datetime(year, month, 1, tzinfo=UTC).astimezone(zone).utcoffset()
        for year in _YEARS_CHECKED
        for month in range(1, 13)
    }
    offset = offsets.pop()
    if offsets or offset is None:
        raise Inexpressible(Reason.HOURS, f"hours in UTC and days in {value}, whose clock is changed within a year")
    return str(value), offset // timedelta(minutes=1)


def _stretches(minutes: set[int]) -> list[tuple[int, int]]:
    """Write a day's open minutes as stretches: from, and until before."""
    starts = sorted(minute for minute in minutes if minute - 1 not in minutes)
    ends = sorted(minute + 1 for minute in minutes if minute + 1 not in minutes)
    return list(zip(starts, ends, strict=True))
