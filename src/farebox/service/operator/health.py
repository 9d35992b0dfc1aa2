"""Whether this process lives, and whether it would take a charge now: for load balancers and people."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from importlib import metadata
from typing import Final

from msgspec import Struct

from farebox.core.prices import CLOCK_LAG_MICROS_MAX
from farebox.service.clock import Clock
from farebox.service.ledger.committer import Committer
from farebox.storage.interface import StorageError, StoreFull, StoreReadOnly, StoreReplaced
from farebox.storage.stores import Stores

READINESS_SECONDS: Final = 1.0
"""How long ago the write may be that an answer about readiness tells of: no more than one is made in this time."""

PROBE_SECONDS_MAX: Final = 5.0
"""How long the database may take to answer until the process counts as not ready."""


class Health(Struct, rename="camel"):
    """This process: its version, its engine, and how much work waits."""

    status: str
    """"ok", or what keeps the process from doing its work."""
    version: str
    engine: str
    waiting_commands: int
    committed_batches: int
    committed_commands: int

    @property
    def is_ok(self) -> bool:
        """Whether the process can do its work."""
        return self.status == "ok"


class NotReady(StrEnum):
    """Why a charge would not be accepted now; none of it tells a stranger more than that."""

    STOPPING = "stopping"
    OVERLOADED = "overloaded"
    DATABASE_REPLACED = "database_replaced"
    DATABASE_READ_ONLY = "database_read_only"
    DISK_FULL = "disk_full"
    CLOCK_BEHIND = "clock_behind"
    DATABASE_UNAVAILABLE = "database_unavailable"


class Readiness(Struct, frozen=True, rename="camel"):
    """Whether a charge would be accepted now."""

    is_ready: bool
    reason: NotReady | None = None


class HealthCheck:
    """Asks the database and the committer how they are."""

    def __init__(
        self, stores: Stores, committer: Committer, clock: Clock, *, probe_seconds_max: float = PROBE_SECONDS_MAX
    ) -> None:
        """Ask these."""
        self._stores = stores
        self._clock = clock
        self._committer = committer
        self._probe_seconds_max = probe_seconds_max
        self._probe: asyncio.Task[NotReady | None] | None = None
        self._probed_at = 0.0

    async def check(self) -> Health:
        """Tell whether the database answers, and how much work waits."""
        try:
            async with asyncio.timeout(self._probe_seconds_max):
                await self._stores.merchants.find(0)
            status = "ok"
        except StoreReplaced:
            status = "database replaced"
        except (StorageError, TimeoutError):
            status = "database unavailable"
        return Health(
            status=status,
            version=metadata.version("farebox"),
            engine=self._stores.connector.engine,
            waiting_commands=self._committer.waiting_count,
            committed_batches=self._committer.batches_count,
            committed_commands=self._committer.commands_count,
        )

    async def readiness(self) -> Readiness:
        """Tell whether a charge would be accepted now; a write that changes nothing is committed to find out."""
        reason = self._committer_reason()
        if reason is None:
            try:
                async with asyncio.timeout(self._probe_seconds_max):
                    reason = (
                        await _failure(self._stores.connector.check)
                        or await self._write_failure()
                        or await self._clock_failure()
                    )
            except TimeoutError:
                reason = NotReady.DATABASE_UNAVAILABLE
        return Readiness(reason is None, reason)

    def _committer_reason(self) -> NotReady | None:
        if self._committer.is_closing:
            return NotReady.STOPPING
        return NotReady.OVERLOADED if self._committer.is_full else None

    async def _write_failure(self) -> NotReady | None:
        """Wait for the write that runs, or begin one unless the last one has just been."""
        now = asyncio.get_running_loop().time()
        probe = self._probe
        if probe is None or (probe.done() and now >= self._probed_at + READINESS_SECONDS):
            probe = self._probe = asyncio.create_task(_failure(self._stores.connector.check_writable))
            self._probed_at = now
        return await asyncio.shield(probe)

    async def _clock_failure(self) -> NotReady | None:
        """Tell whether a price was made after the present time, by more than clocks differ."""
        is_behind = await self._stores.prices.is_any_made_after(self._clock.now() + CLOCK_LAG_MICROS_MAX)
        return NotReady.CLOCK_BEHIND if is_behind else None


async def _failure(attempt: Callable[[], Awaitable[None]]) -> NotReady | None:
    """Tell why something failed, if it did."""
    try:
        await attempt()
    except StoreReplaced:
        return NotReady.DATABASE_REPLACED
    except StoreReadOnly:
        return NotReady.DATABASE_READ_ONLY
    except StoreFull:
        return NotReady.DISK_FULL
    except StorageError:
        return NotReady.DATABASE_UNAVAILABLE
    return None
