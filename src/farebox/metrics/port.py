"""Metrics on a port of their own: every process of a server listens on it, and whichever is asked answers for all.

It is answered in a thread by the standard library's server, one request at a time: what asks for metrics is a program
or two of the operator's, and a slow one holds up no charge.
"""

import asyncio
import socket
import socketserver
import threading
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

ANSWER_SECONDS_MAX: Final = 15.0
"""How long the process may take to write an answer."""

_CONNECTION_SECONDS_MAX: Final = 5.0
_POLL_SECONDS: Final = 0.1

Answer = Callable[[str], Awaitable[tuple[bytes, str]]]
IsAllowed = Callable[[str], bool]
"""Tells whether a header Authorization may read metrics."""


class MetricsPort:
    """Listens, from `open` to `close`."""

    def __init__(self, host: str, port: int, answer: Answer, is_allowed: IsAllowed) -> None:
        """Answer there."""
        self._address = (host, port)
        self._answer = answer
        self._is_allowed = is_allowed
        self._server: _Server | None = None

    async def open(self) -> None:
        """Begin to listen.

        Raises:
            OSError: the address can't be listened on.
        """
        loop = asyncio.get_running_loop()
        family = (await loop.getaddrinfo(*self._address, type=socket.SOCK_STREAM))[0][0]
        server = self._server = _Server(self._address, family)
        server.set_app(self._application(loop))
        threading.Thread(
            target=server.serve_forever, args=(_POLL_SECONDS,), name="farebox-metrics", daemon=True
        ).start()

    async def close(self) -> None:
        """Listen no more. Safe to repeat."""
        server, self._server = self._server, None
        if server is not None:
            # The thread may wait for the loop, so the loop must not wait for the thread.
            await asyncio.to_thread(server.shutdown)
            server.server_close()

    def _application(self, loop: asyncio.AbstractEventLoop) -> Callable[[dict[str, Any], Any], Iterable[bytes]]:
        async def answer(accept: str) -> tuple[bytes, str]:
            return await self._answer(accept)

        def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            if environ["PATH_INFO"] != "/metrics":
                return _refuse(start_response, HTTPStatus.NOT_FOUND)
            if environ["REQUEST_METHOD"] != "GET":
                return _refuse(start_response, HTTPStatus.METHOD_NOT_ALLOWED, ("Allow", "GET"))
            if not self._is_allowed(environ.get("HTTP_AUTHORIZATION", "")):
                return _refuse(start_response, HTTPStatus.UNAUTHORIZED, ("WWW-Authenticate", "Bearer"))
            coming = asyncio.run_coroutine_threadsafe(answer(environ.get("HTTP_ACCEPT", "")), loop)
            try:
                content, media_type = coming.result(ANSWER_SECONDS_MAX)
            except TimeoutError:
                coming.cancel()
                return _refuse(start_response, HTTPStatus.SERVICE_UNAVAILABLE)
            headers = [("Content-Type", media_type), ("Content-Length", str(len(content)))]
            start_response("200 OK", headers)
            return [content]

        return application


class _Server(WSGIServer):
    allow_reuse_address = True
    allow_reuse_port = True
    """All processes listen, those of a server that takes over from this one as well."""

    def __init__(self, address: tuple[str, int], family: socket.AddressFamily) -> None:
        self.address_family = family
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # The parent's own would ask the network for this machine's name.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let a connection go that broke: its client knows."""


class _Handler(WSGIRequestHandler):
    timeout = _CONNECTION_SECONDS_MAX
    server_version = "Farebox"
    sys_version = ""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's own name.
        """Write nothing: the access log is for the API and the pages."""


def _refuse(start_response: Any, status: HTTPStatus, *headers: tuple[str, str]) -> list[bytes]:
    content = f"{status.phrase}\n".encode()
    start_response(
        f"{status.value} {status.phrase}",
        [("Content-Type", "text/plain"), ("Content-Length", str(len(content))), *headers],
    )
    return [content]
