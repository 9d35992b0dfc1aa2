"""Dates as mails and pages write them out: in English, whatever the machine's locale."""

from datetime import date, datetime
from typing import Final

DAY_NAMES: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def date_and_time(time: datetime) -> str:
    """Write a date and a time of day: 1 December 2026, 00:00."""
    return f"{time.day} {_MONTHS[time.month - 1]} {time:%Y, %H:%M}"


def day_words(day: date) -> str:
    """Write a day: 1 December 2026."""
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def month_words(day: date) -> str:
    """Write the month of a day: December 2026."""
    return f"{_MONTHS[day.month - 1]} {day.year}"


def short_month(time: date) -> str:
    """Write a month in three characters: Dec."""
    return _MONTHS[time.month - 1][:3]
