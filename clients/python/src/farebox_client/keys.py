"""Idempotency keys that sort by the time they were made: UUIDs of version 7, each above the one before.

Keys in the order of time are written to neighbouring places of the ledger's index, which is why they are made so.
"""

import os
import threading
import time
from collections.abc import Callable
from typing import Final

from farebox_client.forks import begin_after_fork

_STEPS_PER_MS: Final = 1 << 12
_NS_PER_MS: Final = 1_000_000
_RANDOM_BYTES: Final = 8
_VARIANT: Final = 0b10 << 14
_FORMAT: Final = "%08x-%04x-7%03x-%04x-%012x"
"""As str(uuid.UUID(int=...)) in a fifth of the time: a key is made for each charge. The 7 is the version."""


class KeyMaker:
    """Makes keys that are never made twice, by any process, and rise within this one even if its clock goes back.

    The twelve bits below the milliseconds are a fraction of a millisecond, as in method 3 of RFC 9562. Threads may
    share it.
    """

    def __init__(
        self, now_ns: Callable[[], int] = time.time_ns, random_bytes: Callable[[int], bytes] = os.urandom
    ) -> None:
        """Go by a clock, in nanoseconds since 1970, and a source of random bytes."""
        self._now_ns = now_ns
        self._random_bytes = random_bytes
        self._lock = threading.Lock()
        self._last = 0

    def make(self) -> str:
        """Make a key, later in the order of texts than all that were made here before."""
        moment = self._now_ns() * _STEPS_PER_MS // _NS_PER_MS
        with self._lock:
            self._last = moment = max(moment, self._last + 1)
        ms, step = divmod(moment, _STEPS_PER_MS)
        chance = int.from_bytes(self._random_bytes(_RANDOM_BYTES), "big")
        node = chance & 0xFFFF_FFFF_FFFF
        return _FORMAT % (ms >> 16, ms & 0xFFFF, step, _VARIANT | chance >> 50, node)

    def begin(self) -> None:
        """Forget whether another thread was just making a key: in a forked process there is none."""
        self._lock = threading.Lock()


_MAKER: Final = KeyMaker()
begin_after_fork(_MAKER)


def new_key() -> str:
    """Make an idempotency key: a UUID of version 7, above all that this process made before."""
    return _MAKER.make()


def key_or_new(key: str | None) -> str:
    """Return a key as it is, though it be empty, which a server refuses; or make one if there is none."""
    return new_key() if key is None else key
