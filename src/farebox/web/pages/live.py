"""Server-sent events: tells a page that its merchant's account has changed, in this process or another.

An event says no more than that; the page then asks for what it shows, as the one who is signed in. A stream reads the
account several times a second, which costs one look-up; it ends after a while, and the browser begins another. It ends
at once when the process is told to stop, which waits for what it has begun to answer, and within two seconds of the end
of its session, or of its reader's place among the users.

There is always room for one who comes: where a maximum is reached, another stream ends, of the login that has the most
of them, its oldest one. Its page then asks by itself. So nobody shuts others out, however many pages they open.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Final

from msgspec import Struct
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response

from farebox.core.accounts import Account
from farebox.service.errors import ServiceError
from farebox.web.client_address import source_of
from farebox.web.pages import render
from farebox.web.pages.reader_check import is_over
from farebox.web.pages.request import PageRequest


class LiveLimits(Struct, frozen=True, kw_only=True):
    """How long the streams of a process last, how often they look, and how many there are at once."""

    poll_seconds: float = 0.5
    """How often a stream reads its account."""

    heartbeat_seconds: float = 15.0
    """How often a stream without news shows that it is there, so that nothing on its way cuts it off."""

    check_seconds: float = 1.0
    """How often it is checked that a stream's reader may follow still."""

    stream_seconds_max: float = 300.0
    session_streams_max: int = 4
    """How many pages of one browser follow at once. Over HTTP/1.1 browsers have six connections to a host: were all of
    them held by streams, no other page would come up."""

    login_streams_max: int = 20
    address_streams_max: int = 100
    streams_max: int = 500


LIVE_LIMITS: Final = LiveLimits()
"""Those of a server."""

_END_OF_LINE: Final = "\n"
_RETRY: Final = ServerSentEvent(retry=3000, sep=_END_OF_LINE)
_ENOUGH: Final = ServerSentEvent("", event="enough", sep=_END_OF_LINE)
"""Tells a page to ask by itself from now on, and not to begin another stream."""

_CHANGED: Final = ServerSentEvent("", event="changed", sep=_END_OF_LINE)
_HEARTBEAT: Final = b":\n\n"


class _Stream:
    """One stream: whose it is, and whether it has to make room."""

    def __init__(self, request: PageRequest) -> None:
        signed_in = request.required_signed_in
        self.session = signed_in.session.digest
        self.login_id = signed_in.login.login_id
        self.source = source_of(request.address)
        self.is_ending = False


class Live:
    """The streams of one process."""

    def __init__(self, limits: LiveLimits = LIVE_LIMITS) -> None:
        """Begin without any."""
        self._limits = limits
        self._streams: dict[_Stream, None] = {}
        """The streams, the oldest first."""
        self._is_closing = False

    @property
    def count(self) -> int:
        """How many streams there are."""
        return len(self._streams)

    def close(self) -> None:
        """End all streams, and those that begin from now on."""
        self._is_closing = True

    async def stream(self, request: PageRequest) -> Response:
        """Answer with a stream of events; one that ends at once, if the process stops: browsers come again."""
        return EventSourceResponse(self._events(request), headers=render.HEADERS, ping=0)

    def _begin(self, request: PageRequest) -> _Stream:
        """Count a stream in; where there are enough, others end."""
        stream, limits = _Stream(request), self._limits
        going = [other for other in self._streams if not other.is_ending]
        for streams_max, group in (
            (limits.session_streams_max, [other for other in going if other.session == stream.session]),
            (limits.login_streams_max, [other for other in going if other.login_id == stream.login_id]),
            (limits.address_streams_max, [other for other in going if other.source == stream.source]),
            (limits.streams_max, going),
        ):
            left = [other for other in group if not other.is_ending]
            if len(left) >= streams_max:
                counts = Counter(other.login_id for other in left)
                max(left, key=lambda other: counts[other.login_id]).is_ending = True
        self._streams[stream] = None
        return stream

    async def _events(self, request: PageRequest) -> AsyncIterator[ServerSentEvent | bytes]:
        stream, limits = self._begin(request), self._limits
        try:
            yield _RETRY
            seen = await _account(request)
            now = heartbeat_at = checked_at = time.monotonic()
            ends_at = now + limits.stream_seconds_max
            while not self._is_closing and now < ends_at:
                await asyncio.sleep(limits.poll_seconds)
                if stream.is_ending:
                    yield _ENOUGH
                    return
                now = time.monotonic()
                account = await _account(request)
                if account is not None and account != seen:
                    seen = account
                    heartbeat_at = now
                    yield _CHANGED
                elif now - heartbeat_at >= limits.heartbeat_seconds:
                    heartbeat_at = now
                    yield _HEARTBEAT
                if now - checked_at >= limits.check_seconds:
                    if await is_over(request):
                        return
                    checked_at = now
        finally:
            del self._streams[stream]


async def _account(request: PageRequest) -> Account | None:
    """Read the account; None while the database is away."""
    try:
        return await request.services.queries.account(request.merchant_id)
    except ServiceError:
        return None
