"""The thread that owns a process's spool: it accepts charges in groups, has them sent, and writes what they came to.

The spool is known to this thread's calls alone, and never to a value that a forked process could use or close.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from farebox_client.answers import Charge
from farebox_client.batching.queue import BatchLimits, ChargeQueue, Outcomes, Waiting
from farebox_client.batching.threads import SenderClosed, SendingThreads
from farebox_client.errors import FareboxError
from farebox_client.forks import begin_after_fork
from farebox_client.messages import BATCH_PATH
from farebox_client.metering.spool import RefusedCharge, Spool, SpoolFailed
from farebox_client.retries import Retries
from farebox_client.transport import Answer, BlockingTransport

_log = logging.getLogger("farebox_client")

T = TypeVar("T")

_FOREVER: Final = float("inf")
_ATTEMPTS: Final = 10**9
_PAUSE_MAX_S: Final = 30.0
_FAILED_PAUSE_S: Final = 1.0
_BATCHES: Final = BatchLimits()


@dataclass(frozen=True)
class MeterLimits:
    """How much is kept, and how often others are looked after.

    Attributes:
        waiting_max: How many accepted charges may wait to be made.
        write_max: How many are accepted in one transaction at most.
        sending_max: How many are read from disk, and on their way, at most.
        take_over_seconds: How often the folder is looked over for what killed processes left.
    """

    waiting_max: int = 100_000
    write_max: int = 1_000
    sending_max: int = 4_000
    take_over_seconds: float = 10.0

    def __post_init__(self) -> None:
        if min(self.waiting_max, self.write_max, self.take_over_seconds) <= 0 or self.sending_max < 2:
            raise ValueError("limits are above zero, and sending_max above one")


class SpoolFull(Exception):
    """As many charges wait as may; this one was not accepted."""


class Ticket:
    """Somebody who waits for the spool's thread: another thread, or a future of an event loop."""

    __slots__ = ("_error", "_told", "_value", "future")

    def __init__(self, future: "asyncio.Future[Any] | None" = None) -> None:
        """Tell this future, or a thread that calls `wait`."""
        self.future = future
        self._value: Any = None
        self._error: Exception | None = None
        self._told = threading.Lock()
        self._told.acquire()

    @property
    def is_gone(self) -> bool:
        """Whether nobody waits any more."""
        return self.future is not None and self.future.cancelled()

    def tell(self, value: Any, error: Exception | None = None) -> None:
        """Let the one who waits go on."""
        self._value, self._error = value, error
        self._told.release()

    def tell_future(self) -> None:
        """Hand on what was told, within the future's loop."""
        future = self.future
        if future is None or future.done():
            return
        if self._error is not None:
            future.set_exception(self._error)
        else:
            future.set_result(self._value)

    def wait(self) -> Any:
        """Wait until it is told, and return or raise that."""
        self._told.acquire()
        if self._error is not None:
            raise self._error
        return self._value


_Accepted = tuple[str, str, Ticket]
_Asked = tuple[Callable[[Spool], Any], Ticket]
_Told = tuple[Ticket, Any, Exception | None]


