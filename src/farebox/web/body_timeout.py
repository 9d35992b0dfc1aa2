"""How long a request's body may take to come: one that trickles in holds its place for so long, and no longer.

One timer ticks each second for all requests that still wait for their bodies. A timer for each would cost every honest
request more than the reading of its body does.
"""

import asyncio
from typing import Any, Final

from starlette.types import Message, Receive

from farebox.http.limits import HttpLimits
from farebox.web.envelope import ApiError

BODY_BYTES_PER_SECOND: Final = 64 * 1024
"""A body gets a second more for so much of it as has come, so that a large one may come over a slow line."""

_TICK_SECONDS: Final = 1.0


class BodyTimeouts:
    """The requests of one application that wait for more of their bodies."""

    def __init__(self, limits: HttpLimits) -> None:
        """Begin without any."""
        self.limits = limits
        self.waiting: dict[BodyReader, asyncio.Task[Any]] = {}
        self.ticks = 0
        """Seconds gone by; it stands still while no request waits."""
        self.timer: asyncio.TimerHandle | None = None

    def reader(self, receive: Receive) -> "BodyReader":
        """Read a request's body through this instead."""
        return BodyReader(self, receive)

    def begin(self) -> None:
        """Tick a second from now, and on as long as a request waits."""
        self.timer = asyncio.get_running_loop().call_later(_TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        self.timer = None
        if not self.waiting:
            return
        self.ticks += 1
        for reader, task in self.waiting.items():
            if reader.until < self.ticks and not reader.is_late:
                reader.is_late = True
                task.cancel()
        self.begin()


class BodyReader:
    """Receives one request's body, in place of the server's own `receive`.

    Raises, when called:
        ApiError: 408, the body took too long.
    """

    __slots__ = ("_bytes_count", "_is_whole", "_may_pause", "_receive", "_timeouts", "is_late", "until")

    def __init__(self, timeouts: BodyTimeouts, receive: Receive) -> None:
        self._timeouts = timeouts
        self._receive = receive
        self._may_pause = False
        self._bytes_count = 0
        self._is_whole = False
        self.is_late = False
        self.until = timeouts.ticks + timeouts.limits.body_seconds
        """The last tick at which it may still wait. The second that has begun is not counted."""

    def allow_pauses(self) -> None:
        """Take lines without end: what counts from now on is how long each piece takes, not the whole."""
        self._may_pause = True

    async def __call__(self) -> Message:
        """Receive the next piece."""
        if self._is_whole:
            # All there is left to hear is that the caller went away.
            return await self._receive()
        timeouts = self._timeouts
        if self._may_pause:
            self.until = timeouts.ticks + timeouts.limits.pause_seconds
        if timeouts.timer is None:
            timeouts.begin()
        task: Any = asyncio.current_task()
        timeouts.waiting[self] = task
        try:
            message = await self._receive()
        except asyncio.CancelledError:
            # Somebody else may want the task to end as well.
            if not self.is_late or task.uncancel():
                raise
            raise _too_slow(timeouts.limits, may_pause=self._may_pause) from None
        finally:
            del timeouts.waiting[self]
        if message.get("more_body", False):
            self._count(message.get("body", b""))
        else:
            self._is_whole = True
        return message

    def _count(self, piece: bytes) -> None:
        before = self._bytes_count // BODY_BYTES_PER_SECOND
        self._bytes_count += len(piece)
        self.until += self._bytes_count // BODY_BYTES_PER_SECOND - before


def _too_slow(limits: HttpLimits, *, may_pause: bool) -> ApiError:
    words = (
        f"No more of the body came for {limits.pause_seconds} s"
        if may_pause
        else f"The body took more than {limits.body_seconds} s to come, and a second for every 64 KiB of it"
    )
    # Of what comes so slowly, nothing more is waited for. Source: RFC 9110, section 15.5.9.
    return ApiError(408, "request_timeout", words, [(b"connection", b"close")])
