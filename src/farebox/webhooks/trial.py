"""Tests of webhooks: a message like any other, signed and sent once, of no account."""

import secrets
from typing import TYPE_CHECKING, Final

from farebox.presenters.events import body_of
from farebox.service.address_guard import AddressGuard
from farebox.service.clock import Clock
from farebox.service.people.destination_secrets import DestinationSecrets
from farebox.storage.destination_records import Destination
from farebox.webhooks.send_result import SendResult

if TYPE_CHECKING:
    from farebox.webhooks.sender import GuardedClient

TEST_TYPE: Final = "test"
"""The type of a test: no event, and nothing of an account."""

_ID_BYTES: Final = 13


class WebhookTrials:
    """Sends tests. Most processes never do, so the HTTP library is loaded for the first one."""

    def __init__(self, guard: AddressGuard, destination_secrets: DestinationSecrets, clock: Clock) -> None:
        """Prepare; `guard` tells which addresses may be connected to."""
        self._guard = guard
        self._secrets = destination_secrets
        self._clock = clock
        self._client: GuardedClient | None = None

    async def send_test(self, destination: Destination) -> SendResult:
        """Send a test once; whatever comes of it is an answer.

        Raises:
            SecretUnreadable: it can't be signed.
        """
        from farebox.webhooks.sender import GuardedClient  # noqa: PLC0415 - as the class says.
        from farebox.webhooks.signing import signed_headers  # noqa: PLC0415 - as the class says.

        if self._client is None:
            self._client = GuardedClient(self._guard)
        now = self._clock.now()
        body = body_of(TEST_TYPE, now, {"destinationId": destination.id})
        signing_secrets = self._secrets.signing_secrets(destination, now)
        webhook_id = f"test_{secrets.token_hex(_ID_BYTES)}"
        headers = signed_headers(signing_secrets, webhook_id=webhook_id, body=body, now=now)
        return await self._client.post(destination.url, body.encode(), headers)

    async def close(self) -> None:
        """Close the connections that are kept."""
        if self._client is not None:
            await self._client.close()
            self._client = None
