"""The dispatcher of mails: takes owed mails out of a delivery queue, sends them, and writes down what became of each.

Every server process runs one for the mails that alerts owe and one for account mails, as `delivery_loop` says.
"""

import logging
from collections.abc import Sequence
from math import inf
from typing import Any, Final, Protocol, TypeVar

from msgspec.structs import replace

from farebox.alerts.delivery_loop import (
    GIVE_BACK_SECONDS_MAX,
    MICROS_PER_SECOND,
    POLL_SECONDS,
    STOP_SECONDS_MAX,
    DeliveryLoop,
)
from farebox.alerts.email_address import InvalidAddress, one_line
from farebox.alerts.relay import Relay
from farebox.alerts.transport import PermanentFailure, ServerFailure, TransientFailure, Withdrawn
from farebox.service.clock import Clock
from farebox.storage.interface import StorageError
from farebox.storage.records import AccountMail, Delivery, DeliveryState

LEASE_SECONDS: Final = 600
"""Longer than a relay's SEND_SECONDS_MAX by enough to write a result down while the database comes back."""

BACKOFF_SECONDS_MIN: Final = 60
BACKOFF_SECONDS_MAX: Final = 3_600
ATTEMPTS_MAX: Final = 78
"""Seven attempts in the first hour, then one an hour: three days before a mail is given up."""

_BACKOFF_DOUBLINGS_MAX: Final = 6
_ERROR_CHARS_MAX: Final = 500

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


class Dispatcher(DeliveryLoop[_Mail]):
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
        super().__init__(
            clock,
            lease_seconds=LEASE_SECONDS,
            poll_seconds=poll_seconds,
            stop_seconds_max=stop_seconds_max,
            give_back_seconds_max=give_back_seconds_max,
        )
        self._queue: DeliveryQueue[_Mail, Any] = queue
        self._relay: Relay[Any] = relay

    async def _seconds_until_due(self) -> float:
        due_at = await self._queue.next_at()
        return inf if due_at is None else (due_at - self._clock.now()) / MICROS_PER_SECOND

    async def _acquire(self, limit: int) -> int:
        return await self._relay.acquire(limit)

    def _release(self, count: int = 1) -> None:
        self._relay.release(count)

    async def _claim(self, now: int, *, lease_until: int, limit: int) -> Sequence[_Mail]:
        return await self._queue.claim(now, lease_until=lease_until, limit=limit)

    async def _settle(self, item: _Mail) -> None:
        await self._queue.settle(item)

    def _name(self, item: _Mail) -> str:
        return f"{self._queue.name(item)} to {item.email}"

    def _given_back(self, item: _Mail) -> _Mail:
        reason = "the server was stopped while this mail was on its way"
        return replace(item, next_attempt_at=self._clock.now(), last_error=reason)

    async def _attempt(self, item: _Mail) -> _Mail:
        """Write and send one mail; return what is to be written down."""
        try:
            await self._relay.send(lambda: self._queue.compose(item), item.email)
        except Withdrawn as reason:
            _log.info("%s is withdrawn: %s", self._name(item), reason)
            return replace(item, state=DeliveryState.WITHDRAWN, last_error=str(reason))
        except ServerFailure as error:
            paused_until = await self._relay.note_failure(_reason(error))
            return self._failed(item, str(error)) if paused_until is None else _put_off(item, error, paused_until)
        except TransientFailure as error:
            return self._failed(item, str(error))
        except (PermanentFailure, InvalidAddress) as error:
            return self._failed(item, str(error), is_permanent=True)
        except StorageError as error:
            return self._failed(item, f"what the mail has to say can't be read: {error}")
        except Exception as error:
            _log.exception("%s failed in a way nobody foresaw", self._name(item))
            return self._failed(item, f"{type(error).__name__}: {error}")
        _log.info("%s was sent to %s", self._queue.name(item), item.email)
        return replace(item, state=DeliveryState.SENT, sent_at=self._clock.now(), last_error=None)

    def _failed(self, mail: _Mail, reason: str, *, is_permanent: bool = False) -> _Mail:
        """Write down a failure and when to try again; after ATTEMPTS_MAX the mail is given up."""
        text = _reason(reason)
        is_over = is_permanent or mail.attempts >= ATTEMPTS_MAX
        wait = backoff_seconds(mail.attempts)
        if is_over:
            _log.error("%s is given up after attempt %d: %s", self._name(mail), mail.attempts, text)
        else:
            _log.warning("%s waits %d seconds, not sent: %s", self._name(mail), wait, text)
        return replace(
            mail,
            state=DeliveryState.GIVEN_UP if is_over else DeliveryState.WAITING,
            next_attempt_at=self._clock.now() + wait * MICROS_PER_SECOND,
            last_error=text,
        )


def _put_off(mail: _Mail, error: ServerFailure, until: int) -> _Mail:
    """Let a mail wait for a server that is given up; that it was tried is not counted against it."""
    return replace(mail, attempts=mail.attempts - 1, next_attempt_at=until, last_error=_reason(error))


def _reason(text: object) -> str:
    """Write what a mail server says as it is shown in tables and on terminals: one line, no control characters."""
    return one_line(str(text))[:_ERROR_CHARS_MAX]
