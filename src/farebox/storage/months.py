"""Months of a calendar in UTC, as revenue is kept by."""

from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

_MICROS_PER_SECOND: Final = 1_000_000


class Month(Struct, frozen=True, order=True):
    """A month of a year, in UTC. It has its first microsecond, and ends ahead of the next month's."""

    year: int
    month: int

    @classmethod
    def of(cls, micros: int) -> "Month":
        """Return the month of a time, microseconds since 1970."""
        moment = datetime.fromtimestamp(micros // _MICROS_PER_SECOND, UTC)
        return cls(moment.year, moment.month)

    @classmethod
    def numbered(cls, number: int) -> "Month":
        """Return the month that the database keeps as this number."""
        return cls(*divmod(number, 100))

    @property
    def number(self) -> int:
        """The month as the database keeps it: 202611."""
        return self.year * 100 + self.month

    @property
    def starts_at(self) -> int:
        """When it starts, microseconds since 1970."""
        return int(datetime(self.year, self.month, 1, tzinfo=UTC).timestamp()) * _MICROS_PER_SECOND

    @property
    def ends_at(self) -> int:
        """When the next month starts."""
        return self.plus(1).starts_at

    def plus(self, months: int) -> "Month":
        """Return the month so many months later, or earlier."""
        year, month = divmod(self.year * 12 + self.month - 1 + months, 12)
        return Month(year, month + 1)

    def __str__(self) -> str:
        """Write the month: 2026-11."""
        return f"{self.year}-{self.month:02d}"
