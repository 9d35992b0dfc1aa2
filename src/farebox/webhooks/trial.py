"""Tests of webhooks: a message like any other, signed and sent once, of no account."""

import secrets
from typing import Final

from farebox.presenters.events import body_of
from farebox.service.clock import Clock
from farebox.service.people.destination_secrets import DestinationSecrets
from farebox.storage.destination_records import Destination
from farebox.webhooks.client import WebhookClient
from farebox.webhooks.send_result import SendResult

TEST_TYPE: Final = "test"
"""The type of a test: no event, and nothing of an account."""

_ID_BYTES: Final = 13


class WebhookTrials:
    """Sends tests."""

    def __init__(self, client: WebhookClient, destination_secrets: DestinationSecrets, clock: Clock) -> None:
        """Prepare; `client` posts to URLs that others chose."""
        self._client = client
        self._secrets = destination_secrets
        self._clock = clock

    async def send_test(self, destination: Destination) -> SendResult:
        """Send a test once; whatever comes of it is an answer.

        Raises:
            SecretUnreadable: it can't be signed.
        """
        from farebox.webhooks.signing import signed_headers  # noqa: PLC0415 - most processes never sign.

        now = self._clock.now()
        body = body_of(TEST_TYPE, now, {"destinationId": destination.id})
        signing_secrets = self._secrets.signing_secrets(destination, now)
        webhook_id = f"test_{secrets.token_hex(_ID_BYTES)}"
        headers = signed_headers(signing_secrets, webhook_id=webhook_id, body=body, now=now)
        return await self._client.post(destination.url, body.encode(), headers)

    async def close(self) -> None:
        """Close the connections that are kept."""
        await self._client.close()
