"""Group commit: commands queue, a batch of them meets the ledger, and only after COMMIT is anyone answered.

A batch is what arrived while the last commit ran; nobody waits for a batch to fill. One queue per group of
`connector.route()`, because a batch stays within a group; a few workers each take the group that has waited longest.
Where an engine commits several batches at a time, a large one is divided among parts that have no merchant in common.
"""

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from msgspec import Struct

from farebox.core import state
from farebox.core.commands import Command
from farebox.core.decide import decide
from farebox.core.outcomes import Outcome
from farebox.core.state import BatchState, Decision
from farebox.service.clock import Clock
from farebox.service.errors import FateUnknown, Overloaded, ServiceError, Unavailable, unavailable
from farebox.service.ledger.traced import decide_traced
from farebox.storage.batch_steps import BatchSteps
from farebox.storage.interface import (
    CommitUnknown,
    Connector,
    GroupsChanged,
    StoreFaulty,
    StoreReplaced,
    StoreUnavailable,
)

_log = logging.getLogger("farebox.committer")

_Job = tuple[Sequence[Command], "asyncio.Future[list[Outcome | Exception]]", float]
"""Commands of one caller, which are decided together, where their outcomes go, and since when they wait."""


class CommitterLimits(Struct, frozen=True):
    """How much a committer takes at once, and how long it tries."""

    queue_commands_max: int = 20_000
    """How many commands may wait in all; one more is refused, so that what was accepted is answered in good time."""

    batch_commands_max: int = 1_000

    part_commands_min: int = 200
    """How many commands a part of a divided batch has on average, at least: what a batch costs by itself is little
    beside them."""

    workers: int = 4

    wait_seconds_max: float = 5.0
    """How long a command may have waited when the batch before it finds the database away: one that waited longer is
    told so at once. Where each try takes its whole time limit, a long queue would be answered one batch and one limit
    after another."""

    lookup_seconds_max: float = 10.0
    """How long a batch with an unknown fate is looked up before its callers are told that it is unknown."""

    lookup_pause_seconds: float = 0.1


LIMITS: Final = CommitterLimits()

FAULTY_SPLITS_MAX: Final = 24
"""How often a batch is split to find what the database fails at: as often as finds two of a thousand commands. A
database that fails at all of them is not asked about each."""


class CommittedBatch(Struct, frozen=True, gc=False):
    """A batch that was committed, for what measures batches."""

    commands: Sequence[Command]
    outcomes: Sequence[Outcome]
    """What each command came to, in their order."""
    steps: BatchSteps


class BatchTracer(Protocol):
    """Tells of single commands' way through batches; each call must be quick."""

    def queued(self, commands: Sequence[Command]) -> None:
        """Note that commands of one caller wait."""
        ...

    def traceparents(self, commands: Sequence[Command]) -> Mapping[int, str]:
        """Tell which commands of a batch are of requests that are traced, by their places, and of which spans."""
        ...

    def committed(self, batch: CommittedBatch) -> None:
        """Note that a batch was committed."""
        ...


