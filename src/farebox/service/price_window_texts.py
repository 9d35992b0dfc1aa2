"""Windows of a price: weekdays and hours in a named zone, read from plain values, and written as such.

A window that ends on the next day is kept as two; writing shows what is kept.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from typing import Any, Final

from farebox.core.pricing.rules import WINDOWS_MAX, Rates, Window, Windows
from farebox.service.date_words import DAY_NAMES
from farebox.service.errors import InvalidInput
from farebox.service.plain_values import Members, choice, listed, shown, text

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MINUTES_PER_DAY: Final = 24 * 60
TIME_PATTERN: Final = r"([01][0-9]|2[0-3]):[0-5][0-9]"
_TIME: Final = re.compile(TIME_PATTERN, re.ASCII)
_MIDNIGHT: Final = "24:00"
_REQUIRED: Final = {
    "days": 'a list of weekdays, such as ["mon", "fri"]',
    "from": 'the time of day it begins, such as "01:00"',
    "until": 'the time of day before which it ends, such as "04:00"',
    "lines": "the lines that hold in this window",
}


def read_windows(
    path: str, value: object, read_rates: Callable[[Members], Rates], rates_members: Sequence[str]
) -> Windows:
    """Read windows, none of which may overlap another.

    Args:
        path: where they stand.
        value: any plain value.
        read_rates: reads the rates of a window out of its members.
        rates_members: the names of those members.

    Raises:
        InvalidInput: something in it is wrong.
    """
    members = Members.of(
        *(path, value, "zone", "windows"),
        required={"zone": 'a time zone, such as "UTC"', "windows": "a list of windows"},
    )
    zone_name = zone(members.at("zone"), members.values["zone"])
    kept: list[tuple[str, Window]] = []
    for window_path, window_value in members.items("windows", 1, WINDOWS_MAX, "windows"):
        for window in _read_window(window_path, window_value, read_rates, rates_members):
            _ensure_apart(window_path, window, kept)
            kept.append((window_path, window))
    if len(kept) > WINDOWS_MAX:
        raise members.fault(
            "windows",
            f"this comes to {len(kept)} windows, as one that ends on the next day counts as two; "
            f"there may be {WINDOWS_MAX}",
        )
    return Windows(zone_name, tuple(window for _, window in kept))


def written_windows(windows: Windows, written_rates: Callable[[Rates], dict[str, Any]]) -> dict[str, Any]:
    """Write windows as plain values."""
    return {
        "zone": windows.zone,
        "windows": [
            {
                "days": [DAYS[day] for day in window.days],
                "from": time_of_day(window.start_minute),
                "until": time_of_day(window.end_minute),
                **written_rates(window.rates),
            }
            for window in windows.windows
        ],
    }


def zone(path: str, value: object) -> str:
    """Read the name of a zone: one of those that the IANA publishes, so that it means the same on any machine.

    Raises:
        InvalidInput: there is none of that name.
    """
    name = text(path, value, "Europe/Berlin")
    if name not in _zones():
        raise InvalidInput(path, f"there is no time zone {shown(name)}; write one such as Europe/Berlin, or UTC")
    return name


def time_of_day(minute: int) -> str:
    """Write a minute of the day; that after the last one is 24:00.

    >>> time_of_day(0), time_of_day(785), time_of_day(1440)
    ('00:00', '13:05', '24:00')
    """
    return f"{minute // 60:02d}:{minute % 60:02d}"


@cache
def _zones() -> frozenset[str]:
    return frozenset(resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())


def _read_window(
    path: str, value: object, read_rates: Callable[[Members], Rates], rates_members: Sequence[str]
) -> list[Window]:
    """Read a window; one that goes on after midnight is two."""
    members = Members.of(path, value, "days", "from", "until", *rates_members, required=_REQUIRED)
    days = _read_days(members)
    start, end = _read_time(members, "from"), _read_time(members, "until")
    rates = read_rates(members)
    if end > start:
        return [Window(days, start, end, rates)]
    windows = [Window(days, start, _MINUTES_PER_DAY, rates)]
    if end > 0:
        next_days = tuple(sorted((day + 1) % len(DAYS) for day in days))
        windows.append(Window(next_days, 0, end, rates))
    return windows


def _read_days(members: Members) -> tuple[int, ...]:
    days: list[int] = []
    for path, value in members.items("days", 1, len(DAYS), "weekdays"):
        day = DAYS.index(choice(path, value, DAYS))
        if day in days:
            raise InvalidInput(path, f"{DAYS[day]} stands twice; each weekday stands once")
        days.append(day)
    return tuple(sorted(days))


def _read_time(members: Members, name: str) -> int:
    example = "01:00"
    words = members.text(name, example)
    if name == "until" and words == _MIDNIGHT:
        return _MINUTES_PER_DAY
    if not _TIME.fullmatch(words):
        latest = " to 24:00" if name == "until" else " to 23:59"
        raise members.fault(name, f"{shown(words)} is no time of day; write one from 00:00{latest}, such as {example}")
    return int(words[:2]) * 60 + int(words[3:])


def _ensure_apart(path: str, window: Window, kept: Sequence[tuple[str, Window]]) -> None:
    for other_path, other in kept:
        common = [day for day in window.days if day in other.days]
        start, end = max(window.start_minute, other.start_minute), min(window.end_minute, other.end_minute)
        if common and start < end:
            days = listed([DAY_NAMES[day] for day in common])
            raise InvalidInput(
                path,
                f"this overlaps with {other_path}: both hold on {days} from {time_of_day(start)} to "
                f"{time_of_day(end)}; at any time there is one window at most",
            )
