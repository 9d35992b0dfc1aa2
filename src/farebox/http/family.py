"""What the processes of one server tell one another, and how signals to stop are held back while they start."""

import mmap
import os
import select
import signal
from collections.abc import Set
from typing import Final

_STOP: Final = frozenset({signal.SIGTERM, signal.SIGINT})


class Family:
    """What a first process and its workers tell one another; it is made before they are forked, who share it."""

    def __init__(self) -> None:
        """Begin with no order to drain; this process is the first one."""
        self.first = os.getpid()
        self._drain_seconds = mmap.mmap(-1, mmap.PAGESIZE)
        self.told, self._tell = os.pipe()
        """What the first process reads the workers' word from."""

    @property
    def drain_seconds(self) -> int:
        """How long a worker that stops drains at most, at most 255; 0: not at all."""
        return self._drain_seconds[0]

    @drain_seconds.setter
    def drain_seconds(self, seconds: int) -> None:
        self._drain_seconds[0] = seconds

    def tell_listening(self) -> None:
        """Tell the first process that one more worker listens."""
        os.write(self._tell, b".")

    def heard(self) -> int:
        """Count the workers that told since this was last asked."""
        return len(os.read(self.told, select.PIPE_BUF)) if select.select([self.told], [], [], 0)[0] else 0


def hold_signals_in_children() -> None:
    """Hold signals to stop back in every process that is forked from now on; each lets them in when it listens."""
    held: list[Set[int]] = []

    def before() -> None:
        held.append(signal.pthread_sigmask(signal.SIG_BLOCK, _STOP))

    def after() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, held.pop())

    os.register_at_fork(before=before, after_in_parent=after)