class Committer:
    """Takes commands from any task of one event loop and answers each with its outcome."""

    def __init__(
        self,
        connector: Connector,
        clock: Clock,
        *,
        limits: CommitterLimits = LIMITS,
        on_commit: Sequence[Callable[[Decision], None]] = (),
    ) -> None:
        """Prepare; `start` begins to work. `on_commit` are told of each batch that is committed; they must be quick."""
        self._connector = connector
        self._clock = clock
        self._limits = limits
        self._on_commit = on_commit
        self._on_batch: list[Callable[[CommittedBatch], None]] = []
        self._tracer: BatchTracer | None = None
        self._queues: dict[int, deque[_Job]] = {}
        self._ready: deque[int] = deque()
        self._wakers: deque[asyncio.Future[None]] = deque()
        self._workers: list[asyncio.Task[None]] = []
        self.is_closing = False
        self._logged: str | None = None
        self.waiting_count = 0
        self.batches_count = 0
        self.commands_count = 0

    def trace(self, tracer: BatchTracer) -> None:
        """Tell this of commands and batches from now on."""
        self._tracer = tracer
        self._on_batch.append(tracer.committed)

    async def start(self) -> None:
        """Start the workers."""
        self._workers = [
            asyncio.create_task(self._work(), name=f"committer-{number}") for number in range(self._limits.workers)
        ]

    async def close(self) -> None:
        """Refuse what comes from now on, answer all that was accepted, and stop. Safe to repeat."""
        self.is_closing = True
        while self._wakers:
            self._wake()
        await asyncio.gather(*self._workers)
        self._workers = []

    def watch(self, tell: Callable[[CommittedBatch], None]) -> None:
        """Tell how each batch went that is committed; what is told must be quick."""
        self._on_batch.append(tell)

    @property
    def queue_commands_max(self) -> int:
        """How many commands may wait in all."""
        return self._limits.queue_commands_max

    @property
    def is_full(self) -> bool:
        """Whether no further command is accepted for now."""
        return self.waiting_count >= self._limits.queue_commands_max

    async def submit(self, command: Command) -> Outcome:
        """Commit one command and return its outcome.

        A caller that goes away while it waits takes nothing back: the command is committed all the same, once.

        Raises:
            Overloaded: the queue is full; the command was not accepted.
            Unavailable: the database failed before COMMIT; nothing was committed.
            FateUnknown: the database failed during COMMIT and could not be asked since.
        """
        if self.is_full or self.is_closing:
            raise Overloaded
        result = (await self._enqueue((command,)))[0]
        if type(result) is Outcome:
            return result
        raise result

    async def dry_run(self, command: Command) -> Outcome:
        """Return what a command would come to at this moment, by the same decision; nothing is written.

        It goes beside the queue, so the outcome is what `submit` would come to if nothing else came first.

        Raises:
            Unavailable: the database can't be asked.
        """
        return (await self.dry_run_all([command]))[0]

    async def dry_run_all(self, commands: Sequence[Command]) -> Sequence[Outcome]:
        """Do as `dry_run` for a batch of commands of one group, each of which meets what those before it would leave.

        Raises:
            Unavailable: the database can't be asked.
        """
        now = self._clock.now()

        def decide_only(batch_state: BatchState) -> Decision:
            return Decision(decide(batch_state, commands, now).outcomes)

        try:
            decision = await self._connector.transact(state.reads(commands, now), decide_only)
        except (StoreUnavailable, CommitUnknown) as error:
            raise Unavailable from error
        return decision.outcomes

    async def submit_all(self, commands: Sequence[Command]) -> list[Outcome | ServiceError]:
        """Commit commands in order, each on its own: one that fails leaves the others be.

        Raises:
            Overloaded: there is no room for all of them; none was accepted.
        """
        if self.waiting_count + len(commands) > self._limits.queue_commands_max or self.is_closing:
            raise Overloaded
        size = self._limits.batch_commands_max
        groups = self._places_by_group(commands)
        chunks = [group[start : start + size] for group in groups for start in range(0, len(group), size)]
        futures = [self._enqueue([commands[index] for index in chunk]) for chunk in chunks]
        results: dict[int, Outcome | ServiceError] = {}
        for chunk, future in zip(chunks, futures, strict=True):
            for index, result in zip(chunk, await future, strict=True):
                if type(result) is not Outcome and not isinstance(result, ServiceError):
                    raise result
                results[index] = result
        return [results[index] for index in range(len(commands))]

    def _enqueue(self, commands: Sequence[Command]) -> "asyncio.Future[list[Outcome | Exception]]":
        """Put commands of one group into its queue."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Outcome | Exception]] = loop.create_future()
        group = self._connector.route(commands[0].merchant_id)
        queue = self._queues.get(group)
        if queue is None:
            # A group is in this table exactly while it has commands waiting or a worker on it.
            queue = self._queues[group] = deque()
            self._ready.append(group)
            self._wake()
        queue.append((commands, future, loop.time()))
        self.waiting_count += len(commands)
        if self._tracer is not None:
            self._tracer.queued(commands)
        return future

    def _wake(self) -> None:
        while self._wakers:
            waker = self._wakers.popleft()
            if not waker.done():
                waker.set_result(None)
                return

    async def _work(self) -> None:
        while True:
            while not self._ready:
                if self.is_closing:
                    return
                waker: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._wakers.append(waker)
                await waker
            group = self._ready.popleft()
            queue = self._queues[group]
            if not await self._commit(self._take(queue)):
                self._give_up(queue)
            if queue:
                self._ready.append(group)
                self._wake()
            else:
                del self._queues[group]

    def _take(self, queue: deque[_Job]) -> list[_Job]:
        """Take as many jobs as make a batch: at least one, and no more commands than its maximum."""
        jobs: list[_Job] = []
        room = self._limits.batch_commands_max
        while queue and len(queue[0][0]) <= room:
            jobs.append(queue.popleft())
            room -= len(jobs[-1][0])
        self.waiting_count -= self._limits.batch_commands_max - room
        return jobs

    def _give_up(self, queue: deque[_Job]) -> None:
        """Answer those who have waited for too long, while the database is away."""
        late = asyncio.get_running_loop().time() - self._limits.wait_seconds_max
        while queue and queue[0][2] < late:
            commands, future, _ = queue.popleft()
            self.waiting_count -= len(commands)
            _answer(future, [Unavailable() for _ in commands])

    async def _commit(self, jobs: list[_Job]) -> bool:
        """Commit jobs as one batch, answer their callers, and tell whether the database could be reached.

        Nothing that goes wrong here ends the worker.
        """
        together = [command for commands, *_ in jobs for command in commands]
        splits = iter(range(FAULTY_SPLITS_MAX))
        parts = _parts(together, min(self._connector.batches_at_once, len(together) // self._limits.part_commands_min))
        results = await self._apart(together, parts, splits) if parts else await self._results(together, splits)
        start = 0
        for commands, future, _ in jobs:
            end = start + len(commands)
            _answer(future, results[start:end])
            start = end
        return not all(isinstance(result, Unavailable | FateUnknown) for result in results)

    async def _results(self, commands: list[Command], splits: Iterator[int]) -> list[Outcome | Exception]:
        """Commit commands and return what became of each: its outcome, or what went wrong.

        Splitting a batch changes nothing, so the one command that can't be decided, or whose rows the database can't
        read, is found and fails alone. `splits` says how often it may be done if the database is what fails. One whose
        merchants are in several groups by now is committed group by group.
        """
        try:
            return [*await self._outcomes(commands)]
        except ServiceError as error:
            if isinstance(error.__cause__, StoreFaulty) and len(commands) > 1 and next(splits, None) is not None:
                return await self._halves(commands, splits)
            if isinstance(error.__cause__, GroupsChanged) and next(splits, None) is not None:
                return await self._apart(commands, self._places_by_group(commands), splits)
            # Each caller gets one of its own: an exception raised in many places gathers all their traces.
            own = [type(error)(error.message) for _ in commands]
            for each in own:
                each.__cause__ = error.__cause__
            return [*own]
        except Exception as error:
            if len(commands) > 1:
                return await self._halves(commands, splits)
            _log.exception("a command failed: %s", type(commands[0]).__name__)
            return [error]

    async def _halves(self, commands: list[Command], splits: Iterator[int]) -> list[Outcome | Exception]:
        middle = len(commands) // 2
        return [*await self._results(commands[:middle], splits), *await self._results(commands[middle:], splits)]

    async def _apart(
        self, commands: list[Command], parts: Sequence[Sequence[int]], splits: Iterator[int]
    ) -> list[Outcome | Exception]:
        """Commit commands in several batches at the same time; `parts` tells by their places which ones go together."""
        found = await asyncio.gather(*[self._results([commands[place] for place in part], splits) for part in parts])
        results: dict[int, Outcome | Exception] = {}
        for part, outcomes in zip(parts, found, strict=True):
            results.update(zip(part, outcomes, strict=True))
        return [results[place] for place in range(len(commands))]

    def _places_by_group(self, commands: Sequence[Command]) -> list[list[int]]:
        """Tell the places of the commands of each group, in their order."""
        route = self._connector.route
        return [*_places_by([route(command.merchant_id) for command in commands]).values()]

    async def _outcomes(self, commands: list[Command]) -> list[Outcome]:
        now = self._clock.now()
        reads = state.reads(commands, now)
        reads.is_lock_wanted = False
        first: list[Outcome] = []

        def decide_batch(batch_state: BatchState) -> Decision:
            decision = self._decided(batch_state, commands, now)
            first[:] = decision.outcomes
            return decision

        steps = BatchSteps(time.monotonic_ns())
        try:
            return self._committed(commands, await self._connector.transact(reads, decide_batch, steps), steps)
        except StoreUnavailable as error:
            self._log_failure(f"nothing is committed: {error}")
            raise unavailable(error) from error
        except CommitUnknown as error:
            self._log_failure(f"batches are looked up: {error}")
            return await self._look_up(commands, first, now)

    def _decided(self, batch_state: BatchState, commands: list[Command], now: int) -> Decision:
        traces = None if self._tracer is None else self._tracer.traceparents(commands)
        return decide_traced(batch_state, commands, now, traces) if traces else decide(batch_state, commands, now)

    def _log_failure(self, text: str) -> None:
        """Log a failure once, not for each batch that meets it: there may be a thousand a second."""
        if text != self._logged:
            self._logged = text
            _log.warning("%s", text)

    def _committed(self, commands: list[Command], decision: Decision, steps: BatchSteps) -> list[Outcome]:
        if self._logged is not None:
            self._logged = None
            _log.info("batches are committed again")
        self.batches_count += 1
        self.commands_count += len(decision.outcomes)
        for note in self._on_commit:
            note(decision)
        if self._on_batch:
            batch = CommittedBatch(commands, decision.outcomes, steps)
            for tell in self._on_batch:
                tell(batch)
        return decision.outcomes

    async def _look_up(self, commands: list[Command], first: list[Outcome], now: int) -> list[Outcome]:
        """Find out what became of a batch whose COMMIT failed, by deciding it again at the same `now`.

        Its accounts are locked first, so a COMMIT that still runs somewhere has ended one way or the other. A batch is
        committed as a whole or not at all: if the transfers of its `first` decision are in the books, that decision was
        committed, and its outcomes are the true ones. If not, the batch is committed now, but once: a database whose
        COMMIT fails again (its disk may be full) is then asked for the truth alone, so that callers learn it soon.
        """
        reads = state.reads(commands, now)
        deadline = asyncio.get_running_loop().time() + self._limits.lookup_seconds_max
        may_commit = True

        def decide_again(batch_state: BatchState) -> Decision:
            decision = self._decided(batch_state, commands, now)
            if _holds_all(first, decision.outcomes):
                return Decision(first)
            if decision.changes_anything and not may_commit:
                raise Unavailable
            first[:] = decision.outcomes
            return decision

        while True:
            steps = BatchSteps(time.monotonic_ns())
            try:
                return self._committed(commands, await self._connector.transact(reads, decide_again, steps), steps)
            except (StoreUnavailable, CommitUnknown) as error:
                if isinstance(error, CommitUnknown):
                    may_commit = False
                # Another database knows nothing of it, however often it is asked.
                if isinstance(error, StoreReplaced) or asyncio.get_running_loop().time() >= deadline:
                    raise FateUnknown from error
                await asyncio.sleep(self._limits.lookup_pause_seconds)


def _answer(future: "asyncio.Future[list[Outcome | Exception]]", results: list[Outcome | Exception]) -> None:
    if not future.done():
        future.set_result(results)


def _parts(commands: Sequence[Command], count: int) -> Sequence[Sequence[int]]:
    """Divide commands among so many parts at most, of about the same size, each merchant's in one of them.

    Returns:
        The places of each part's commands, in their order; nothing if there would be less than two parts.
    """
    if count < 2:
        return ()
    places = _places_by([command.merchant_id for command in commands])
    parts: list[list[int]] = []
    for merchant_id in sorted(places):
        if not parts or len(parts[-1]) * count >= len(commands):
            parts.append([])
        parts[-1] += places[merchant_id]
    return [sorted(part) for part in parts] if len(parts) > 1 else ()


def _places_by(keys: Iterable[int]) -> Mapping[int, list[int]]:
    """Tell the places that have each key, in their order."""
    places: defaultdict[int, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        places[key].append(place)
    return places


def _holds_all(first: list[Outcome], again: list[Outcome]) -> bool:
    """Whether every transfer that a batch made at first is found in the books when it is decided again."""
    pairs = [(one, other) for one, other in zip(first, again, strict=True) if one.transfer and not one.is_replay]
    return bool(pairs) and all(other.is_replay and other.transfer == one.transfer for one, other in pairs)
