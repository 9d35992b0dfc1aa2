"""Dispatchers that run for a while, as a server runs them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from farebox.alerts.dispatcher import Dispatcher
from farebox.storage.records import AccountMail, Delivery


@asynccontextmanager
async def running(
    *dispatchers: Dispatcher[Delivery] | Dispatcher[AccountMail],
) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Let them send what is due; at the end they are stopped."""
    tasks = [asyncio.create_task(dispatcher.periodic("mails").run()) for dispatcher in dispatchers]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
