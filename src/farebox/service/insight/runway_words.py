"""A runway in words for people. The days are those on a calendar, so that they agree with the date beside them.

"7 days" means that the money is used up on the seventh day after today, where the reader is; what ends within 24 hours
is "less than a day". Lists, pages, mails and charts all ask here.
"""

from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from farebox.service.insight.burn_model import DAY
from farebox.service.insight.forecast import RUNWAY_DAYS_MAX, Runway

USED_UP: Final = "used up"
_OVER_A_YEAR: Final = "over a year"
_LESS_THAN_A_DAY: Final = "less than a day"
_MICROS_PER_SECOND: Final = 1_000_000


def days_left(runway: Runway, until: int, zone: ZoneInfo) -> int | None:
    """Count the days on the calendar until one of a runway's ends; None if it is over a year away.

    What ends within 24 hours counts as 0 days, even if that is tomorrow.
    """
    if until - runway.now < DAY:
        return 0
    days = (_date_of(until, zone) - _date_of(runway.now, zone)).days
    return days if days <= RUNWAY_DAYS_MAX else None


def lasts(runway: Runway, zone: ZoneInfo) -> str:
    """Say how long the money lasts: "used up", "less than a day", "5 days", "over a year"."""
    if runway.until <= runway.now:
        return USED_UP
    return _in_days(days_left(runway, runway.until, zone))


def likely(runway: Runway, zone: ZoneInfo) -> str | None:
    """Say the likely range: "4 to 7 days", "4 days or more", "up to 7 days"; None if it tells nothing."""
    low, high = (days_left(runway, until, zone) for until in (runway.until_low, runway.until_high))
    if low == high or low is None or (low == 0 and high is None):
        return None
    if high is None:
        return f"{_in_days(low)} or more"
    return f"up to {_in_days(high)}" if low == 0 else f"{low:,} to {_in_days(high)}"


def in_words(runway: Runway | None, zone: ZoneInfo) -> str | None:
    """Say a runway in one phrase: "about 5 days, likely 4 to 7 days"; None if there is none."""
    if runway is None:
        return None
    words, range_words = lasts(runway, zone), likely(runway, zone)
    about = f"about {words}" if days_left(runway, runway.until, zone) else words
    return about if range_words is None or words == USED_UP else f"{about}, likely {range_words}"


def _in_days(days: int | None) -> str:
    if days is None:
        return _OVER_A_YEAR
    if days == 0:
        return _LESS_THAN_A_DAY
    return f"{days:,} day{'' if days == 1 else 's'}"


def _date_of(micros: int, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(micros // _MICROS_PER_SECOND, zone).date()
