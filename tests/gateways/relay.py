"""The way from a proxy to the gate, when it is bad: silent, shut, or one that loses answers."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Final, Self

CHUNK_BYTES: Final = 65_536
_END_OF_HEAD: Final = b"\r\n\r\n"


class Relay:
    """A port of 127.0.0.1 that leads to the gate, one request and answer after the other.

        with Relay(server.port) as relay:
            relay.answers_to_lose = 1

    An answer is lost after the gate has done what it was asked: the connection ends instead. `is_silent` keeps requests
    from the gate, and lets whoever asks wait; `refuses` closes each connection at once that asks anything.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._is_over = threading.Event()
        self.port: int = self._listener.getsockname()[1]
        self.asked: list[bytes] = []
        """The requests that came in, as they came."""
        self.connections = 0
        """How many were made to the gate."""
        self.answers_to_lose = 0
        self.is_silent = False
        self.refuses = False

    def reset(self) -> None:
        """Be a good way from now on, and forget what was asked."""
        self.asked.clear()
        self.connections = 0
        self.answers_to_lose = 0
        self.is_silent = self.refuses = False

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port)) as gate:
            while request := _read_message(client):
                if self.refuses:
                    return
                self.asked.append(request)
                if self.is_silent:
                    self._is_over.wait(60)
                    return
                gate.sendall(request)
                answer = _read_message(gate)
                if self.answers_to_lose:
                    self.answers_to_lose -= 1
                    return
                client.sendall(answer)


def _read_message(connection: socket.socket) -> bytes:
    """Read a request or answer with its body; nothing where the connection ends before."""
    data = b""
    while _END_OF_HEAD not in data:
        if not (part := connection.recv(CHUNK_BYTES)):
            return b""
        data += part
    head = data.split(_END_OF_HEAD)[0]
    length = next(
        (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
    )
    whole = len(head) + len(_END_OF_HEAD) + length
    while len(data) < whole:
        if not (part := connection.recv(CHUNK_BYTES)):
            return b""
        data += part
    return data
