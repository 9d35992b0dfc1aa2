"""A runway in words for people. The days are those on a calendar, so that they agree with the date beside them.

"7 days" means that the money is used up on the seventh day after today, where the reader is; what ends within 24 hours
is "less than a day". Lists, pages, mails and charts all ask here.
"""

from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from farebox.service.insight.burn_model import DAY
from farebox.service.insight.forecast import RUNWAY_DAYS_MAX, Runway
from farebox.service.languages import ENGLISH, Language

_MICROS_PER_SECOND: Final = 1_000_000


def days_left(runway: Runway, until: int, zone: ZoneInfo) -> int | None:
    """Count the days on the calendar until one of a runway's ends; None if it is over a year away.

    What ends within 24 hours counts as 0 days, even if that is tomorrow.
    """
    if until - runway.now < DAY:
        return 0
    days = (_date_of(until, zone) - _date_of(runway.now, zone)).days
    return days if days <= RUNWAY_DAYS_MAX else None


def lasts(runway: Runway, zone: ZoneInfo, spoken: Language = ENGLISH) -> str:
    """Say how long the money lasts: "used up", "less than a day", "5 days", "over a year"."""
    if runway.until <= runway.now:
        return spoken.gettext("used up")
    days = days_left(runway, runway.until, zone)
    if days is None:
        return spoken.gettext("over a year")
    return spoken.ngettext("%(count)s day", "%(count)s days", days) if days else spoken.gettext("less than a day")


def likely(runway: Runway, zone: ZoneInfo, spoken: Language = ENGLISH) -> str | None:
    """Say the likely range: "4 to 7 days", "4 days or more", "up to 7 days"; None if it tells nothing."""
    low, high = (days_left(runway, until, zone) for until in (runway.until_low, runway.until_high))
    if low == high or low is None or (low == 0 and high is None):
        return None
    if high is None:
        return spoken.ngettext("%(count)s day or more", "%(count)s days or more", low)
    if low == 0:
        return spoken.ngettext("up to %(count)s day", "up to %(count)s days", high)
    return spoken.ngettext("%(low)s to %(count)s day", "%(low)s to %(count)s days", high, low=spoken.number(low))


def in_words(runway: Runway | None, zone: ZoneInfo, spoken: Language = ENGLISH) -> str | None:
    """Say a runway in one phrase: "about 5 days, likely 4 to 7 days"; None if there is none."""
    if runway is None:
        return None
    words, range_words = lasts(runway, zone, spoken), likely(runway, zone, spoken)
    if range_words is not None and runway.until <= runway.now:
        return words
    days = days_left(runway, runway.until, zone)
    if days:
        words = spoken.ngettext("about %(count)s day", "about %(count)s days", days)
    if range_words is None:
        return words
    return spoken.gettext("%(runway)s, likely %(range)s", runway=words, range=range_words)


def _date_of(micros: int, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(micros // _MICROS_PER_SECOND, zone).date()
