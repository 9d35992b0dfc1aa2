"""The world of simulated servers: its time, its database with all that can go wrong there, its mail network."""

import asyncio
import selectors
from collections import Counter
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from random import Random
from typing import Any, Final, cast

from msgspec.structs import replace

from farebox.alerts.mail import name_of
from farebox.alerts.transport import Compose, PermanentFailure, TransientFailure
from farebox.core.state import Decision, ReadSet
from farebox.storage.batch_steps import BatchSteps
from farebox.storage.interface import CommitUnknown, Connector, Decide, StoreUnavailable
from farebox.storage.stores import Stores
from tests.support.memory import MemoryConnector
from tests.support.watched_stores import watched_stores

START: Final = 1_799_999_998_000_000
"""Two seconds before midnight in Los Angeles: budgets of a day there start anew while a story goes on."""
SECOND: Final = 1_000_000


class _Idle(selectors.SelectSelector):
    """Waits for no socket: as long as the loop would wait, the world's time goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        """Let the time pass.

        Raises:
            RuntimeError: nothing would ever happen again.
        """
        if timeout is None:
            raise RuntimeError("everybody waits for something that nobody does")
        self.seconds += max(timeout, 0.0)
        return []


class WorldLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while everybody waits, and then at once."""

    def __init__(self) -> None:
        self._idle = _Idle()
        super().__init__(self._idle)

    def time(self) -> float:
        """Return the world's time, seconds since its beginning."""
        return self._idle.seconds


class WorldClock:
    """One server's clock: the world's time, and what it is wrong by."""

    def __init__(self, loop: WorldLoop) -> None:
        self._loop = loop
        self.skew = 0

    def now(self) -> int:
        """Return the time as this server sees it, microseconds since 1970."""
        return START + round(self._loop.time() * SECOND) + self.skew


class Database:
    """The rows that all servers share, behind one writers' lock, and the troubles that a seed has in store."""

    def __init__(self, random: Random) -> None:
        self.rows = MemoryConnector()
        self.random = random
        self.lock = asyncio.Lock()
        self.never = asyncio.Event()
        """What dead servers wait for."""
        self.is_away = False
        self.trouble = 0.0
        """How likely a transaction fails in some way."""
        self.troubles: Counter[str] = Counter()


class _ServerIsDead(Exception):
    """The server that asks is not there any more."""


class Connection:
    """A server's way to the database; once the server is dead, nothing comes back from it any more."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.is_dead = False
        self.batches_at_once = database.random.choice((1, 3))
        """Into how many parts its server divides a batch at most."""
        self._late: set[asyncio.Task[None]] = set()

    async def transact(self, reads: ReadSet, decide: Decide, steps: BatchSteps | None = None) -> Decision:
        """Run a batch; it may fail before COMMIT, or while it runs, with or without effect, at once or later."""
        try:
            return await self._transact(reads, decide)
        except _ServerIsDead:
            # Its locks are free again, but nobody is there to hear of it.
            await self._database.never.wait()
            raise

    async def _transact(self, reads: ReadSet, decide: Decide) -> Decision:
        database, random = self._database, self._database.random
        await self._travel()
        await database.lock.acquire()
        is_locked = True
        try:
            await self._travel()
            decision = database.rows.decision(reads, decide)
            if not decision.changes_anything:
                return decision
            fate = random.choices(
                ("committed", "failed before", "lost", "lost answer", "late", "late and lost"),
                (1 - database.trouble, *[database.trouble / 5] * 5),
            )[0]
            database.troubles[fate] += 1
            if fate == "failed before":
                raise StoreUnavailable("the connection broke before COMMIT")
            if fate.startswith("late"):
                # COMMIT still runs somewhere while its caller was told that nobody knows; its locks are still held.
                is_locked = False
                late = asyncio.create_task(self._end_later(decision, is_committed=fate == "late"))
                self._late.add(late)
                late.add_done_callback(self._late.discard)
                raise CommitUnknown("the connection broke during COMMIT")
            await self._travel()
            if fate != "lost":
                database.rows.apply(decision)
            await self._travel()
            if fate != "committed":
                raise CommitUnknown("the connection broke during COMMIT")
            return decision
        finally:
            if is_locked:
                database.lock.release()

    def route(self, merchant_id: int) -> int:
        """All merchants are in one group."""
        return self._database.rows.route(merchant_id)

    @property
    def stores(self) -> Stores:
        """What the database keeps, by subject, at the end of this way to it."""
        far = watched_stores(self._database.rows.stores, self._call)
        return replace(far, connector=cast(Connector, self))

    async def _call(self, _: str, method: Callable[..., Awaitable[Any]], *arguments: Any, **options: Any) -> Any:
        """Call a method of a store that is far away."""
        try:
            await self._travel()
            result = await method(*arguments, **options)
            await self._travel()
        except _ServerIsDead:
            await self._database.never.wait()
            raise
        return result

    async def _end_later(self, decision: Decision, *, is_committed: bool) -> None:
        try:
            await asyncio.sleep(self._database.random.uniform(0, 3))
            if is_committed:
                self._database.rows.apply(decision)
        finally:
            self._database.lock.release()

    async def _travel(self) -> None:
        """Take the time that a message takes; a dead server gets none, and one that is away answers none."""
        await asyncio.sleep(self._database.random.choice((0, 0, 0.0005, 0.003)))
        if self.is_dead:
            raise _ServerIsDead
        if self._database.is_away:
            raise StoreUnavailable("the database is away")


class Post:
    """The mail network: takes a mail, or not, or takes it and breaks before it can say so."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.trouble = 0.0
        self.taken: list[tuple[str, str]] = []
        """The name and recipient of each mail, as often as it was delivered."""
        self._contents: dict[str, str] = {}

    async def send(self, compose: Compose[EmailMessage], to: str) -> None:
        """Carry one mail."""
        await asyncio.sleep(self._random.uniform(0, 0.2))
        fate = self._random.choices(
            ("taken", "refused for now", "taken and broken", "hung", "refused for good"),
            (1 - self.trouble, *[self.trouble / 4] * 4),
        )[0]
        if fate in ("taken", "taken and broken"):
            self.take(await compose(), to)
        if fate == "hung":
            await asyncio.sleep(1_000)
        if fate in ("refused for now", "taken and broken"):
            raise TransientFailure(fate)
        if fate == "refused for good":
            raise PermanentFailure(fate)

    def take(self, message: EmailMessage, to: str) -> None:
        """Deliver a mail."""
        self.taken.append((name_of(message), to))
        content = f"{message['Subject']}\n{body.get_content()}" if (body := message.get_body(("plain",))) else ""
        # An attempt that finds the balance changed writes another mail, which has another Message-ID.
        assert content == self._contents.setdefault(str(message["Message-ID"]), content)


def run(world: Any) -> None:
    """Run a coroutine in a world of its own, to its end."""
    loop = WorldLoop()
    try:
        loop.run_until_complete(world)
    finally:
        # What dead servers still do has to be ended again and again: they clear up, and wait for a dead connection.
        while tasks := asyncio.all_tasks(loop):
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.wait(tasks, timeout=1))
        loop.close()
