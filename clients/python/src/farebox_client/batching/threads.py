"""Charges of one process's threads share requests: a few threads send what has gathered, for all callers."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, Generic

from farebox_client.answers import Charge
from farebox_client.batching.queue import (
    CLOSED,
    Batch,
    BatchLimits,
    C,
    ChargeQueue,
    Outcomes,
    Waiting,
    body_of,
    failure_of,
    trace_of,
)
from farebox_client.errors import FareboxError, Unreachable
from farebox_client.forks import begin_after_fork
from farebox_client.retries import Retries
from farebox_client.transport import Answer

Send = Callable[[bytes, Mapping[str, str], float], Answer]
"""Makes one attempt of a body, with its trace as headers and a time limit; raises `Unreachable` if no answer came."""

IDLE_SECONDS: Final = 5.0
"""How long a thread waits for more to send before it ends."""


class SenderClosed(RuntimeError):
    """The client was closed."""


class SendingThreads(Generic[C]):
    """Threads that send what has gathered; they start when there is something to send, and end when nothing comes."""

    def __init__(
        self, send: Send, limits: BatchLimits, queue: ChargeQueue[C], tell: Callable[[Outcomes[C]], None]
    ) -> None:
        """Send by `send`, which several threads call at once, and hand settled charges to `tell`."""
        self._send = send
        self._threads_max = limits.requests_max
        self._queue = queue
        self._tell = tell
        self._changed = threading.Condition(threading.Lock())
        self._threads_count = 0
        self._idle_count = 0
        self._is_closed = False

    @property
    def unsettled(self) -> int:
        """How many charges have no outcome yet."""
        return self._queue.unsettled

    def put(self, waiting: Waiting[C]) -> None:
        """Let a charge wait for the next request.

        Raises:
            FareboxError: as `ChargeQueue.put`.
            SenderClosed: none is taken any more.
        """
        with self._changed:
            if self._is_closed:
                raise SenderClosed("the client is closed")
            self._queue.put(waiting)
            if self._idle_count:
                self._changed.notify()
            elif self._threads_count < self._threads_max:
                self._threads_count += 1
                threading.Thread(target=self._work, name="farebox-charges", daemon=True).start()

    def close(self, time_limit: float) -> None:
        """Take no more charges, and wait until all are settled; those that are not sent by then are given up."""
        ends_at = time.monotonic() + time_limit
        with self._changed:
            self._is_closed = True
            while self._queue.unsettled and (left := ends_at - time.monotonic()) > 0:
                self._changed.wait(left)
            rest = self._queue.give_up(Unreachable(CLOSED))
            self._changed.notify_all()
        self._tell(rest)

    def _work(self) -> None:
        """Send what has gathered, until nothing has come for a while."""
        while batch := self._next():
            try:
                answer = self._send(body_of(batch), trace_of(batch), self._queue.timeout)
            except Exception as error:
                with self._changed:
                    outcomes = self._queue.failed(batch, failure_of(error), time.monotonic())
            else:
                with self._changed:
                    outcomes = self._queue.answered(batch, answer, time.monotonic())
            self._tell(outcomes)
            if self._is_closed:
                with self._changed:
                    self._changed.notify_all()

    def _next(self) -> Batch[C] | None:
        """Wait for something to send; None if this thread is to end."""
        with self._changed:
            is_over = False
            while True:
                now = time.monotonic()
                if batch := self._queue.take(now):
                    return batch
                if is_over or (self._is_closed and not self._queue.unsettled):
                    self._threads_count -= 1
                    return None
                due = self._queue.due(now)
                self._idle_count += 1
                is_woken = self._changed.wait(IDLE_SECONDS if due is None else due - now)
                self._idle_count -= 1
                is_over = due is None and not is_woken


class _Caller:
    """A thread that waits for its charge's outcome."""

    __slots__ = ("_outcome", "_told")

    def __init__(self) -> None:
        self._told = threading.Lock()
        self._told.acquire()
        self._outcome: Charge | FareboxError | None = None

    def tell(self, outcome: Charge | FareboxError) -> None:
        self._outcome = outcome
        self._told.release()

    def wait(self) -> Charge:
        self._told.acquire()
        outcome = self._outcome
        if isinstance(outcome, Charge):
            return outcome
        if outcome is None:
            raise RuntimeError("an outcome is told before its caller goes on")
        raise outcome


class ThreadBatcher:
    """Charges by shared requests, of any threads of one process; a forked one begins with none of its parent's."""

    def __init__(self, send: Send, retries: Retries, limits: BatchLimits) -> None:
        """Send by `send`, which several threads call at once."""
        self._send = send
        self._retries = retries
        self._limits = limits
        self.begin()
        begin_after_fork(self)

    def begin(self) -> None:
        """Begin without charges."""
        queue: ChargeQueue[_Caller] = ChargeQueue(self._retries, self._limits)
        self._threads = SendingThreads(self._send, self._limits, queue, _tell)

    def charge(self, key: str, text: str) -> Charge:
        """Charge under a key, as JSON, together with others; a caller that is interrupted meanwhile takes nothing back.

        Raises:
            FareboxError: of the class that the outcome's code names.
        """
        caller = _Caller()
        ends_at = time.monotonic() + self._retries.give_up_after
        self._threads.put(Waiting(key, text, caller, ends_at))
        return caller.wait()

    def close(self, time_limit: float) -> None:
        """Take no more charges, and wait for the outcomes of all that came; those that are not sent by then fail."""
        self._threads.close(time_limit)


def _tell(outcomes: Outcomes[_Caller]) -> None:
    for waiting, outcome in outcomes:
        waiting.caller.tell(outcome)
