"""Waiting for what other threads and processes do."""

import time
from collections.abc import Callable


def eventually(is_so: Callable[[], object], *, within_s: float = 10) -> None:
    """Wait until something is so; it fails if that takes longer."""
    ends_at = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < ends_at
        time.sleep(0.01)
