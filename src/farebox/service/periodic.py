"""What a server does again and again beside answering: one runner for every such step.

The step is the only thing that differs. Here is how it is repeated: what fails is logged once and tried again, less
and less often while the database is away, and a stop is clean.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

from farebox.service.errors import ServiceError
from farebox.storage.interface import StorageError

RETRY_SECONDS_MAX: Final = 5.0
"""How long to wait at most before a step that failed is tried again, unless its usual pause is longer."""

_DOUBLINGS_MAX: Final = 10

_log = logging.getLogger("farebox.background")


class Periodic:
    """Runs one step again and again until it is cancelled."""

    def __init__(
        self,
        subject: str,
        step: Callable[[], Awaitable[float | None]],
        *,
        pause_seconds: float,
        is_pause_first: bool = False,
        on_stop: Callable[[], Awaitable[Any]] | None = None,
    ) -> None:
        """Prepare.

        Args:
            subject: what waits while the step fails, for the log: a plural.
            step: does what is due; returns the seconds until it is worth doing again, or None for the usual pause.
            pause_seconds: the usual pause.
            is_pause_first: whether to pause before the first step.
            on_stop: called once, when the runner is cancelled.
        """
        self._subject = subject
        self._step = step
        self._pause_seconds = pause_seconds
        self._is_pause_first = is_pause_first
        self._on_stop = on_stop
        self._failures_count = 0
        self._logged: str | None = None

    async def run(self) -> None:
        """Repeat the step until cancelled, then stop."""
        try:
            if self._is_pause_first:
                await asyncio.sleep(self._pause_seconds)
            while True:
                pause_seconds = await self._run_step()
                await asyncio.sleep(pause_seconds)
        finally:
            if self._on_stop is not None:
                try:
                    await self._on_stop()
                except StorageError as error:
                    _log.warning("%s are left as they are: %s", self._subject, error)

    async def _run_step(self) -> float:
        """Run the step; return the seconds until the next one."""
        try:
            seconds = await self._step()
        except Exception as error:
            self._log_failure(error)
            self._failures_count += 1
            retry_seconds = self._pause_seconds * (1 << min(self._failures_count - 1, _DOUBLINGS_MAX))
            return min(retry_seconds, max(RETRY_SECONDS_MAX, self._pause_seconds))
        if self._failures_count:
            _log.info("%s go on", self._subject)
            self._failures_count, self._logged = 0, None
        return self._pause_seconds if seconds is None else seconds

    def _log_failure(self, error: Exception) -> None:
        """Log a failure once, not at each attempt: an outage may last for hours."""
        text = f"{type(error).__name__}: {error}"
        if text == self._logged:
            return
        self._logged = text
        if isinstance(error, StorageError | ServiceError):
            _log.warning("%s wait: %s", self._subject, error)
        else:
            _log.error("%s wait for what nobody foresaw", self._subject, exc_info=error)


@asynccontextmanager
async def running(steps: Iterable[Periodic]) -> AsyncIterator[None]:
    """Run steps in the background; on the way out, wait until each has stopped."""
    tasks = [asyncio.create_task(step.run()) for step in steps]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
