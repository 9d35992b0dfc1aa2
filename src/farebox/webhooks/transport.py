"""What takes a message to a destination: webhooks here; chat has a transport of its own."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from farebox.core import ids
from farebox.presenters.events import VERSION, event_body
from farebox.service import inputs
from farebox.service.errors import ServiceError
from farebox.storage.destination_records import Destination
from farebox.storage.messages.queue import OwedMessage
from farebox.webhooks.sender import GuardedClient, SendResult
from farebox.webhooks.signing import signed_headers

TEST_TYPE: Final = "webhook.test"
"""The type of what the test button sends: no event, and nothing of an account."""

SigningSecrets = Callable[[Destination, int], Sequence[str]]
"""The secrets that sign a destination's messages at a time; raises ServiceError if they can't be read."""


class MessageTransport(Protocol):
    """Takes messages to destinations of one channel."""

    async def send(self, message: OwedMessage, destination: Destination, now: int) -> SendResult:
        """Send a message once; whatever comes of it is an answer."""
        ...


class WebhookTransport:
    """Signs and posts."""

    def __init__(self, sender: GuardedClient, secrets: SigningSecrets) -> None:
        """Prepare.

        Args:
            sender: posts to URLs that others chose.
            secrets: what signs a destination's messages.
        """
        self._sender = sender
        self._secrets = secrets

    async def send(self, message: OwedMessage, destination: Destination, now: int) -> SendResult:
        alert = message.delivery.alert
        return await self._post(destination, webhook_id(message), event_body(alert), now)

    async def send_test(self, destination: Destination, now: int) -> SendResult:
        """Send something by which an owner sees that messages come through and verify."""
        event = {
            "type": TEST_TYPE,
            "version": VERSION,
            "timestamp": inputs.format_time(now),
            "data": {"destinationId": destination.id},
        }
        return await self._post(destination, f"test_{now}_{destination.id}", msgspec.json.encode(event).decode(), now)

    async def _post(self, destination: Destination, message_id: str, body: str, now: int) -> SendResult:
        try:
            secrets = self._secrets(destination, now)
        except ServiceError as error:
            return SendResult(None, str(error), 0)
        headers = signed_headers(secrets, webhook_id=message_id, body=body, now=now)
        return await self._sender.post(destination.url, body.encode(), headers)


def webhook_id(message: OwedMessage) -> str:
    """Name a message: its alert and its destination, the same at every attempt."""
    alert = message.delivery.alert
    alert_id = ids.book_id(ids.ALERT, merchant_id=alert.merchant_id, seq=alert.number)
    return f"{alert_id}_{ids.public_id(ids.DESTINATION, message.delivery.recipient_id)}"
