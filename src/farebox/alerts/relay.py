"""The mail server as dispatchers see it: how many mails it is handed at once, and when it is given up for a while.

The dispatchers of one process share a relay. A server that hangs or takes no mail from anybody fails mail after mail,
each for as long as it pleases; after a few it is given up, as a circuit breaker does, and mails wait without being
tried. When the pause is over one mail tries it: if it goes through, the others follow at once.
"""

import asyncio
import logging
from typing import Final, Generic, TypeVar

from msgspec.structs import replace

from farebox.alerts.transport import Compose, PermanentFailure, ServerFailure, TransientFailure, Transport
from farebox.service.clock import Clock
from farebox.storage.interface import StorageError
from farebox.storage.outgoing.mail_servers import MailServerStore
from farebox.storage.records import MailServerPause

CONNECTIONS_MAX: Final = 20
"""How many mails of one process are on their way to the server at once, unless the operator sets another number."""

SEND_SECONDS_MAX: Final = 120.0
"""How long one mail may take in all, however slowly the mail server answers."""

FAILURES_MAX: Final = 3
"""After how many failures of the server, without a mail that it answered in between, it is given up for a while."""

PAUSE_SECONDS_MIN: Final = 30
PAUSE_SECONDS_MAX: Final = 300
"""A pause is twice as long as the one before, up to here, as long as the server takes no mail."""

_DOUBLINGS_MAX: Final = 10
_MICROS_PER_SECOND: Final = 1_000_000

_log = logging.getLogger("farebox.alerts")


_Message = TypeVar("_Message")


class Relay(Generic[_Message]):
    """One mail server, or the mail folder."""

    def __init__(
        self,
        transport: Transport[_Message],
        mail_servers: MailServerStore,
        clock: Clock,
        *,
        server: str,
        connections_max: int = CONNECTIONS_MAX,
        send_seconds_max: float = SEND_SECONDS_MAX,
    ) -> None:
        """Prepare.

        Args:
            transport: takes each mail to the server.
            mail_servers: where all processes find that the server is given up.
            clock: tells the time.
            server: what the server is called there and in the log.
            connections_max: how many mails are on their way at once.
            send_seconds_max: how long one mail may take in all; well below a mail's lease.
        """
        self._transport: Transport[_Message] = transport
        self._mail_servers = mail_servers
        self._clock = clock
        self._server = server
        self._send_seconds_max = send_seconds_max
        self._free = asyncio.Semaphore(connections_max)
        self._in_use_count = 0
        self._failures_count = 0
        self._is_given_up = False
        self._is_writing = asyncio.Lock()

    async def acquire(self, limit: int) -> int:
        """Wait for a free connection and reserve as many as there are, `limit` at most; return how many.

        None (0) if the server is given up, and one alone if it is to be tried again. Those who wait are served in turn.

        Raises:
            StorageError: whether the server is given up can't be read.
        """
        await self._take()
        try:
            pause = await self._mail_servers.find(self._server)
        except BaseException:
            self.release(1)
            raise
        if pause is not None:
            self._is_given_up = True
            if self._clock.now() < pause.paused_until or self._in_use_count > 1:
                self.release(1)
                return 0
            return 1
        count = 1
        while count < limit and not self._free.locked():
            await self._take()
            count += 1
        return count

    def release(self, count: int = 1) -> None:
        """Give connections back."""
        self._in_use_count -= count
        for _ in range(count):
            self._free.release()

    async def send(self, compose: Compose[_Message], to: str) -> None:
        """Hand a mail to the server, written last thing before.

        Raises:
            Withdrawn: by `compose`, as all else that it raises.
            ServerFailure: the server took too long, or fails whatever mail it is handed.
            TransientFailure: try again later.
            PermanentFailure: trying again is of no use.
        """
        try:
            async with asyncio.timeout(self._send_seconds_max):
                await self._transport.send(compose, to)
        except TimeoutError as error:
            raise ServerFailure("the mail server took too long") from error
        except ServerFailure:
            raise
        except (TransientFailure, PermanentFailure):
            # It refuses this mail, but it answers.
            await self._note_answer()
            raise
        await self._note_answer()

    async def note_failure(self, reason: str) -> int | None:
        """Count a failure of the server; return until when it is given up, or None if it is not."""
        self._failures_count += 1
        async with self._is_writing:
            try:
                return await self._pause(reason)
            except StorageError:
                return None

    async def _pause(self, reason: str) -> int | None:
        now = self._clock.now()
        pause = await self._mail_servers.find(self._server)
        if pause is None:
            if self._failures_count < FAILURES_MAX:
                return None
            until = now + PAUSE_SECONDS_MIN * _MICROS_PER_SECOND
            pause = MailServerPause(self._server, now, until, 1, reason)
            _log.warning(
                "%s takes no mails and is given up for %d seconds, then tried now and again: %s",
                self._server,
                PAUSE_SECONDS_MIN,
                reason,
            )
        elif pause.paused_until <= now:
            seconds = min(PAUSE_SECONDS_MIN << min(pause.pauses, _DOUBLINGS_MAX), PAUSE_SECONDS_MAX)
            until = now + seconds * _MICROS_PER_SECOND
            pause = replace(pause, paused_until=until, pauses=pause.pauses + 1, reason=reason)
        else:
            return pause.paused_until
        await self._mail_servers.pause(pause)
        self._is_given_up = True
        return pause.paused_until

    async def _note_answer(self) -> None:
        self._failures_count = 0
        if not self._is_given_up:
            return
        try:
            await self._mail_servers.resume(self._server)
        except StorageError:
            # The next mail that it answers ends the pause.
            return
        if self._is_given_up:
            self._is_given_up = False
            _log.info("%s takes mails again", self._server)

    async def _take(self) -> None:
        await self._free.acquire()
        self._in_use_count += 1
