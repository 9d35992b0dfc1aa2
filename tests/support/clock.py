"""A clock that goes with the machine's until a test stops it at a moment, and how tests stop a Farebox's."""

from collections.abc import Iterator
from contextlib import contextmanager

from farebox.bootstrap import Farebox
from farebox.service.clock import SystemClock


class StoppableClock(SystemClock):
    """The machine's clock, but for as long as it is stopped."""

    def __init__(self) -> None:
        self.stopped_at: int | None = None

    def now(self) -> int:
        return super().now() if self.stopped_at is None else self.stopped_at


@contextmanager
def at(farebox: Farebox, micros: int) -> Iterator[None]:
    """Let it be this moment, microseconds since 1970."""
    clock = farebox.clock
    assert isinstance(clock, StoppableClock)
    before, clock.stopped_at = clock.stopped_at, micros
    try:
        yield
    finally:
        clock.stopped_at = before


@contextmanager
def later(farebox: Farebox, *, seconds: float) -> Iterator[None]:
    """Let so many seconds have passed, and no time pass meanwhile."""
    with at(farebox, farebox.clock.now() + round(seconds * 1_000_000)):
        yield
