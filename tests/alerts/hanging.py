"""Mail servers that hang, each at its own point of the conversation; they run in threads."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

WAYS: Final = ("connect", "greeting", "data", "drip")

_DRIP_PAUSE_S: Final = 0.05
_SMALL_BACKLOG: Final = 0
_QUEUED_MAX: Final = 8


@contextmanager
def hanging_server(way: str) -> Iterator[str]:
    """Run a mail server that hangs; yields its URL.

    Args:
        way: one that never accepts a connection ("connect"), never says a word ("greeting"), takes a mail's content and
            never answers ("data"), or says its greeting for ever, piece by piece ("drip").
    """
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(_SMALL_BACKLOG if way == "connect" else 100)
        port = listener.getsockname()[1]
        if way == "connect":
            _fill(port, stack)
        else:
            threading.Thread(target=_accept, args=(listener, way), daemon=True).start()
        yield f"smtp://127.0.0.1:{port}"
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def _fill(port: int, stack: ExitStack) -> None:
    """Take every place of a queue from which nobody is called: connections after that are neither made nor refused."""
    for _ in range(_QUEUED_MAX):
        client = stack.enter_context(socket.socket())
        client.settimeout(0.2)
        try:
            client.connect(("127.0.0.1", port))
        except TimeoutError:
            return
    raise AssertionError("the queue takes any number")


def _accept(listener: socket.socket, way: str) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_hang, args=(connection, way), daemon=True).start()


def _hang(connection: socket.socket, way: str) -> None:
    with connection, suppress(OSError):
        if way == "drip":
            connection.sendall(b"220-")
            while True:
                connection.sendall(b"x")
                time.sleep(_DRIP_PAUSE_S)
        if way == "data":
            connection.sendall(b"220 mail.test\r\n")
            while (words := connection.recv(1_000)) and not words.upper().startswith(b"DATA"):
                connection.sendall(b"250 mail.test\r\n")
            connection.sendall(b"354 go on\r\n")
        while connection.recv(10_000):
            pass
