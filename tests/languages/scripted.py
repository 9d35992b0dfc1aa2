"""A server that answers charges by a script, one step after the other, and keeps what it was asked."""

import socket
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

# Longer than any example waits for an answer.
HANG_S = 15


@dataclass(frozen=True)
class Step:
    """One answer; or none at all, when the connection is closed at once, or after everybody has stopped waiting."""

    status: int = 200
    body: str = ""
    retry_after: str | None = None
    is_dropped: bool = False
    is_hanging: bool = False


@dataclass(frozen=True)
class Asked:
    """What the server was asked, and when."""

    at: float
    key: str | None
    body: bytes


class ScriptedServer:
    """Answers the requests by the steps in turn; after the last one, by the last one again."""

    def __init__(self, *steps: Step) -> None:
        self.asked: list[Asked] = []
        self._ended = threading.Event()
        self._lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                with owner._lock:
                    step = steps[min(len(owner.asked), len(steps) - 1)]
                    owner.asked.append(Asked(time.monotonic(), self.headers.get("x-api-key"), body))
                if step.is_hanging:
                    owner._ended.wait(HANG_S)
                if step.is_hanging or step.is_dropped:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                content = step.body.encode()
                self.send_response(step.status)
                if step.retry_after is not None:
                    self.send_header("retry-after", step.retry_after)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
