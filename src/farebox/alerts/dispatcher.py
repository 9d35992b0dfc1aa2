"""The dispatcher: takes owed mails out of a delivery queue, sends them, and writes down what became of each.

Every server process runs one for the alerts' outbox and one for account mails. A claimed mail is leased: no other
process takes it until the lease ends, and if its claimer dies it is due again then. Which mails are owed was decided
before, for alerts with the charge; here they are only delivered.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

from msgspec.structs import replace

from farebox.alerts.email_address import InvalidAddress, one_line
from farebox.alerts.relay import Relay
from farebox.alerts.transport import PermanentFailure, ServerFailure, TransientFailure, Withdrawn
from farebox.service.clock import Clock
from farebox.service.periodic import Periodic
from farebox.storage.interface import NotFound, StorageError
from farebox.storage.records import AccountMail, Delivery, DeliveryState

CLAIM_MAX: Final = 10
"""How many mails are claimed at once at most, and never more than there are free connections: none waits while its
lease runs."""

LEASE_SECONDS: Final = 600
"""Longer than a relay's SEND_SECONDS_MAX by enough to write a result down while the database comes back."""

POLL_SECONDS: Final = 1.0
"""How often to look for mails that other processes owe, and for a database that is away."""

STOP_SECONDS_MAX: Final = 2.0
"""How long a stop waits for mails that are on their way; what is not through by then is due again at once."""

GIVE_BACK_SECONDS_MAX: Final = 1.0
"""How long a stop then waits until that is written down; else those mails are due again when their leases end."""

BACKOFF_SECONDS_MIN: Final = 60
BACKOFF_SECONDS_MAX: Final = 3_600
ATTEMPTS_MAX: Final = 78
"""Seven attempts in the first hour, then one an hour: three days before a mail is given up."""

_BACKOFF_DOUBLINGS_MAX: Final = 6
_ERROR_CHARS_MAX: Final = 500
_MICROS_PER_SECOND: Final = 1_000_000

_log = logging.getLogger("farebox.alerts")

_Mail = TypeVar("_Mail", Delivery, AccountMail)
_Message = TypeVar("_Message")
_Message_co = TypeVar("_Message_co", covariant=True)


class DeliveryQueue(Protocol[_Mail, _Message_co]):
    """Mails of one kind that are owed, as messages of one channel. What touches the database may raise StorageError."""

    async def next_at(self) -> int | None:
        """When the next mail falls due, or None if none waits."""
        ...

    async def claim(self, now: int, *, lease_until: int, limit: int) -> Sequence[_Mail]:
        """Take mails that are due, and count the attempt: no other process gets them until `lease_until`."""
        ...

    async def settle(self, mail: _Mail) -> None:
        """Write what became of a claimed mail.

        Raises:
            NotFound: it is gone.
        """
        ...

    async def compose(self, mail: _Mail) -> _Message_co:
        """Write the mail as of now: one that was held up must not tell old news.

        Raises:
            InvalidAddress: no mail can ever go there.
            Withdrawn: nobody is to get it any more: its recipient was removed, or what it tells of is over.
        """
        ...

    def name(self, mail: _Mail) -> str:
        """Name a mail, for the log."""
        ...


def backoff_seconds(attempts: int) -> int:
    """Tell how long to wait after this many failed attempts: a minute, doubled each time, up to an hour."""
    return min(BACKOFF_SECONDS_MIN << min(attempts - 1, _BACKOFF_DOUBLINGS_MAX), BACKOFF_SECONDS_MAX)


