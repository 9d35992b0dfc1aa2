"""Idempotency keys as callers make them: all that the load generator needs of the workload, so it starts at once."""

import secrets
import time
from random import Random
from typing import Final

KEY_CHARS: Final = 32


class TimeOrderedKeys:
    """Makes idempotency keys as Farebox's own clients do: UUIDv7 in hexadecimal, so that they sort by time."""

    def __init__(self) -> None:
        """Keys of two of these never meet: their last 62 bits are random, and drawn once."""
        self._tail = f"{1 << 63 | secrets.randbits(62):016x}"
        self._count = 0

    def make(self) -> str:
        """Make the next key; up to 4,096 a millisecond differ."""
        self._count = (self._count + 1) & 0xFFF
        return f"{time.time_ns() // 1_000_000:012x}7{self._count:03x}{self._tail}"


class RandomKeys:
    """Makes idempotency keys of randomness alone, as long as the others: no two in a row are near each other."""

    def __init__(self) -> None:
        """Keys of two of these never meet: each is seeded anew by the system."""
        self._random = Random()

    def make(self) -> str:
        """Make the next key."""
        return f"{self._random.getrandbits(KEY_CHARS * 4):0{KEY_CHARS}x}"
