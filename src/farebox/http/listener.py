"""What one process accepts connections on, and the connections that it has."""

import asyncio
import logging
import socket
import time
from email.utils import formatdate
from typing import Final

from starlette.types import ASGIApp

from farebox.http.connection import Connection
from farebox.http.limits import HttpLimits

BACKLOG: Final = 2_048
"""How many connections wait to be accepted."""

ACCEPTED_AT_ONCE: Final = 64
"""How many connections are accepted before those that are there have their turn."""

_TICK_SECONDS: Final = 1.0
_NO_FILES_PAUSE_SECONDS: Final = 1.0

_log = logging.getLogger("farebox.http")


class Listener:
    """Accepts connections on a socket, ends those that wait for too long, and all of them in the end."""

    def __init__(
        self, app: ASGIApp, listening: socket.socket, limits: HttpLimits, *, connections_max: int | None = None
    ) -> None:
        """Prepare.

        Args:
            app: answers requests.
            listening: a socket that is bound, and does not block.
            limits: what connections may have.
            connections_max: how many there are at once, if not as many as `limits` has; others wait in the socket.
        """
        self.app = app
        self.address: tuple[str, int] = listening.getsockname()[:2]
        self.ticks = 0
        """Seconds gone by."""
        self.date_line = b""
        self._listening = listening
        self._limits = limits
        self._connections_max = connections_max or limits.connections
        self._connections: set[Connection] = set()
        self._ending: dict[Connection, int] = {}
        self._accepting: set[asyncio.Task[object]] = set()
        self._is_reading = False
        self._is_stopped = False
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        """Listen, and begin to accept."""
        self._listening.listen(BACKLOG)
        _give_up_unread_answers(self._listening, self._limits.unread_seconds)
        self._tick()
        self._read()

    @property
    def count(self) -> int:
        """Count the connections that are open, or about to be."""
        return len(self._connections) + len(self._accepting)

    def stop(self) -> None:
        """Accept no more, and end each connection with its next answer; what waits in the socket is left to others."""
        self._is_stopped = True
        self._leave()
        self._listening.close()
        for each in self._connections:
            each.is_closing = True

    def close_idle(self) -> None:
        """End the connections on which nothing is asked."""
        for each in [each for each in self._connections if each.is_idle]:
            each.close()

    # What connections tell.

    def add(self, connection: Connection) -> None:
        """Have a connection."""
        connection.is_closing = self._is_stopped
        self._connections.add(connection)

    def remove(self, connection: Connection) -> None:
        """Have a connection no longer."""
        self._connections.discard(connection)
        self._ending.pop(connection, None)
        self._read_again()

    def close_soon(self, connection: Connection) -> None:
        """End a connection when its client does, or after a while."""
        self._ending[connection] = self.ticks + self._limits.unwanted_seconds

    def keep(self, connection: Connection) -> None:
        """Do not end a connection after a while any more."""
        self._ending.pop(connection, None)

    def _read(self) -> None:
        self._is_reading = True
        self._loop.add_reader(self._listening.fileno(), self._accept)

    def _leave(self) -> None:
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._listening.fileno())

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            if self.count >= self._connections_max:
                self._leave()
                return
            try:
                accepted, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionError):
                return
            except OSError as error:
                _log.error("no connection can be accepted for now: %s", error)
                self._leave()
                self._loop.call_later(_NO_FILES_PAUSE_SECONDS, self._read_again)
                return
            accepted.setblocking(False)
            task = self._loop.create_task(self._connect(accepted))
            self._accepting.add(task)
            task.add_done_callback(self._note_accepted)

    def _note_accepted(self, task: asyncio.Task[object]) -> None:
        """Count a connection once from now on, or not at all: its client may have gone meanwhile."""
        self._accepting.discard(task)
        self._read_again()

    def _read_again(self) -> None:
        if not (self._is_reading or self._is_stopped) and self.count < self._connections_max:
            self._read()

    async def _connect(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: Connection(self, self._loop), accepted)
        except OSError:
            # The client is gone already.
            accepted.close()

    def _tick(self) -> None:
        self._loop.call_later(_TICK_SECONDS, self._tick)
        self.ticks += 1
        self.date_line = f"date: {formatdate(time.time(), usegmt=True)}\r\n".encode()
        late = self.ticks - self._limits.head_seconds
        for each in [each for each in self._connections if 0 <= each.waits_since < late]:
            each.close()
        for each in [each for each, until in self._ending.items() if until < self.ticks]:
            each.close()


def _give_up_unread_answers(listening: socket.socket, seconds_max: int) -> None:
    """Let the system close connections that don't take their answers, which would be waited for at the end.

    Sockets that a listening socket accepts have its options. Only Linux measures this one so.
    """
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None:
        listening.setsockopt(socket.IPPROTO_TCP, option, seconds_max * 1_000)
