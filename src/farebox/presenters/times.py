"""Times as people read them, in the reader's own zone."""

from datetime import UTC, datetime, tzinfo
from typing import Final

from farebox.service.languages import ENGLISH, Language

_MICROS_PER_SECOND: Final = 1_000_000


def at(micros: int, zone: tzinfo | None) -> datetime:
    """Tell a time in a zone; None is the zone of the system, with its offset as it was then."""
    return datetime.fromtimestamp(micros // _MICROS_PER_SECOND, UTC).astimezone(zone)


def time_words(micros: int, zone: tzinfo | None, spoken: Language = ENGLISH) -> str:
    """Write a time within a sentence: 27 Nov 2026, 09:30 CET."""
    time = at(micros, zone)
    return f"{spoken.short_day(time, is_year_shown=True)}, {time:%H:%M} {time.tzname()}"
