"""Server-sent events: tells a page that its merchant's account has changed, in this process or another.

An event says no more than that; the page then asks for what it shows, as the one who is signed in. A stream reads the
account several times a second, which costs one look-up; it ends after a while, and the browser begins another. It ends
at once when the process is told to stop, which waits for what it has begun to answer.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response

from farebox.core.accounts import Account
from farebox.service.errors import ServiceError
from farebox.service.people.users import Realm
from farebox.web.envelope import ApiError
from farebox.web.pages import render
from farebox.web.pages.request import PageRequest

POLL_SECONDS: Final = 0.5
STREAM_SECONDS_MAX: Final = 300.0
"""How long one stream lasts."""

HEARTBEAT_SECONDS: Final = 15.0
"""How often a stream without news shows that it is there, so that nothing on its way cuts it off; and how often it is
checked that its reader may follow still."""

STREAMS_MAX: Final = 500
"""How many streams a process has at once."""

_END_OF_LINE: Final = "\n"
_RETRY: Final = ServerSentEvent(retry=3000, sep=_END_OF_LINE)
_CHANGED: Final = ServerSentEvent("", event="changed", sep=_END_OF_LINE)
_HEARTBEAT: Final = b":\n\n"


class Live:
    """The streams of one process."""

    def __init__(self, *, poll_seconds: float = POLL_SECONDS, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> None:
        """Begin without any; each reads its account and shows that it is there so often."""
        self._poll_seconds = poll_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self.count = 0
        """How many there are."""
        self._is_closing = False

    def close(self) -> None:
        """End all streams, and begin none any more."""
        self._is_closing = True

    async def stream(self, request: PageRequest) -> Response:
        """Answer with a stream of events.

        Raises:
            ApiError: 503, there are too many; the page then asks again and again by itself.
        """
        if self.count >= STREAMS_MAX or self._is_closing:
            raise ApiError(503, "overloaded", "Too many pages follow their balance; this one asks by itself")
        return EventSourceResponse(self._events(request), headers=render.HEADERS, ping=0)

    async def _events(self, request: PageRequest) -> AsyncIterator[ServerSentEvent | bytes]:
        self.count += 1
        try:
            yield _RETRY
            seen = await _account(request)
            now = heartbeat_at = checked_at = time.monotonic()
            ends_at = now + STREAM_SECONDS_MAX
            while not self._is_closing and now < ends_at:
                await asyncio.sleep(self._poll_seconds)
                now = time.monotonic()
                account = await _account(request)
                if account is not None and account != seen:
                    seen = account
                    heartbeat_at = now
                    yield _CHANGED
                elif now - heartbeat_at >= self._heartbeat_seconds:
                    heartbeat_at = now
                    yield _HEARTBEAT
                if now - checked_at >= self._heartbeat_seconds:
                    if await _is_over(request):
                        return
                    checked_at = now
        finally:
            self.count -= 1


async def _account(request: PageRequest) -> Account | None:
    """Read the account; None while the database is away."""
    try:
        return await request.services.queries.account(request.merchant_id)
    except ServiceError:
        return None


async def _is_over(request: PageRequest) -> bool:
    """Tell whether the reader has been signed out or removed."""
    try:
        realm = Realm(request.login.realm)
        signed_in = await request.services.sign_in.authenticate(request.required_signed_in.token, realm, is_use=False)
        if signed_in is None:
            return True
        return (
            request.role is not None
            and await request.services.users.role(request.merchant_id, signed_in.login.email) is None
        )
    except ServiceError:
        return False
