"""Long answers to readers who may lose the right to them while they are read."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

CHECK_SECONDS: Final = 1.0
"""How often the reader of a long answer is looked up while it is read."""


async def while_allowed(
    pieces: AsyncIterator[bytes], ensure_allowed: Callable[[], Awaitable[object]]
) -> AsyncIterator[bytes]:
    """Pass a long answer on as long as its reader may read it.

    Raises:
        InvalidKey, Forbidden: as `ensure_allowed`, when the reader may not any more; the answer is cut off.
    """
    checked_at = time.monotonic()
    async for piece in pieces:
        now = time.monotonic()
        if now - checked_at >= CHECK_SECONDS:
            await ensure_allowed()
            checked_at = now
        yield piece
