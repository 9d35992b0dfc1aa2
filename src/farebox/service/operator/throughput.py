"""How much a process commits: since its start, and a second over the last minute or so."""

import time
from collections import deque
from typing import Final

from farebox.service.ledger.committer import Committer

SAMPLE_SECONDS: Final = 5.0
SAMPLES_MAX: Final = 13
"""A minute of samples, and the one that the minute begins with."""


class Throughput:
    """Samples a committer's figures once in a while."""

    def __init__(self, committer: Committer) -> None:
        """Begin to measure now."""
        self._committer = committer
        self._samples: deque[tuple[float, int]] = deque([(time.monotonic(), committer.commands_count)], SAMPLES_MAX)

    async def sample(self) -> None:
        """Take a sample; to be called every SAMPLE_SECONDS."""
        self._samples.append((time.monotonic(), self._committer.commands_count))

    def commands_per_second(self) -> float:
        """Tell how many commands were committed a second since the oldest sample that is kept."""
        at, count = self._samples[0]
        seconds = time.monotonic() - at
        return (self._committer.commands_count - count) / seconds if seconds > 0 else 0.0
