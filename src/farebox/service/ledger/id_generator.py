"""Ids for what support sets up: merchants, people, keys, prices, requests for approval."""

import secrets

from farebox.core import ids
from farebox.service.clock import Clock


class IdGenerator:
    """Draws numbers by the clock and at random, each above the one before.

    So no two of one process are alike, and they sort in the order they were drawn, within a millisecond too and when
    the clock steps back: the rule of a monotonic ULID (github.com/ulid/spec). Between processes the random bits decide.
    """

    def __init__(self, clock: Clock) -> None:
        """Draw by this clock."""
        self._clock = clock
        self._last = 0

    def draw(self) -> int:
        """Draw the next number."""
        drawn = ids.new_number(self._clock.now() // 1000, secrets.randbits(ids.RANDOM_BITS))
        self._last = max(drawn, self._last + 1)
        return self._last
