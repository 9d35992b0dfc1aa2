"""Applications of the frameworks that the client's middlewares are for, on real servers, within the test's process."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import Any, Final, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import uvicorn

from tests.client.waiting import eventually

_START_SECONDS: Final = 20
_STOP_SECONDS: Final = 100


@contextlib.contextmanager
def serve_asgi(app: Any) -> Iterator[int]:
    """Serve an ASGI application by uvicorn, its lifespan included, and tell the port."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", ws="websockets-sansio"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        eventually(lambda: server.started or not thread.is_alive(), within_s=_START_SECONDS)
        assert server.started, "the application did not start"
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(_STOP_SECONDS)
        assert not thread.is_alive(), "the application did not stop"


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    # Many clients come at once.
    request_queue_size = 256


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.0"

    def log_message(self, *arguments: Any) -> None:
        pass


@contextlib.contextmanager
def serve_wsgi(app: Any) -> Iterator[int]:
    """Serve a WSGI application by a thread for each request, and tell the port."""
    server = make_server("127.0.0.1", 0, app, server_class=_Server, handler_class=_Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join(_STOP_SECONDS)
        server.server_close()


class Client:
    """A client on a socket of its own, that may leave at any moment."""

    def __init__(self, port: int, path: str, key: str | None, *, method: str = "GET") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        lines = [f"{method} {path} HTTP/1.1", "host: x", "connection: close", *([f"x-api-key: {key}"] if key else [])]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())

    def read_until(self, text: bytes) -> bytes:
        """Read until a text has come."""
        got = b""
        while text not in got:
            piece = self._socket.recv(65536)
            assert piece, got
            got += piece
        return got

    def leave(self) -> None:
        """Close the connection, as the system does for a process that is killed."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