class SpoolThread:
    """A folder's spool of this process. The thread starts with the first use, in a forked process once more."""

    def __init__(
        self,
        folder: Path,
        transport: BlockingTransport,
        headers: Mapping[str, str],
        *,
        timeout: float,
        limits: MeterLimits | None,
        when_full: Literal["wait", "raise"],
        on_refused: Callable[[RefusedCharge], None] | None,
    ) -> None:
        """Keep charges in a folder, and send them with these headers; the transport is closed at the end."""
        self._folder = folder
        self._transport = transport
        self._headers = headers
        self._limits = MeterLimits() if limits is None else limits
        self._when_full = when_full
        self._on_refused = on_refused
        self._retries = Retries(
            attempts=_ATTEMPTS, timeout=timeout, give_up_after=_FOREVER, pause=0.1, pause_max=_PAUSE_MAX_S
        )
        self.begin()
        begin_after_fork(self)

    def begin(self) -> None:
        """Begin without a spool."""
        self._generation = 0
        self._sending = self._new_sending()
        self._changed = threading.Condition(threading.Lock())
        self._thread: threading.Thread | None = None
        self._accepted: deque[_Accepted] = deque()
        self._settled: Outcomes[int] = []
        self._asked: list[_Asked] = []
        self._waiting_count = 0
        self._taken_count = 0
        self._fed = 0
        self._last = 0
        self._look_at = 0.0
        self._has_untold = True
        self._teller: threading.Thread | None = None
        self._is_feeding = True
        self._is_closing = False
        self._is_stopping = False

    # What others ask for, in their own threads.

    @property
    def waiting_count(self) -> int:
        """How many accepted charges wait to be made."""
        return self._waiting_count

    def accept(self, key: str, text: str, ticket: Ticket) -> None:
        """Accept a charge; the ticket is told once it is durable.

        Raises:
            SpoolFull: there is no room, and that is not waited for.
        """
        with self._changed:
            if self._is_closing:
                raise RuntimeError("the meter is closed")
            if self._when_full == "raise" and len(self._accepted) >= self._room:
                raise SpoolFull(f"{self._waiting_count:,} charges wait already")
            self._accepted.append((key, text, ticket))
            self._wake()

    def ask(self, function: Callable[[Spool], T]) -> T:
        """Let the thread do something with the spool, and wait for it."""
        ticket = Ticket()
        with self._changed:
            if self._is_stopping:
                raise RuntimeError("the meter is closed")
            self._asked.append((function, ticket))
            self._wake()
        value: T = ticket.wait()
        return value

    def flush(self, time_limit: float) -> int:
        """Wait until all that was accepted is made or refused, and return how many are not after the time limit."""
        ends_at = time.monotonic() + time_limit
        with self._changed:
            while self._thread is not None and (self._accepted or self._taken_count or self._waiting_count):
                if (left := ends_at - time.monotonic()) <= 0:
                    break
                self._changed.wait(left)
            return self._waiting_count

    def close(self, time_limit: float) -> int:
        """Accept no more, flush, and end all; what is left on disk is made by the next one to use the folder."""
        ends_at = time.monotonic() + time_limit
        with self._changed:
            self._is_closing = True
        self.flush(time_limit)
        self._is_feeding = False
        self._sending.close(max(0.0, ends_at - time.monotonic()))
        if (teller := self._teller) is not None:
            teller.join(max(0.0, ends_at - time.monotonic()))
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()
        self._transport.close()
        return self._waiting_count

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="farebox-spool", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _new_sending(self) -> SendingThreads[int]:
        """Make what sends the charges of one spool; it names them by numbers, which the next spool uses again."""
        self._generation += 1
        queue: ChargeQueue[int] = ChargeQueue(self._retries, _BATCHES, is_patient=True)
        return SendingThreads(self._send, _BATCHES, queue, partial(self._settle, self._generation))

    def _send(self, body: bytes, trace: Mapping[str, str], timeout: float) -> Answer:
        return self._transport.send("POST", BATCH_PATH, body, {**self._headers, **trace}, timeout=timeout)

    def _settle(self, generation: int, outcomes: Outcomes[int]) -> None:
        with self._changed:
            if generation == self._generation:
                self._settled += outcomes
                self._changed.notify_all()

    @property
    def _room(self) -> int:
        return self._limits.waiting_max - self._waiting_count - self._taken_count

    # What the thread does.

    def _run(self) -> None:
        error: Exception = RuntimeError("the meter is closed")
        try:
            spool = Spool(self._folder)
            try:
                self._work(spool)
            finally:
                spool.close()
        except SpoolFailed as failed:
            error = failed
        except Exception as failed:
            _log.exception("metering broke off; it starts again with the next charge")
            error = failed
        with self._changed:
            tickets = [*(ticket for *_, ticket in self._accepted), *(ticket for _, ticket in self._asked)]
            self._accepted.clear()
            self._asked.clear()
            self._settled = []
            self._fed = self._last = 0
            self._look_at = 0.0
            self._sending = self._new_sending()
            self._thread = None
            self._changed.notify_all()
        _tell([(ticket, None, error) for ticket in tickets])

    def _work(self, spool: Spool) -> None:
        while (turn := self._next_turn()) is not None:
            accepted, settled, asked = turn
            try:
                self._write(spool, accepted, settled)
            except SpoolFailed as error:
                _tell([(ticket, None, error) for *_, ticket in accepted])
                self._put_off(settled, error)
            else:
                self._publish(spool)
                _tell([(ticket, key, None) for key, _, ticket in accepted])
            try:
                self._look_after_others(spool)
                self._feed(spool)
            except SpoolFailed as error:
                self._put_off([], error)
            answers = [_answer(spool, function, ticket) for function, ticket in asked]
            self._publish(spool)
            _tell(answers)

    def _publish(self, spool: Spool) -> None:
        """Let others see what the spool has."""
        with self._changed:
            self._waiting_count, self._last, self._taken_count = spool.waiting_count, spool.last, 0
            self._changed.notify_all()

    def _next_turn(self) -> "tuple[list[_Accepted], Outcomes[int], list[_Asked]] | None":
        """Wait for something to do; None if the thread is to end."""
        with self._changed:
            while not (self._settled or self._asked or self._is_stopping or self._can_accept or self._can_feed):
                left = self._look_at - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            if self._is_stopping and not self._settled and not self._asked:
                return None
            count = min(len(self._accepted), self._limits.write_max, max(0, self._room))
            accepted = [self._accepted.popleft() for _ in range(count)]
            self._taken_count = count
            settled, self._settled = self._settled, []
            asked, self._asked = self._asked, []
            return [each for each in accepted if not each[2].is_gone], settled, asked

    @property
    def _can_accept(self) -> bool:
        return bool(self._accepted) and self._room > 0

    @property
    def _can_feed(self) -> bool:
        return self._may_feed_up_to(self._last)

    def _may_feed_up_to(self, last: int) -> bool:
        return self._is_feeding and self._fed < last and self._sending.unsettled < self._limits.sending_max // 2

    def _write(self, spool: Spool, accepted: list[_Accepted], settled: Outcomes[int]) -> None:
        done = [waiting.caller for waiting, outcome in settled if isinstance(outcome, Charge)]
        refused = [
            (waiting.caller, _refused(waiting, outcome))
            for waiting, outcome in settled
            # All else was given up when the meter closed: it stays.
            if isinstance(outcome, FareboxError) and 400 <= outcome.status < 500
        ]
        if accepted or done or refused:
            spool.write([(key, text) for key, text, _ in accepted], done, refused)
        if refused:
            for _, each in refused:
                _log.warning("a metered charge was refused, and is put aside: %s: %s", each.code, each.message)
            self._tell_of_refused()

    def _put_off(self, settled: Outcomes[int], error: SpoolFailed) -> None:
        """Go on a little later: the disk may have room again. Charges that were made need not be written."""
        _log.warning("%s", error)
        with self._changed:
            if not self._is_stopping:
                self._settled = settled + self._settled
        time.sleep(_FAILED_PAUSE_S)

    def _look_after_others(self, spool: Spool) -> None:
        """Take over what killed processes left, from time to time."""
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + self._limits.take_over_seconds
        if count := spool.take_over():
            _log.info("%d metered charges of processes that ended are taken over", count)
        self._tell_of_refused()

    def _feed(self, spool: Spool) -> None:
        """Hand charges on to those who send, as long as there is room."""
        while self._may_feed_up_to(spool.last):
            page = spool.page(self._fed, self._limits.sending_max // 2)
            try:
                for charge in page:
                    self._sending.put(Waiting(charge.key, charge.charge, charge.number, _FOREVER))
            except SenderClosed:
                # The rest stays on disk.
                return
            self._fed = page[-1].number if page else spool.last

    def _tell_of_refused(self) -> None:
        """Let the callback know, in a thread of its own: it may take its time."""
        if self._on_refused is None:
            return
        with self._changed:
            self._has_untold = True
            if self._teller is None:
                self._teller = threading.Thread(
                    target=self._call_back, args=(self._on_refused,), name="farebox-refused", daemon=True
                )
                self._teller.start()

    def _call_back(self, on_refused: Callable[[RefusedCharge], None]) -> None:
        while True:
            with self._changed:
                if not self._has_untold or self._is_stopping:
                    self._teller = None
                    return
                self._has_untold = False
            untold = self.ask(lambda spool: spool.refused(is_untold=True))
            for each in untold:
                try:
                    on_refused(each)
                except Exception:
                    _log.exception("the callback failed; the charge is listed as refused all the same")
            keys = [each.key for each in untold]
            self.ask(partial(Spool.mark_told, keys=keys))


def _refused(waiting: Waiting[int], error: FareboxError) -> RefusedCharge:
    return RefusedCharge(
        waiting.key, waiting.text, error.status, error.code, error.message, error.is_known, time.time()
    )


def _answer(spool: Spool, function: Callable[[Spool], Any], ticket: Ticket) -> _Told:
    try:
        return ticket, function(spool), None
    except Exception as error:
        return ticket, None, error


def _tell(told: Iterable[_Told]) -> None:
    """Let those go on who wait; those of one event loop are told at once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Ticket]] = {}
    for ticket, value, error in told:
        if ticket.future is not None:
            by_loop.setdefault(ticket.future.get_loop(), []).append(ticket)
        ticket.tell(value, error)
    for loop, tickets in by_loop.items():
        # A loop that has ended waits for nothing.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_tell_futures, tickets)


def _tell_futures(tickets: list[Ticket]) -> None:
    for ticket in tickets:
        ticket.tell_future()
