"""The dispatcher: takes owed mails out of a delivery queue, sends them, and writes down what became of each.

Every server process runs one for the alerts' outbox and one for account mails. A claimed mail is leased: no other
process takes it until the lease ends, and if its claimer dies it is due again then. Which mails are owed was decided
before, for alerts with the charge; here they are only delivered.
"""

import asyncio
import logging
from collections.abc import Sequence
from email.message import EmailMessage
from typing import Final, Generic, Protocol, TypeVar

from msgspec.structs import replace

from farebox.alerts.email_address import InvalidAddress, one_line
from farebox.alerts.transport import PermanentFailure, TransientFailure, Transport
from farebox.service.clock import Clock
from farebox.service.periodic import Periodic
from farebox.storage.interface import NotFound, StorageError
from farebox.storage.records import AccountMail, MailState, OutboxMail

SENDING_MAX: Final = 10
"""How many mails are on their way at once, and so how many are claimed at once: none waits while its lease runs."""

SEND_SECONDS_MAX: Final = 120.0
"""How long one mail may take in all, however slowly the mail server answers."""

LEASE_SECONDS: Final = 600
"""Longer than SEND_SECONDS_MAX by enough to write down what became of a mail while the database comes back."""

POLL_SECONDS: Final = 1.0
"""How often to look for mails that other processes owe, and for a database that is away."""

STOP_SECONDS_MAX: Final = 5.0
"""How long a stop waits for mails that are on their way; what is not through by then is due again at once."""

BACKOFF_SECONDS_MIN: Final = 60
BACKOFF_SECONDS_MAX: Final = 3_600
ATTEMPTS_MAX: Final = 78
"""Seven attempts in the first hour, then one an hour: three days before a mail is given up."""

_BACKOFF_DOUBLINGS_MAX: Final = 6
_ERROR_CHARS_MAX: Final = 500
_MICROS_PER_SECOND: Final = 1_000_000

_log = logging.getLogger("farebox.alerts")

_Mail = TypeVar("_Mail", OutboxMail, AccountMail)


class DeliveryQueue(Protocol[_Mail]):
    """Mails of one kind that are owed. What touches the database may raise StorageError."""

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

    async def compose(self, mail: _Mail) -> EmailMessage:
        """Write the mail as of now: one that was held up must not tell old news.

        Raises:
            InvalidAddress: no mail can ever go there.
        """
        ...

    def name(self, mail: _Mail) -> str:
        """Name a mail, for the log."""
        ...


def backoff_seconds(attempts: int) -> int:
    """Tell how long to wait after this many failed attempts: a minute, doubled each time, up to an hour."""
    return min(BACKOFF_SECONDS_MIN << min(attempts - 1, _BACKOFF_DOUBLINGS_MAX), BACKOFF_SECONDS_MAX)


class Dispatcher(Generic[_Mail]):
    """Sends the mails of one queue through one transport."""

    def __init__(
        self,
        queue: DeliveryQueue[_Mail],
        transport: Transport,
        clock: Clock,
        *,
        send_seconds_max: float = SEND_SECONDS_MAX,
        poll_seconds: float = POLL_SECONDS,
        stop_seconds_max: float = STOP_SECONDS_MAX,
    ) -> None:
        """Prepare.

        Args:
            queue: the mails that are owed.
            transport: takes each mail to its recipient.
            clock: tells the time.
            send_seconds_max: how long one mail may take in all; well below LEASE_SECONDS.
            poll_seconds: how often to look for mails that are due.
            stop_seconds_max: how long a stop waits for mails that are on their way.
        """
        self._queue: DeliveryQueue[_Mail] = queue
        self._transport = transport
        self._clock = clock
        self._send_seconds_max = send_seconds_max
        self._poll_seconds = poll_seconds
        self._stop_seconds_max = stop_seconds_max
        self._sending: set[asyncio.Task[None]] = set()
        self._place_freed = asyncio.Event()

    def periodic(self, subject: str) -> Periodic:
        """Make what sends mails as they fall due; `subject` names them in the log."""
        return Periodic(
            subject, self.start_due, pause_seconds=self._poll_seconds, wake=self._place_freed, on_stop=self.stop
        )

    async def run_once(self) -> int:
        """Send what is due now, SENDING_MAX mails at most; return how many were tried, 0 when nothing is due.

        Raises:
            StoreUnavailable: the outbox can't be read.
        """
        mails, lease_until = await self._claim(SENDING_MAX)
        async with asyncio.TaskGroup() as group:
            for mail in mails:
                group.create_task(self._deliver(mail, lease_until))
        return len(mails)

    async def start_due(self) -> float:
        """Start as many due mails as there are free places; return the seconds until it is worth looking again.

        A mail that takes long holds up one of SENDING_MAX places, and nothing else.

        Raises:
            StorageError: the queue can't be read.
        """
        if len(self._sending) < SENDING_MAX:
            mails, lease_until = await self._claim(SENDING_MAX - len(self._sending))
            for mail in mails:
                task = asyncio.create_task(self._deliver(mail, lease_until), name="mail")
                self._sending.add(task)
                task.add_done_callback(self._free_place)
        due_at = await self._queue.next_at()
        until_due = self._poll_seconds if due_at is None else (due_at - self._clock.now()) / _MICROS_PER_SECOND
        return until_due if 0 < until_due < self._poll_seconds else self._poll_seconds

    def _free_place(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._place_freed.set()

    async def stop(self) -> None:
        """Let mails on their way come through for a moment, then give the rest back."""
        tasks = list(self._sending)
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=self._stop_seconds_max)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _claim(self, limit: int) -> tuple[list[_Mail], int]:
        """Lease mails that are due, `limit` at most; return them and until when they are leased."""
        now = self._clock.now()
        lease_until = now + LEASE_SECONDS * _MICROS_PER_SECOND
        due_at = await self._queue.next_at()
        if due_at is None or due_at > now:
            # Claiming writes, so an idle dispatcher doesn't: it would hold up charges once a second in each process.
            return [], lease_until
        return list(await self._queue.claim(now, lease_until=lease_until, limit=limit)), lease_until

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
            async with asyncio.timeout(self._send_seconds_max):
                message = await self._queue.compose(mail)
                await self._transport.send(message, mail.email)
        except TransientFailure as error:
            return self._failed(mail, str(error))
        except (PermanentFailure, InvalidAddress) as error:
            return self._failed(mail, str(error), is_permanent=True)
        except TimeoutError:
            return self._failed(mail, "the mail server took too long")
        except StorageError as error:
            return self._failed(mail, f"what the mail has to say can't be read: {error}")
        except Exception as error:
            _log.exception("%s to %s failed in a way nobody foresaw", self._queue.name(mail), mail.email)
            return self._failed(mail, f"{type(error).__name__}: {error}")
        _log.info("%s was sent to %s", self._queue.name(mail), mail.email)
        return replace(mail, state=MailState.SENT, sent_at=self._clock.now(), last_error=None)

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
        # What a mail server says is put into a table and shown on terminals: one line, no control characters.
        text = one_line(reason)[:_ERROR_CHARS_MAX]
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
            state=MailState.GIVEN_UP if is_over else MailState.WAITING,
            next_attempt_at=self._clock.now() + wait * _MICROS_PER_SECOND,
            last_error=text,
        )
