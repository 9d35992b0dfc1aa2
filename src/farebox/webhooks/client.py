"""What posts webhooks. Most processes never post one, so the HTTP library is loaded for the first."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from farebox.service.address_guard import AddressGuard
from farebox.webhooks.send_result import SEND_SECONDS_MAX, SendResult

if TYPE_CHECKING:
    from farebox.webhooks.sender import GuardedClient


class WebhookClient:
    """Posts to URLs that others chose, as GuardedClient does, which it makes when it is needed."""

    def __init__(self, guard: AddressGuard, *, send_seconds_max: float = SEND_SECONDS_MAX) -> None:
        """Prepare; `guard` tells which addresses may be connected to."""
        self._guard = guard
        self._send_seconds_max = send_seconds_max
        self._loading = asyncio.Lock()
        self._client: GuardedClient | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> SendResult:
        """Send a body once; whatever comes of it is an answer."""
        async with self._loading:
            if self._client is None:
                # It takes a tenth of a second, in which requests are answered.
                self._client = await asyncio.to_thread(self._load)
        return await self._client.post(url, body, headers)

    async def close(self) -> None:
        """Close the connections that are kept."""
        if self._client is not None:
            await self._client.close()

    def _load(self) -> "GuardedClient":
        from farebox.webhooks.sender import GuardedClient  # noqa: PLC0415 - as the module says.

        return GuardedClient(self._guard, send_seconds_max=self._send_seconds_max)
