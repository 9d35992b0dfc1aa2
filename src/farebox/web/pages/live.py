"""Server-sent events: tells a page that its merchant's account has changed, whichever process changed it.

An event says no more than that; the page then asks for what it shows, as whoever is signed in. A stream looks at the
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
from farebox.web.pages.house import PageRequest

LOOK_SECONDS: Final = 0.5
STREAM_SECONDS_MAX: Final = 300.0
"""How long one stream lasts."""

BEAT_SECONDS: Final = 15.0
"""How often a stream without news shows that it is there, so that nothing on its way cuts it off; and how often it
looks whether whoever listens may do so still."""

STREAMS_MAX: Final = 500
"""How many streams a process has at once."""

_END_OF_LINE: Final = "\n"
_RETRY: Final = ServerSentEvent(retry=3000, sep=_END_OF_LINE)
_CHANGED: Final = ServerSentEvent("", event="changed", sep=_END_OF_LINE)
_BEAT: Final = b":\n\n"


class Live:
    """The streams of one process."""

    def __init__(self) -> None:
        """Begin without any."""
        self.count = 0
        """How many there are."""
        self._is_closing = False

    def close(self) -> None:
        """End all streams, and begin none any more."""
        self._is_closing = True

    async def stream(self, ask: PageRequest) -> Response:
        """Answer with a stream of events.

        Raises:
            ApiError: 503, there are too many; the page then asks again and again by itself.
        """
        if self.count >= STREAMS_MAX or self._is_closing:
            raise ApiError(503, "overloaded", "Too many pages follow their balance; this one asks by itself")
        return EventSourceResponse(self._events(ask), headers=render.HEADERS, ping=0)

    async def _events(self, ask: PageRequest) -> AsyncIterator[ServerSentEvent | bytes]:
        self.count += 1
        try:
            yield _RETRY
            seen = await _look(ask)
            now = beat_at = checked_at = time.monotonic()
            ends_at = now + STREAM_SECONDS_MAX
            while not self._is_closing and now < ends_at:
                await asyncio.sleep(LOOK_SECONDS)
                now = time.monotonic()
                if now - checked_at >= BEAT_SECONDS:
                    if await _is_over(ask):
                        return
                    checked_at = now
                account = await _look(ask)
                if account is not None and account != seen:
                    seen = account
                    beat_at = now
                    yield _CHANGED
                elif now - beat_at >= BEAT_SECONDS:
                    beat_at = now
                    yield _BEAT
        finally:
            self.count -= 1


async def _look(ask: PageRequest) -> Account | None:
    """Read the account; None while the database is away."""
    try:
        return await ask.services.queries.account(ask.merchant_id)
    except ServiceError:
        return None


async def _is_over(ask: PageRequest) -> bool:
    """Tell whether whoever listens has been signed out or removed."""
    try:
        realm = Realm(ask.signed_in.login.realm)
        visit = await ask.services.sign_in.visit(ask.signed_in.token, realm, is_use=False)
        if visit is None:
            return True
        return ask.role is not None and await ask.services.users.role(ask.merchant_id, visit.login.email) is None
    except ServiceError:
        return False
