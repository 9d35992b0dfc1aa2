"""Connections to hosts that others chose: a name is resolved, each of its addresses checked, and those connected to.

Between the check and the connection no name is asked for again: what was checked is what is connected to.
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias

import anyio
import httpcore2

from farebox.service.address_guard import AddressGuard, read_address

LOOKUPS_MAX: Final = 64
"""How many names are looked up at once. Each takes a thread of its own: a name server that never answers may keep it
for as long as the system's resolver likes, and must not keep the threads that everything else uses."""

LOOKUP_SECONDS_MAX: Final = 5.0
"""How long a lookup is waited for."""

ADDRESSES_MAX: Final = 4
"""How many of a name's addresses are tried."""

CONNECT_SECONDS_MAX: Final = 4.0
"""How long one address is tried."""

Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Looks a host's addresses up; raises OSError."""


class ForbiddenAddress(httpcore2.ConnectError):
    """A host is, or resolves to, an address that nothing is sent to."""


class Resolver:
    """The system's resolver, asked by threads that nobody waits for when the process ends."""

    def __init__(self, lookups_max: int = LOOKUPS_MAX) -> None:
        """Prepare; `lookups_max` names are looked up at once."""
        self._free = threading.BoundedSemaphore(lookups_max)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Look a host's addresses up, in the order in which they are to be tried.

        Raises:
            OSError: it has none, or can't be looked up now.
        """
        if not self._free.acquire(blocking=False):
            raise OSError("too many names are being looked up")
        loop = asyncio.get_running_loop()
        result: asyncio.Future[Sequence[str]] = loop.create_future()

        def look_up() -> None:
            try:
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
                outcome: Sequence[str] | Exception = [str(address[0]) for *_, address in found]
            except Exception as error:
                outcome = error
            finally:
                self._free.release()
            # The loop may have ended meanwhile.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_settle, result, outcome)

        threading.Thread(target=look_up, name=f"lookup of {host}", daemon=True).start()
        return await result


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Connects to allowed addresses alone."""

    def __init__(
        self, guard: AddressGuard, resolve: Resolve, backend: httpcore2.AsyncNetworkBackend, *, is_encrypted: bool
    ) -> None:
        """Prepare.

        Args:
            guard: tells which addresses are allowed.
            resolve: looks names up.
            backend: makes the connections.
            is_encrypted: whether TLS follows; without it a network has to be allowed by name.
        """
        self._guard = guard
        self._resolve = resolve
        self._backend = backend
        self._is_encrypted = is_encrypted

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first address of a host that answers, if all its addresses are allowed."""
        last: Exception | None = None
        for address in (await self._addresses(host, port))[:ADDRESSES_MAX]:
            try:
                return _ClosedOnCancel(
                    await self._backend.connect_tcp(address, port, CONNECT_SECONDS_MAX, local_address, socket_options)
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                last = error
        raise last or httpcore2.ConnectError("the host has no address")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> list[str]:
        """Look a host up; a name of which one address is forbidden is refused whole, as nobody needs such a name."""
        try:
            async with asyncio.timeout(LOOKUP_SECONDS_MAX):
                texts = list(dict.fromkeys(await self._resolve(host, port)))
        except TimeoutError:
            raise httpcore2.ConnectTimeout("the host's name server takes too long") from None
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"the host's name has no address: {error}") from error
        for text in texts:
            address = read_address(text)
            kind = self._guard.refusal(address)
            if kind is not None:
                raise ForbiddenAddress(f"the host's address is {kind}, where nothing is sent to")
            if not self._is_encrypted and not self._guard.is_allowed(address):
                raise ForbiddenAddress("http:// is for networks that the operator allows; use https://")
        return texts


class _ClosedOnCancel(httpcore2.AsyncNetworkStream):
    """A connection that is closed if time runs out while TLS begins; httpcore closes it only if TLS itself fails."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        try:
            return await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._stream.aclose()
            raise

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _settle(result: "asyncio.Future[Sequence[str]]", outcome: Sequence[str] | Exception) -> None:
    if result.done():
        return
    if isinstance(outcome, Exception):
        result.set_exception(outcome)
    else:
        result.set_result(outcome)
