"""Ids for what people set up: merchants, users, keys, prices, requests for approval."""

import secrets

from farebox.core import ids
from farebox.service.clock import Clock


class IdGenerator:
    """Makes numbers of the clock and of random bits, each above the one before.

    So no two of one process are alike, and they sort in the order they were made, within a millisecond too and when
    the clock steps back: the rule of a monotonic ULID (github.com/ulid/spec). Between processes the random bits decide.
    """

    def __init__(self, clock: Clock) -> None:
        """Take the time from this clock."""
        self._clock = clock
        self._last = 0

    def next(self) -> int:
        """Return a new number, above every one before it."""
        number = ids.new_number(self._clock.now() // 1000, secrets.randbits(ids.RANDOM_BITS))
        self._last = max(number, self._last + 1)
        return self._last
