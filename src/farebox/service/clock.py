"""The clock, passed in so that tests may hold it."""

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> int:
        """Return the time, microseconds since 1970."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> int:
        """Return the time, microseconds since 1970."""
        return time.time_ns() // 1000
