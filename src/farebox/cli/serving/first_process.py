"""The first process of `farebox serve`: it holds the sockets, starts the workers, and is followed by another one."""

import os
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from farebox.handover import Listening, start_successor, tell_service_manager
from farebox.processes import STOP_SECONDS_MAX, family
from farebox.web.http_limits import HttpLimits

BACKLOG: Final = 2_048
"""How many connections wait to be accepted."""

HEAD_BYTES_MAX: Final = 64 * 1024
"""How long a request's head may be, and how much of a connection is read ahead."""

_EXIT_POLL_SECONDS: Final = 0.01
_IDLE_SECONDS_MORE: Final = 5


class FirstProcess(MPServer):
    """A server that keeps its sockets, and waits for its workers to have ended before it says that one did not.

    granian joins each worker in two threads at once, and of the two the one that comes second still takes it for alive:
    it would warn that it kills a worker that has just ended well. And it would have each worker bind a socket of its
    own, whose waiting connections end with it.
    """

    def __init__(
        self,
        application: str,
        listening: Listening,
        environment: Mapping[str, str],
        *,
        workers: int,
        limits: HttpLimits,
        connections_max: int,
        is_replacing: bool,
    ) -> None:
        """Prepare.

        Args:
            application: `module:function`, which makes the application in each worker.
            listening: the sockets; each worker has one, and several may have the same.
            environment: what this server was started with, and what a successor is.
            workers: how many there are.
            limits: what connections may have.
            connections_max: how many a worker has at once.
            is_replacing: whether a worker that ended by itself is replaced by another.
        """
        host, port, *_ = listening.sockets[0].getsockname()
        super().__init__(
            application,
            address=host,
            port=port,
            workers=workers,
            interface=Interfaces.ASGI,
            factory=True,
            loop=Loops.uvloop,
            http=HTTPModes.http1,
            websockets=False,
            backlog=BACKLOG,
            backpressure=connections_max,
            http1_settings=HTTP1Settings(
                header_read_timeout=limits.head_seconds * 1_000, max_buffer_size=HEAD_BYTES_MAX
            ),
            log_access=False,
            log_level=LogLevels.warning,
            respawn_failed_workers=is_replacing,
            workers_kill_timeout=STOP_SECONDS_MAX,
        )
        self._listening = listening
        self._environment = environment
        # A connection that is idle for longer is closed anyway.
        self._succeeded_seconds = limits.head_seconds + _IDLE_SECONDS_MORE
        self._starting: socket.socket | None = None
        self._is_succeeded = False
        os.register_at_fork(after_in_child=self._keep_one_socket)

    def startup(self, spawn_target: Any, target_loader: Any) -> None:
        """Start the workers, and tell when all of them listen."""
        super().startup(spawn_target, target_loader)  # type: ignore[no-untyped-call]
        threading.Thread(target=self._tell_listening, daemon=True).start()

    def _tell_listening(self) -> None:
        if family.wait_until_listening(self.workers, lambda: self.interrupt_signal):
            self._listening.tell_predecessor()
            tell_service_manager("READY=1")

    def _init_shared_socket(self) -> None:
        self._ssp = self._sso = None

    def _drop_shared_socket(self) -> None:
        for each in self._listening.sockets:
            each.close()

    # granian's types of what it keeps and makes of sockets are not those that it has on Linux.
    def _spawn_worker(self, idx: int, *args: Any, **more: Any) -> Any:
        self._starting = self._listening.sockets[idx % len(self._listening.sockets)]
        # It does not close the socket.
        holder: Any = SocketHolder
        self._shd = holder(self._starting.fileno(), False, BACKLOG)
        return super()._spawn_worker(idx, *args, **more)

    def _keep_one_socket(self) -> None:
        """Close, in a worker, the sockets that are for others: their connections are not to wait for it."""
        for each in self._listening.sockets:
            if each is not self._starting:
                each.close()

    def _reload(self, spawn_target: Any, target_loader: Any) -> None:
        """Start a successor, on SIGHUP, and end once it listens."""
        self.reload_signal = False
        self.main_loop_interrupt.clear()
        self._is_succeeded = start_successor(
            self._listening.sockets, self._environment, is_stopping=lambda: self.interrupt_signal
        )
        if self._is_succeeded:
            family.drain_seconds = self._succeeded_seconds
            self.interrupt_signal = True
        if self.interrupt_signal:
            self.main_loop_interrupt.set()

    def _stop_workers(self) -> None:
        if not self._is_succeeded:
            tell_service_manager("STOPPING=1")
        # granian has no types for its workers.
        workers: list[Any] = list(self.wrks)
        for worker in workers:
            worker.terminate()
        deadline = time.monotonic() + STOP_SECONDS_MAX + family.drain_seconds
        while any(worker.is_alive() for worker in workers) and time.monotonic() < deadline:
            time.sleep(_EXIT_POLL_SECONDS)
        # Those that are left had their time, and are killed.
        self.workers_kill_timeout = 1
        super()._stop_workers()  # type: ignore[no-untyped-call]
