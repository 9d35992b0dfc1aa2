"""How far a long command is, on a terminal: what is done, how fast it goes, and how long the rest will take."""

import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import click

_LOOK_SECONDS: Final = 1.0
_RECENT_SECONDS: Final = 60.0
"""Of so long ago is the rate that is told, and it is looked at that often."""


class RecentRate:
    """How fast a part of the work went of late.

    What an earlier run had done took no time in this one, and work can become slower as it goes on: so neither is a
    measure.
    """

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self._seen: deque[tuple[float, int]] = deque()

    def per_second(self, now: float, done: int) -> float | None:
        """Note how much is done by now, a time in seconds; tell how much was done each second, None while unknown."""
        if not self._seen or now - self._seen[-1][0] >= _LOOK_SECONDS:
            self._seen.append((now, done))
        while len(self._seen) > 1 and now - self._seen[1][0] >= _RECENT_SECONDS:
            self._seen.popleft()
        since, before = self._seen[0]
        return (done - before) / (now - since) if done > before and now > since else None


class ProgressBar:
    """A bar on the terminal for each part of the work; nothing where stderr is none."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Tell the time left by a clock, in seconds."""
        self._clock = clock
        self._is_shown = sys.stderr.isatty()
        self._bar: Any = None
        self._label = ""
        self._rate = RecentRate()

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def show(self, label: str, done: int, total: int) -> None:
        """Move the bar, or begin another one."""
        if not self._is_shown:
            return
        if label != self._label:
            self.end()
            self._label = label
            self._rate = RecentRate()
            self._bar = click.progressbar(
                length=max(total, 1),
                label=label,
                show_pos=True,
                show_eta=False,
                item_show_func=lambda words: words,
                file=sys.stderr,
            )
            self._bar.__enter__()
        rate = self._rate.per_second(self._clock(), done)
        words = ""
        if rate is not None:
            left = timedelta(seconds=round(max(total - done, 0) / rate))
            words = f"{rate:,.0f} a second, {left} left"
        self._bar.update(max(min(done, self._bar.length) - self._bar.pos, 0), words)

    def end(self) -> None:
        """Leave the bar as it is; what is shown next begins another one."""
        if self._bar is not None:
            with suppress(OSError):
                self._bar.__exit__(None, None, None)
            self._bar, self._label = None, ""
