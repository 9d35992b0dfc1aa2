"""The history of attempts: each is shown for a while, then forgotten."""

from typing import Final

from farebox.service.clock import Clock
from farebox.storage.messages.queue import MessageQueueStore

KEPT_DAYS: Final = 30
HISTORY_FORGET_SECONDS: Final = 600.0
"""How often to look for what is old."""

FORGOTTEN_MAX: Final = 1_000
"""How many attempts are forgotten in one transaction: it must not hold up charges."""

_MICROS_PER_DAY: Final = 86_400_000_000


class AttemptHistory:
    """Forgets attempts that are older than KEPT_DAYS."""

    def __init__(self, queue: MessageQueueStore, clock: Clock) -> None:
        """Prepare."""
        self._queue = queue
        self._clock = clock

    async def forget_old(self) -> float | None:
        """Forget some; return the seconds until it is worth looking again, if there are more.

        Raises:
            StorageError: they can't be forgotten now.
        """
        before = self._clock.now() - KEPT_DAYS * _MICROS_PER_DAY
        count = await self._queue.forget_attempts(before, limit=FORGOTTEN_MAX)
        return 1.0 if count >= FORGOTTEN_MAX else None