class Dispatcher(Generic[_Mail]):
    """Sends the mails of one queue through one relay."""

    def __init__(
        self,
        queue: DeliveryQueue[_Mail, _Message],
        relay: Relay[_Message],
        clock: Clock,
        *,
        poll_seconds: float = POLL_SECONDS,
        stop_seconds_max: float = STOP_SECONDS_MAX,
        give_back_seconds_max: float = GIVE_BACK_SECONDS_MAX,
    ) -> None:
        """Prepare.

        Args:
            queue: the mails that are owed.
            relay: takes each mail to the mail server.
            clock: tells the time.
            poll_seconds: how often to look for mails that are due.
            stop_seconds_max: how long a stop waits for mails that are on their way.
            give_back_seconds_max: how long it waits until the others are given back.
        """
        self._queue: DeliveryQueue[_Mail, Any] = queue
        self._relay: Relay[Any] = relay
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._stop_seconds_max = stop_seconds_max
        self._give_back_seconds_max = give_back_seconds_max
        self._sending: set[asyncio.Task[None]] = set()

    def periodic(self, subject: str) -> Periodic:
        """Make what sends mails as they fall due; `subject` names them in the log."""
        return Periodic(subject, self.start_due, pause_seconds=self._poll_seconds, on_stop=self.stop)

    async def run_once(self) -> int:
        """Send what is due now, CLAIM_MAX mails at most; return how many were tried, 0 when nothing is due.

        Raises:
            StoreUnavailable: the outbox can't be read.
        """
        tasks = await self._start() if await self._is_due() else []
        await asyncio.gather(*tasks)
        return len(tasks)

    async def start_due(self) -> float:
        """Start mails that are due, as connections get free; return the seconds until it is worth looking again.

        A mail that takes long holds up one connection, and nothing else.

        Raises:
            StorageError: the queue can't be read.
        """
        while await self._is_due():
            if not await self._start():
                # The server is given up, or another process has them.
                return self._poll_seconds
        due_at = await self._queue.next_at()
        until_due = self._poll_seconds if due_at is None else (due_at - self._clock.now()) / _MICROS_PER_SECOND
        return max(0.0, min(until_due, self._poll_seconds))

    async def stop(self) -> None:
        """Let mails on their way come through for a moment, then give the rest back."""
        tasks = list(self._sending)
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=self._stop_seconds_max)
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=self._give_back_seconds_max)

    async def _is_due(self) -> bool:
        """Tell whether a mail is due. Claiming writes, so an idle dispatcher doesn't: it would hold up charges."""
        due_at = await self._queue.next_at()
        return due_at is not None and due_at <= self._clock.now()

    async def _start(self) -> list[asyncio.Task[None]]:
        """Lease mails that are due, as many as there are free connections, and start them."""
        count = await self._relay.acquire(CLAIM_MAX)
        now = self._clock.now()
        lease_until = now + LEASE_SECONDS * _MICROS_PER_SECOND
        mails: Sequence[_Mail] = []
        try:
            if count:
                mails = await self._queue.claim(now, lease_until=lease_until, limit=count)
        finally:
            self._relay.release(count - len(mails))
        return [self._start_one(mail, lease_until) for mail in mails]

    def _start_one(self, mail: _Mail, lease_until: int) -> asyncio.Task[None]:
        task = asyncio.create_task(self._deliver(mail, lease_until), name="mail")
        self._sending.add(task)
        task.add_done_callback(self._end_one)
        return task

    def _end_one(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._relay.release()

    async def _deliver(self, mail: _Mail, lease_until: int) -> None:
        """Send one mail and settle it; what goes wrong with it holds up no other."""
        settled: _Mail | None = None
        try:
            settled = await self._attempt(mail)
            await self._settle(settled, lease_until)
        except asyncio.CancelledError:
            # A mail that was not sent is given back, so that the next process need not wait for the lease to end.
            reason = "the server was stopped while this mail was on its way"
            given_back = replace(mail, next_attempt_at=self._clock.now(), last_error=reason)
            await self._settle(settled or given_back, retry_until=0)
            raise
        except Exception:
            _log.exception("%s to %s was tried, and that can't be written down", self._queue.name(mail), mail.email)

    async def _attempt(self, mail: _Mail) -> _Mail:
        """Write and send one mail; return what is to be written down."""
        try:
            await self._relay.send(lambda: self._queue.compose(mail), mail.email)
        except Withdrawn as reason:
            _log.info("%s to %s is withdrawn: %s", self._queue.name(mail), mail.email, reason)
            return replace(mail, state=DeliveryState.WITHDRAWN, last_error=str(reason))
        except ServerFailure as error:
            paused_until = await self._relay.note_failure(_reason(error))
            return self._failed(mail, str(error)) if paused_until is None else _put_off(mail, error, paused_until)
        except TransientFailure as error:
            return self._failed(mail, str(error))
        except (PermanentFailure, InvalidAddress) as error:
            return self._failed(mail, str(error), is_permanent=True)
        except StorageError as error:
            return self._failed(mail, f"what the mail has to say can't be read: {error}")
        except Exception as error:
            _log.exception("%s to %s failed in a way nobody foresaw", self._queue.name(mail), mail.email)
            return self._failed(mail, f"{type(error).__name__}: {error}")
        _log.info("%s was sent to %s", self._queue.name(mail), mail.email)
        return replace(mail, state=DeliveryState.SENT, sent_at=self._clock.now(), last_error=None)

    async def _settle(self, mail: _Mail, retry_until: int) -> None:
        """Write down what became of a mail; while the lease holds, wait for a database that is away.

        A mail that was sent and can't be written down is sent again when its lease ends.
        """
        while True:
            try:
                await self._queue.settle(mail)
            except NotFound:
                _log.warning("%s to %s is no longer in the outbox", self._queue.name(mail), mail.email)
                return
            except StorageError as error:
                if self._clock.now() >= retry_until:
                    _log.warning(
                        "what became of %s to %s can't be written down: %s", self._queue.name(mail), mail.email, error
                    )
                    return
                await asyncio.sleep(self._poll_seconds)
            else:
                return

    def _failed(self, mail: _Mail, reason: str, *, is_permanent: bool = False) -> _Mail:
        """Write down a failure and when to try again; after ATTEMPTS_MAX the mail is given up."""
        text = _reason(reason)
        is_over = is_permanent or mail.attempts >= ATTEMPTS_MAX
        wait = backoff_seconds(mail.attempts)
        if is_over:
            _log.error(
                "%s to %s is given up after attempt %d: %s", self._queue.name(mail), mail.email, mail.attempts, text
            )
        else:
            _log.warning("%s to %s waits %d seconds, not sent: %s", self._queue.name(mail), mail.email, wait, text)
        return replace(
            mail,
            state=DeliveryState.GIVEN_UP if is_over else DeliveryState.WAITING,
            next_attempt_at=self._clock.now() + wait * _MICROS_PER_SECOND,
            last_error=text,
        )


def _put_off(mail: _Mail, error: ServerFailure, until: int) -> _Mail:
    """Let a mail wait for a server that is given up; that it was tried is not counted against it."""
    return replace(mail, attempts=mail.attempts - 1, next_attempt_at=until, last_error=_reason(error))


def _reason(text: object) -> str:
    """Write what a mail server says as it is shown in tables and on terminals: one line, no control characters."""
    return one_line(str(text))[:_ERROR_CHARS_MAX]
