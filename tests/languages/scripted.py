"""A server that answers charges by a script, one step after the other, and keeps what it was asked."""

import socket
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Self

from tests.support.local_http import answer, serving

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
        self.url = ""
        """Where it is, once it is there."""
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._serving = ExitStack()
        owner = self

        class Scripted(BaseHTTPRequestHandler):
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
                wait = {} if step.retry_after is None else {"retry-after": step.retry_after}
                answer(self, step.status, step.body.encode(), wait)

            def log_message(self, *_: object) -> None:
                pass

        self._handler = Scripted

    def __enter__(self) -> Self:
        self.url = f"http://127.0.0.1:{self._serving.enter_context(serving(self._handler))}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._serving.close()
