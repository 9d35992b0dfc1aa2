"""What takes a message to a destination: webhooks here; chat has a transport of its own."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from farebox.core import ids
from farebox.presenters.events import event_body
from farebox.service.errors import ServiceError
from farebox.storage.destination_records import Destination
from farebox.storage.messages.queue import OwedMessage
from farebox.webhooks.client import WebhookClient
from farebox.webhooks.send_result import SendResult
from farebox.webhooks.signing import signed_headers

TRACE_HEADER: Final = "traceparent"
"""W3C's, of the span of the request that caused the event, if that was traced."""

SigningSecrets = Callable[[Destination, int], Sequence[str]]
"""The secrets that sign a destination's messages at a time; raises ServiceError if they can't be read."""


class MessageTransport(Protocol):
    """Takes messages to destinations of one channel."""

    async def send(self, message: OwedMessage, destination: Destination, now: int) -> SendResult:
        """Send a message once; whatever comes of it is an answer."""
        ...


class WebhookTransport:
    """Signs and posts."""

    def __init__(self, client: WebhookClient, secrets: SigningSecrets) -> None:
        """Prepare.

        Args:
            client: posts to URLs that others chose.
            secrets: what signs a destination's messages.
        """
        self._client = client
        self._secrets = secrets

    async def send(self, message: OwedMessage, destination: Destination, now: int) -> SendResult:
        body = event_body(message.delivery.alert)
        try:
            secrets = self._secrets(destination, now)
        except ServiceError as error:
            return SendResult(None, str(error), 0)
        headers = signed_headers(secrets, webhook_id=webhook_id(message), body=body, now=now)
        if message.delivery.alert.traceparent is not None:
            headers[TRACE_HEADER] = message.delivery.alert.traceparent
        return await self._client.post(destination.url, body.encode(), headers)


def webhook_id(message: OwedMessage) -> str:
    """Name a message: its alert and its destination, the same at every attempt."""
    delivery = message.delivery
    return f"{delivery.alert.id}_{ids.public_id(ids.DESTINATION, delivery.recipient_id)}"
