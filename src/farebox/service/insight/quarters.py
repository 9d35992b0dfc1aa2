"""Quarters of an hour: what is counted by them is read by hour or day of any time zone.

A quarter of an hour, because every time zone's offset from UTC is a whole number of them.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Final, Literal, Protocol, TypeVar
from zoneinfo import ZoneInfo

from msgspec import Struct

from farebox.service import inputs
from farebox.service.errors import InvalidInput, translated

HOURS_MAX: Final = 31 * 24
DAYS_MAX: Final = 366

MICROS_PER_QUARTER: Final = 900_000_000
_QUARTER_SECONDS: Final = 900
_DAY_QUARTERS: Final = 96
BUCKET_QUARTERS: Final = {"hour": 4, "day": _DAY_QUARTERS}

By = Literal["hour", "day"]


class Days(Struct, frozen=True):
    """Days of a time zone, the first and the last included."""

    first: date
    last: date
    zone: ZoneInfo


class Bucketed(Protocol):
    """A count within one hour or day, by the number that storage gives it."""

    @property
    def bucket(self) -> int: ...


_Row = TypeVar("_Row", bound=Bucketed)
_Row_co = TypeVar("_Row_co", bound=Bucketed, covariant=True)


class BucketReader(Protocol[_Row_co]):
    """A method of storage that sums quarters up into buckets of hours or days."""

    async def __call__(
        self, merchant_id: int, *, first_quarter: int, last_quarter: int, offset_quarters: int, bucket_quarters: int
    ) -> Sequence[_Row_co]: ...


class _Stretch(Struct, frozen=True):
    """Quarters in which a time zone keeps one offset."""

    first_quarter: int
    last_quarter: int
    offset_quarters: int


def chosen_days(*, by: By, first: str | None, last: str | None, zone: str, now: int) -> Days:
    """Read which days are wanted: 30 of them (or a week, by hours) up to today, unless they are named.

    Raises:
        InvalidInput: a day or zone that makes no sense, or more than DAYS_MAX days or HOURS_MAX hours.
    """
    time_zone = inputs.time_zone("timeZone", zone)
    last_day = today(now, time_zone) if last is None else inputs.day("to", last)
    first_day = last_day - timedelta(days=6 if by == "hour" else 29) if first is None else inputs.day("from", first)
    days = (last_day - first_day).days + 1
    if days < 1:
        raise InvalidInput("from", "the first day is after the last one")
    if days > (HOURS_MAX // 24 if by == "hour" else DAYS_MAX):
        raise InvalidInput("from", f"ask for {DAYS_MAX} days, or {HOURS_MAX // 24} days by the hour, at most")
    return Days(first_day, last_day, time_zone)


def today(now: int, zone: ZoneInfo) -> date:
    """Tell which day it is."""
    return datetime.fromtimestamp(now // 1_000_000, zone).date()


async def read_buckets(
    read: BucketReader[_Row], merchant_id: int, days: Days, by: By
) -> AsyncIterator[tuple[int, _Row]]:
    """Read what was counted of a merchant, by hours or days: each row, and when its hour or day starts.

    The day on which the zone's offset changes comes twice, so its rows are to be added up.

    Raises:
        Unavailable: the database can't be read.
    """
    length = BUCKET_QUARTERS[by]
    for stretch in _stretches(days):
        with translated():
            found = await read(
                merchant_id,
                first_quarter=stretch.first_quarter,
                last_quarter=stretch.last_quarter,
                offset_quarters=stretch.offset_quarters,
                bucket_quarters=length,
            )
        for bucket, rows in groupby(found, key=lambda row: row.bucket):
            starts_at = _bucket_start(bucket * length, stretch, by=by, zone=days.zone)
            for row in rows:
                yield starts_at, row


def quarters_of(days: Days) -> tuple[int, int]:
    """Tell the first and the last quarter of an hour of some days."""
    return _midnight(days.first, days.zone), _midnight(days.last + timedelta(days=1), days.zone) - 1


def _midnight(day: date, zone: ZoneInfo) -> int:
    return _quarter(datetime.combine(day, datetime.min.time(), zone))


def _quarter(moment: datetime) -> int:
    return int(moment.timestamp()) // _QUARTER_SECONDS


def _offset_quarters(quarter: int, zone: ZoneInfo) -> int:
    offset = datetime.fromtimestamp(quarter * _QUARTER_SECONDS, zone).utcoffset() or timedelta()
    return int(offset.total_seconds()) // _QUARTER_SECONDS


def _stretches(days: Days) -> Iterator[_Stretch]:
    """Cut days into stretches of one offset: an offset changes a few times a year, at a whole quarter of an hour."""
    zone = days.zone
    start, last = quarters_of(days)
    end = last + 1
    while start < end:
        offset = _offset_quarters(start, zone)
        stop = start
        while stop < end and _offset_quarters(min(stop + _DAY_QUARTERS, end) - 1, zone) == offset:
            stop = min(stop + _DAY_QUARTERS, end)
        while stop < end and _offset_quarters(stop, zone) == offset:
            stop += 1
        yield _Stretch(start, stop - 1, offset)
        start = stop


def _bucket_start(local_quarter: int, stretch: _Stretch, *, by: By, zone: ZoneInfo) -> int:
    """Tell when a bucket starts.

    The day on which an offset changes is in two stretches, and starts at its midnight. An hour that an offset's change
    cuts in two, as Lord Howe's half an hour does, is two buckets, and the second one starts with the change.
    """
    if by == "day":
        local_day = datetime.fromtimestamp(local_quarter * _QUARTER_SECONDS, UTC).date()
        return int(datetime.combine(local_day, datetime.min.time(), zone).timestamp()) * 1_000_000
    return max(local_quarter - stretch.offset_quarters, stretch.first_quarter) * MICROS_PER_QUARTER
