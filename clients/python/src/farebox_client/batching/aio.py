"""Charges of one event loop share requests: tasks send what has gathered, and each caller awaits its own outcome."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Mapping

from farebox_client.answers import Charge
from farebox_client.batching.queue import (
    BROKEN_OFF,
    CLOSED,
    Batch,
    BatchLimits,
    ChargeQueue,
    Outcomes,
    Waiting,
    body_of,
    failure_of,
    trace_of,
)
from farebox_client.errors import FareboxError, Unreachable
from farebox_client.retries import Retries
from farebox_client.transport import Answer

Send = Callable[[bytes, Mapping[str, str], float], Awaitable[Answer]]
"""Makes one attempt of a body, with its trace as headers and a time limit; raises `Unreachable` if no answer came."""

_Caller = asyncio.Future[Charge]


class AsyncBatcher:
    """Charges by shared requests. Each event loop has its own: when one ends, what waited in it ends too."""

    def __init__(self, send: Send, retries: Retries, limits: BatchLimits) -> None:
        """Send by `send`."""
        self._send = send
        self._retries = retries
        self._limits = limits
        self._loops: dict[asyncio.AbstractEventLoop, _LoopBatcher] = {}
        self._is_closed = False

    def charge(self, key: str, text: str) -> Awaitable[Charge]:
        """Charge, together with others, and return what is waited for; who is cancelled meanwhile takes nothing back.

        It is a charge under this key, as JSON. To wait raises the FareboxError that the outcome names.

        Raises:
            FareboxError: as `ChargeQueue.put`.
        """
        if self._is_closed:
            raise RuntimeError("the client is closed")
        return self._of_this_loop().put(key, text)

    async def close(self, time_limit: float) -> None:
        """Take no more charges, and wait for the outcomes of all that came; those that have none by then fail."""
        self._is_closed = True
        await self._of_this_loop().close(time_limit)

    def _of_this_loop(self) -> "_LoopBatcher":
        loop = asyncio.get_running_loop()
        batcher = self._loops.get(loop)
        if batcher is None:
            self._loops = {each: its for each, its in self._loops.items() if not each.is_closed()}
            batcher = self._loops[loop] = _LoopBatcher(self._send, self._retries, self._limits)
        return batcher


class _LoopBatcher:
    """What one event loop's charges share."""

    def __init__(self, send: Send, retries: Retries, limits: BatchLimits) -> None:
        self._send = send
        self._give_up_after = retries.give_up_after
        self._queue: ChargeQueue[_Caller] = ChargeQueue(retries, limits)
        self._tasks: set[asyncio.Task[None]] = set()
        self._launching: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._on_idle: asyncio.Future[None] | None = None

    def put(self, key: str, text: str) -> _Caller:
        loop = asyncio.get_running_loop()
        future: _Caller = loop.create_future()
        self._queue.put(Waiting(key, text, future, loop.time() + self._give_up_after))
        if self._launching is None and self._queue.has_room:
            self._wake(loop)
        return future

    async def close(self, time_limit: float) -> None:
        loop = asyncio.get_running_loop()
        if self._queue.unsettled:
            self._on_idle = loop.create_future()
            await asyncio.wait([self._on_idle], timeout=time_limit)
            self._tell(self._queue.give_up(Unreachable(CLOSED)))
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._timer is not None:
            self._timer.cancel()

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send what there is once all who are ready to run have run: what they charge goes out together.

        The requests are nobody's: they don't belong to the context of the caller who happened to come first; a trace
        is told by a header.
        """
        if self._launching is not None:
            self._launching.cancel()
        self._launching = loop.call_soon(self._launch, loop, context=contextvars.Context())

    def _launch(self, loop: asyncio.AbstractEventLoop) -> None:
        self._launching = None
        now = loop.time()
        while batch := self._queue.take(now):
            task = loop.create_task(self._charge(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        due = self._queue.due(now)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer = loop.call_at(due, self._launch, loop)

    async def _charge(self, batch: Batch[_Caller]) -> None:
        loop = asyncio.get_running_loop()
        try:
            answer = await self._send(body_of(batch), trace_of(batch), self._queue.timeout)
        except asyncio.CancelledError:
            # The loop is about to end, or the client was closed: nobody knows what became of this request.
            self._tell(self._queue.break_off(batch, Unreachable(BROKEN_OFF, is_known=False)))
            self._tell(self._queue.give_up(Unreachable(CLOSED)))
            raise
        except Exception as error:
            outcomes = self._queue.failed(batch, failure_of(error), loop.time())
        else:
            outcomes = self._queue.answered(batch, answer, loop.time())
        self._tell(outcomes)
        # Those who were told may charge again; where another answer came at the same time, its callers are waited for.
        self._wake(loop)

    def _tell(self, outcomes: Outcomes[_Caller]) -> None:
        for waiting, outcome in outcomes:
            future = waiting.caller
            if future.done():
                continue
            if isinstance(outcome, FareboxError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
        if self._on_idle is not None and not self._queue.unsettled and not self._on_idle.done():
            self._on_idle.set_result(None)
