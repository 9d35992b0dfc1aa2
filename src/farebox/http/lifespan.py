"""An application's start and end, as ASGI has them.

Specification: ASGI 3.0, lifespan protocol 2.0.
"""

import asyncio
from typing import Any

from starlette.types import ASGIApp, Message


class StartFailed(Exception):
    """The application did not start; the message tells why."""


class Lifespan:
    """Starts an application and ends it."""

    def __init__(self, app: ASGIApp) -> None:
        """Prepare."""
        self.state: dict[str, Any] = {}
        """What the application leaves here when it starts."""
        self._app = app
        self._asked: asyncio.Queue[Message] = asyncio.Queue()
        self._told: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the application.

        Raises:
            StartFailed: it did not start.
        """
        self._task = asyncio.create_task(self._run())
        answer = await self._ask("lifespan.startup")
        if answer.get("type") == "lifespan.startup.complete":
            return
        cause = self._task.exception() if self._task.done() and not self._task.cancelled() else None
        if not answer and cause is not None:
            raise StartFailed(f"{type(cause).__name__}: {cause}") from cause
        raise StartFailed(answer.get("message") or "it does not answer to lifespan.startup")

    async def end(self) -> None:
        """End the application; what goes wrong then is raised as it was there."""
        await self._ask("lifespan.shutdown")
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        await self._app(
            {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state},
            self._asked.get,
            self._told.put,
        )

    async def _ask(self, what: str) -> Message:
        """Ask the application, and return what it answers; nothing if it ends without an answer."""
        self._asked.put_nowait({"type": what})
        answer = asyncio.ensure_future(self._told.get())
        await asyncio.wait([each for each in (answer, self._task) if each is not None], return_when="FIRST_COMPLETED")
        if answer.done():
            return answer.result()
        answer.cancel()
        return {}
