"""How a request travels: two small protocols, and HTTP behind them.

A transport makes one attempt and knows nothing of envelopes or of asking again. Tests and wrappers bring their own.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol
from urllib.request import getproxies, proxy_bypass

import httpx2

from farebox_client.connections import ConnectionLost, Connections, NotConnected, Received, ServerAddress, deadline
from farebox_client.errors import Unreachable
from farebox_client.forks import begin_after_fork

_URLS_MAX: Final = 256
_PORTS: Final = {"http": 80, "https": 443}

CONNECTIONS_MAX: Final = 100
"""How many connections a client opens at most; requests beyond wait for one."""

# Farebox and most proxies close a connection that idled for long; one that is about to be closed is not used.
_IDLE_MAX_S: Final = 4.0

_BEFORE_SENDING: Final = 0.5
"""The share of an attempt's time that may pass until there is a connection."""


@dataclass(frozen=True)
class Answer:
    """An answer as it came: the names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Transport(Protocol):
    """Carries requests of an asynchronous client."""

    async def send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], *, timeout: float
    ) -> Answer:
        """Make one attempt, within `timeout` seconds from the first byte to the last.

        Raises:
            Unreachable: no answer came; its `is_known` tells that nothing was sent.
        """
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


class BlockingTransport(Protocol):
    """Carries requests of a blocking client; several threads may use it at once."""

    def send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], *, timeout: float) -> Answer:
        """Make one attempt, as `Transport.send`; within an answer's head, each pause may last as long as the whole."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


class HttpTransport:
    """HTTP/1.1 for asyncio. Each event loop has connections of its own: those of a loop that ended are of no use.

    Where a proxy has to be asked, the transport of httpx2 asks it.
    """

    def __init__(self, base_url: str, *, connections: int = CONNECTIONS_MAX) -> None:
        """Send to this address; paths are put behind it."""
        self._base_url = checked_base_url(base_url)
        self._connections = connections
        self._of_loops: dict[asyncio.AbstractEventLoop, Connections | _ThroughProxy] = {}

    async def send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], *, timeout: float
    ) -> Answer:
        url = _url(self._base_url, path)
        # Earlier than the whole, so that it is known whether anything was sent.
        until = timeout * _BEFORE_SENDING
        with _as_unreachable(timeout):
            return _answer(await self._of_this_loop().ask(method, url, headers, body, timeout=timeout, until=until))

    async def close(self) -> None:
        connections = self._of_loops.pop(asyncio.get_running_loop(), None)
        if connections is not None:
            await connections.close()

    def _of_this_loop(self) -> "Connections | _ThroughProxy":
        loop = asyncio.get_running_loop()
        connections = self._of_loops.get(loop)
        if connections is None:
            self._of_loops = {each: its for each, its in self._of_loops.items() if not each.is_closed()}
            connections = self._of_loops[loop] = self._new_connections()
        return connections

    def _new_connections(self) -> "Connections | _ThroughProxy":
        proxy = _proxy(self._base_url)
        if proxy is not None:
            return _ThroughProxy(proxy, self._connections)
        return Connections(_server_address(self._base_url), connections_max=self._connections, idle_max=_IDLE_MAX_S)


class _ThroughProxy:
    """The connections of one event loop to a proxy; they are as `Connections`."""

    def __init__(self, proxy: str, connections: int) -> None:
        self._transport = httpx2.AsyncHTTPTransport(limits=_limits(connections), proxy=proxy)

    async def ask(
        self,
        method: str,
        url: httpx2.URL,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        timeout: float,
        until: float,
    ) -> Received:
        extensions = {"timeout": dict.fromkeys(("connect", "pool"), until)}
        request = httpx2.Request(method, url, headers=headers, content=body, extensions=extensions)
        async with deadline(timeout):
            response = await self._transport.handle_async_request(request)
            try:
                content = await response.aread()
            finally:
                await response.aclose()
        return Received(response.status_code, response.headers.raw, content)

    async def close(self) -> None:
        await self._transport.aclose()


