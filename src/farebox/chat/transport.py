"""Sends messages to chats: by Apprise, in threads that reach allowed addresses alone, within a time."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from farebox.chat.apprise_log import listening
from farebox.chat.guarded_threads import ForbiddenConnection, GuardedThreads
from farebox.chat.messages import ChatMessage, message_of, message_of_test
from farebox.chat.services import ChatServices
from farebox.service.address_guard import AddressGuard
from farebox.service.destination_url import InvalidUrl
from farebox.service.people.destination_secrets import DestinationSecrets, SecretUnreadable
from farebox.storage.destination_records import Destination
from farebox.storage.messages.queue import OwedMessage
from farebox.webhooks.send_result import ANSWER_CHARS_MAX, SendResult

SEND_SECONDS_MAX: Final = 20.0
"""How long one attempt may take in all; a thread that takes longer is left to end by itself."""

_OK: Final = 200
_STATUS: Final = re.compile(r"\berror[= ](\d{3})\b")
_PART: Final = re.compile(r"[^/:@?&=#,\s]{5,}")
"""What of a URL is hidden wherever an answer quotes it: every part that is long enough to be a token."""


class ChatTransport:
    """Sends messages to chats."""

    def __init__(
        self,
        guard: AddressGuard,
        secrets: DestinationSecrets,
        *,
        name_of: Callable[[int], Awaitable[str]],
        public_url: str,
        send_seconds_max: float = SEND_SECONDS_MAX,
    ) -> None:
        """Prepare.

        Args:
            guard: tells which addresses are allowed.
            secrets: decrypts the chats' URLs.
            name_of: tells what a merchant is called.
            public_url: where people reach the server, or nothing.
            send_seconds_max: how long one attempt may take in all.
        """
        self.services = ChatServices(guard)
        self._threads = GuardedThreads(guard)
        self._secrets = secrets
        self._name_of = name_of
        self._public_url = public_url
        self._send_seconds_max = send_seconds_max

    async def send(self, message: OwedMessage, destination: Destination, now: int) -> SendResult:
        """Send a message once; whatever comes of it is an answer. A chat shows itself when that was."""
        alert = message.delivery.alert
        name = await self._name_of(alert.merchant_id)
        return await self._send(destination, message_of(alert, name, self._public_url))

    async def send_test(self, destination: Destination) -> SendResult:
        """Send a test once; whatever comes of it is an answer."""
        return await self._send(destination, message_of_test(self._public_url))

    def close(self) -> None:
        """Start nothing more."""
        self._threads.close()

    async def _send(self, destination: Destination, message: ChatMessage) -> SendResult:
        began = time.monotonic()
        try:
            url = self._secrets.chat_url(destination)
            async with asyncio.timeout(self._send_seconds_max):
                status, text = await self._threads.run(partial(self._notify, url, message))
        except TimeoutError:
            status, text = None, f"no answer within {self._send_seconds_max:g} seconds"
        except (ForbiddenConnection, InvalidUrl) as error:
            status, text = None, str(error)
        except SecretUnreadable as error:
            status, text = None, error.message
        took = round((time.monotonic() - began) * 1_000_000)
        return SendResult(status, text[:ANSWER_CHARS_MAX], took)

    def _notify(self, url: str, message: ChatMessage) -> tuple[int | None, str]:
        """Send a message; return the HTTP status, if one is known, and what was said."""
        plugin = self.services.plugin(url)
        with listening() as warnings:
            is_taken = plugin.notify(body=message.body, title=message.title, notify_type="info")
        if is_taken:
            return _OK, "taken"
        text = " ".join(" ".join(warnings).split()) or "the chat's server could not be reached"
        status = _STATUS.search(text)
        return None if status is None else int(status[1]), _hidden(text, url)


def _hidden(text: str, url: str) -> str:
    """Take out of a text every part of a URL that may be a secret."""
    for part in sorted(set(_PART.findall(url)), key=len, reverse=True):
        text = text.replace(part, "…")
    return text
