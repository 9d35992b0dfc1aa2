"""What every channel's dispatcher does: takes what is owed under a lease, starts it, and writes down what became of it.

Every server process runs one for each queue. A claimed one is leased: no other process takes it until the lease ends,
and if its claimer dies it is due again then. It was decided before that they are owed; here they are only delivered.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final, Generic, TypeVar

from farebox.service.clock import Clock
from farebox.service.periodic import Periodic
from farebox.storage.interface import NotFound, StorageError

CLAIM_MAX: Final = 10
"""How many are claimed at once at most, and never more than there are free connections: none waits while its lease
runs."""

POLL_SECONDS: Final = 1.0
"""How often to look for what other processes owe, and for a database that is away."""

STOP_SECONDS_MAX: Final = 2.0
"""How long a stop waits for what is on its way; what is not through by then is due again at once."""

GIVE_BACK_SECONDS_MAX: Final = 1.0
"""How long a stop then waits until that is written down; else it is due again when its lease ends."""

MICROS_PER_SECOND: Final = 1_000_000

_log = logging.getLogger("farebox.alerts")

Item = TypeVar("Item")


class DeliveryLoop(ABC, Generic[Item]):
    """Takes what is owed out of one queue as it falls due. A channel says how it is claimed, sent and written down."""

    def __init__(
        self,
        clock: Clock,
        *,
        lease_seconds: int,
        poll_seconds: float = POLL_SECONDS,
        stop_seconds_max: float = STOP_SECONDS_MAX,
        give_back_seconds_max: float = GIVE_BACK_SECONDS_MAX,
    ) -> None:
        """Prepare.

        Args:
            clock: tells the time.
            lease_seconds: for how long what is claimed is out of others' reach; longer than an attempt takes, by enough
                to write its result down while the database comes back.
            poll_seconds: how often to look for what is due.
            stop_seconds_max: how long a stop waits for what is on its way.
            give_back_seconds_max: how long it waits until the rest is given back.
        """
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._poll_seconds = poll_seconds
        self._stop_seconds_max = stop_seconds_max
        self._give_back_seconds_max = give_back_seconds_max
        self._sending: set[asyncio.Task[None]] = set()

    def periodic(self, subject: str) -> Periodic:
        """Make what sends as it falls due; `subject` names it in the log."""
        return Periodic(subject, self.start_due, pause_seconds=self._poll_seconds, on_stop=self.stop)

    async def run_once(self) -> int:
        """Send what is due now, CLAIM_MAX at most; return how many were tried, 0 when nothing is due.

        Raises:
            StoreUnavailable: the queue can't be read.
        """
        tasks = await self._start() if await self._seconds_until_due() <= 0 else []
        await asyncio.gather(*tasks)
        return len(tasks)

    async def start_due(self) -> float:
        """Start what is due, as connections get free; return the seconds until it is worth looking again.

        One that takes long holds up one connection, and nothing else.

        Raises:
            StorageError: the queue can't be read.
        """
        while (until_due := await self._seconds_until_due()) <= 0:
            if not await self._start():
                # Nothing may be sent at present, or another process has it.
                return self._poll_seconds
        return min(until_due, self._poll_seconds)

    async def stop(self) -> None:
        """Let what is on its way come through for a moment, then give the rest back."""
        tasks = list(self._sending)
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=self._stop_seconds_max)
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=self._give_back_seconds_max)

    @abstractmethod
    async def _seconds_until_due(self) -> float:
        """Tell how long nothing falls due, as far as that is known; 0 or less if something is due.

        Claiming writes, so an idle loop doesn't: it would hold up charges.
        """

    @abstractmethod
    async def _acquire(self, limit: int) -> int:
        """Wait for a free connection and reserve as many as there are, `limit` at most; return how many."""

    @abstractmethod
    def _release(self, count: int = 1) -> None:
        """Give connections back."""

    @abstractmethod
    async def _claim(self, now: int, *, lease_until: int, limit: int) -> Sequence[Item]:
        """Take what is due: no other process gets it until `lease_until`."""

    @abstractmethod
    async def _attempt(self, item: Item) -> Item:
        """Send one; return what is to be written down. It raises nothing that can be foreseen."""

    @abstractmethod
    def _given_back(self, item: Item) -> Item:
        """Return what is to be written down of one that a stop interrupts: it is due again at once."""

    @abstractmethod
    async def _settle(self, item: Item) -> None:
        """Write down what became of one.

        Raises:
            NotFound: it is gone.
            StorageError: it can't be written down now.
        """

    @abstractmethod
    def _name(self, item: Item) -> str:
        """Name one, and whom it goes to, for the log."""

    def _ended(self, item: Item) -> None:
        """Take note that nothing is done for one any more."""

    async def _start(self) -> list[asyncio.Task[None]]:
        """Lease what is due, as many as there are free connections, and start it."""
        count = await self._acquire(CLAIM_MAX)
        now = self._clock.now()
        lease_until = now + self._lease_seconds * MICROS_PER_SECOND
        items: Sequence[Item] = []
        try:
            if count:
                items = await self._claim(now, lease_until=lease_until, limit=count)
        finally:
            self._release(count - len(items))
        return [self._start_one(item, lease_until) for item in items]

    def _start_one(self, item: Item, lease_until: int) -> asyncio.Task[None]:
        def end(task: asyncio.Task[None]) -> None:
            self._sending.discard(task)
            self._ended(item)
            self._release()

        task = asyncio.create_task(self._deliver(item, lease_until), name="delivery")
        self._sending.add(task)
        task.add_done_callback(end)
        return task

    async def _deliver(self, item: Item, lease_until: int) -> None:
        """Send one and settle it; what goes wrong with it holds up no other."""
        settled: Item | None = None
        try:
            settled = await self._attempt(item)
            await self._write_down(settled, lease_until)
        except asyncio.CancelledError:
            # One that was not sent is given back, so that the next process need not wait for the lease to end.
            await self._write_down(self._given_back(item) if settled is None else settled, retry_until=0)
            raise
        except Exception:
            _log.exception("%s was tried, and that can't be written down", self._name(item))

    async def _write_down(self, item: Item, retry_until: int) -> None:
        """Write down what became of one; while the lease holds, wait for a database that is away.

        A message that was sent, which can't be written down, is sent again when its lease ends.
        """
        while True:
            try:
                await self._settle(item)
            except NotFound:
                _log.warning("%s is no longer owed", self._name(item))
                return
            except StorageError as error:
                if self._clock.now() >= retry_until:
                    _log.warning("what became of %s can't be written down: %s", self._name(item), error)
                    return
                await asyncio.sleep(self._poll_seconds)
            else:
                return