class BlockingHttpTransport:
    """HTTP/1.1 for threads; a forked process opens connections of its own."""

    def __init__(self, base_url: str, *, connections: int = CONNECTIONS_MAX) -> None:
        """Send to this address; paths are put behind it."""
        self._base_url = checked_base_url(base_url)
        self._connections = connections
        # A forked process must not close what its parent uses: those of all processes before stay here.
        self._transports: list[httpx2.HTTPTransport] = []
        self.begin()
        begin_after_fork(self)

    def begin(self) -> None:
        """Begin without connections."""
        self._is_closed = False
        transport = httpx2.HTTPTransport(limits=_limits(self._connections), proxy=_proxy(self._base_url))
        self._transports.append(transport)

    def send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], *, timeout: float) -> Answer:
        ends_at = time.monotonic() + timeout
        extensions = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), timeout)}
        url = _url(self._base_url, path)
        request = httpx2.Request(method, url, headers=headers, content=body, extensions=extensions)
        transport = self._transports[-1]
        try:
            with _as_unreachable(timeout), closing(transport.handle_request(request)) as response:
                pieces = []
                for piece in response.iter_bytes():
                    pieces.append(piece)
                    if time.monotonic() > ends_at:
                        # Each piece may take as long as the whole: an answer that trickles ends here.
                        raise httpx2.ReadTimeout("the answer came too slowly")
        finally:
            if self._is_closed:
                # A thread that was about to send meanwhile has opened a connection, which nobody else would close.
                transport.close()
        return _answer(Received(response.status_code, response.headers.raw, b"".join(pieces)))

    def close(self) -> None:
        self._is_closed = True
        self._transports[-1].close()


def checked_base_url(base_url: str) -> str:
    """Return where Farebox is, without a slash at its end.

    Raises:
        ValueError: it is no http address, or ends in `/api`, which the client puts behind it.
    """
    url = base_url.rstrip("/")
    parsed = httpx2.URL(url)
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError(f"the base URL is like https://farebox.example, and not {base_url!r}")
    if parsed.query or parsed.fragment or parsed.path.endswith("/api"):
        raise ValueError("the base URL stops before /api, and has no query")
    return url


@lru_cache(_URLS_MAX)
def _url(base_url: str, path: str) -> httpx2.URL:
    """Parse an address; those that are asked for again and again are kept."""
    return httpx2.URL(base_url + path)


def _proxy(base_url: str) -> str | None:
    """Name the proxy that the system's settings or environment want for an address."""
    parsed = httpx2.URL(base_url)
    if proxy_bypass(parsed.netloc.decode("ascii")):
        return None
    proxies = getproxies()
    return proxies.get(parsed.scheme) or proxies.get("all")


def _limits(connections: int) -> httpx2.Limits:
    return httpx2.Limits(
        max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=_IDLE_MAX_S
    )


def _server_address(base_url: str) -> ServerAddress:
    parsed = httpx2.URL(base_url)
    context = None
    if parsed.scheme == "https":
        context = httpx2.create_ssl_context()
        context.set_alpn_protocols(["http/1.1"])
    port = parsed.port or _PORTS[parsed.scheme]
    return ServerAddress(parsed.raw_host.decode("ascii"), port, parsed.netloc.decode("ascii"), context)


def _answer(received: Received) -> Answer:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in received.headers}
    return Answer(received.status, headers, received.content)


@contextmanager
def _as_unreachable(timeout: float) -> Iterator[None]:
    """Say in one way that no answer came, and whether the request may have arrived."""
    try:
        yield
    except (NotConnected, httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
        raise Unreachable(f"no connection: {_words(error)}", is_known=True) from error
    except (asyncio.TimeoutError, TimeoutError, httpx2.TimeoutException) as error:
        raise Unreachable(f"no answer within {timeout:g} s", is_known=False) from error
    except (ConnectionLost, httpx2.RequestError) as error:
        raise Unreachable(f"the connection was lost: {_words(error)}", is_known=False) from error


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
