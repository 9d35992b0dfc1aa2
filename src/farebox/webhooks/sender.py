"""One POST to a URL that somebody else chose: bounded in time and size, to public addresses, over TLS that is verified.

The outcome is always a `SendResult`; an answer that redirects is a failure, as nothing is followed.
"""

import asyncio
import ssl
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

import httpcore2
import httpx2

from farebox.alerts.email_address import one_line
from farebox.service.address_guard import AddressGuard
from farebox.webhooks.connecting import GuardedBackend, Resolve, Resolver
from farebox.webhooks.send_result import ANSWER_CHARS_MAX, SEND_SECONDS_MAX, SendResult

READ_SECONDS_MAX: Final = 10.0
"""How long a receiver may say nothing."""

BODY_BYTES_MAX: Final = 64 * 1024
"""So much of an answer's body is read; the connection is closed on what comes after it."""

RETRY_AFTER_SECONDS_MAX: Final = 3_600
"""How long a receiver may ask to be left alone."""

_KEEPALIVE_SECONDS: Final = 1.0
"""Shorter than any usual server's, so that no request meets a connection that the other side is closing."""

_KEPT_CONNECTIONS_MAX: Final = 50

_HEADERS: Final = {
    "accept": "*/*",
    "accept-encoding": "identity",
    "content-type": "application/json",
    "user-agent": "Farebox-Webhooks/1",
}


class GuardedClient:
    """Sends messages to URLs that others chose."""

    def __init__(
        self,
        guard: AddressGuard,
        *,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
        send_seconds_max: float = SEND_SECONDS_MAX,
    ) -> None:
        """Prepare; nothing is connected yet.

        Args:
            guard: tells which addresses may be connected to.
            resolve: looks names up; the system's resolver, if None.
            tls: whose certificates are trusted; those that this machine trusts, if None.
            send_seconds_max: how long one attempt may take in all.
        """
        resolve = Resolver() if resolve is None else resolve
        self._send_seconds_max = send_seconds_max
        self._pools = {
            scheme: httpcore2.AsyncConnectionPool(
                ssl_context=(tls or httpx2.create_ssl_context()) if scheme == "https" else None,
                max_connections=None,
                max_keepalive_connections=_KEPT_CONNECTIONS_MAX,
                keepalive_expiry=_KEEPALIVE_SECONDS,
                network_backend=GuardedBackend(
                    guard, resolve, httpcore2.AnyIOBackend(), is_encrypted=scheme == "https"
                ),
            )
            for scheme in ("https", "http")
        }

    async def close(self) -> None:
        """Close the connections that are kept."""
        for pool in self._pools.values():
            await pool.aclose()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> SendResult:
        """Send a body once; whatever comes of it is an answer."""
        began = time.monotonic()
        status: int | None = None
        received = bytearray()
        retry_after: str | None = None
        reason = ""
        try:
            async with (
                asyncio.timeout(self._send_seconds_max),
                self._pools[url.partition(":")[0]].stream(
                    "POST",
                    url,
                    headers=[*_HEADERS.items(), *headers.items()],
                    content=body,
                    extensions={"timeout": self._timeouts()},
                ) as response,
            ):
                status = response.status
                retry_after = _header(response, b"retry-after")
                async for part in response.aiter_stream():
                    received += part
                    if len(received) >= BODY_BYTES_MAX:
                        break
        except TimeoutError:
            reason = f"no answer within {self._send_seconds_max:g} seconds"
        except httpcore2.TimeoutException as error:
            reason = str(error) or "the receiver takes too long"
        except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            reason = str(error) or "the connection broke"
        # An answer that is cut short is one all the same: the receiver said what it did with the message.
        text = reason if status is None else bytes(received[: 4 * ANSWER_CHARS_MAX]).decode("utf-8", "replace")
        return SendResult(
            status,
            one_line(text)[:ANSWER_CHARS_MAX],
            round((time.monotonic() - began) * 1_000_000),
            None if retry_after is None else _seconds(retry_after),
        )

    def _timeouts(self) -> dict[str, float]:
        read_seconds = min(READ_SECONDS_MAX, self._send_seconds_max)
        return {"connect": read_seconds, "read": read_seconds, "write": read_seconds, "pool": read_seconds}


def _header(response: httpcore2.Response, name: bytes) -> str | None:
    return next((value.decode("latin-1") for header, value in response.headers if header.lower() == name), None)


def _seconds(text: str) -> int | None:
    """Read how long to wait by `Retry-After`, seconds or a date; None if it says neither."""
    if text.isascii() and text.isdigit():
        return min(int(text[:9]), RETRY_AFTER_SECONDS_MAX)
    try:
        seconds = parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return max(0, min(round(seconds), RETRY_AFTER_SECONDS_MAX))
