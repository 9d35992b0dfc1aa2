"""The first process of `farebox serve`: it holds the sockets, starts the workers, and is followed by another one."""

import importlib
import logging
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Mapping
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Final

from farebox.handover import Listening, start_successor, tell_service_manager
from farebox.http.family import Family, hold_signals_in_children
from farebox.http.lifespan import StartFailed
from farebox.http.limits import HttpLimits
from farebox.http.worker import STOP_SECONDS_MAX, run

REPLACED_SECONDS_MIN: Final = 3.5
"""How long a process lives that took another one's place, lest the server give up."""

_IDLE_SECONDS_MORE: Final = 5
_POLL_SECONDS: Final = 0.01
_FAILED: Final = 1

_log = logging.getLogger("farebox.server")


class FirstProcess:
    """Starts workers on its sockets, replaces one that ends by itself, and stops them all."""

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
        drain_seconds: int = 0,
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
            drain_seconds: how long a worker that is told to stop answers on its connections, where others have the
                sockets too.
        """
        self._application = application
        self._listening = listening
        self._environment = environment
        self._limits = limits
        self._connections_max = connections_max
        self._is_replacing = is_replacing
        self._family = Family()
        self._family.drain_seconds = drain_seconds
        self._context = multiprocessing.get_context("fork")
        self._workers: list[BaseProcess] = []
        self._workers_count = workers
        self._replaced_at: dict[int, float] = {}
        self._listening_count = 0
        self._is_stopping = False
        self._is_reloading = False
        self._is_succeeded = False
        # A signal that comes just before the wait would be seen after it; what a handler writes here ends the wait.
        self._woken, self._wake = os.pipe()

    def serve(self) -> bool:
        """Serve until told to stop; tell whether that was the reason."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note_stop)
        signal.signal(signal.SIGHUP, self._note_reload)
        hold_signals_in_children()
        self._workers = [self._start(index) for index in range(self._workers_count)]
        is_well = True
        while is_well and not self._is_stopping:
            ready = wait([*[worker.sentinel for worker in self._workers], self._woken, self._family.told])
            if self._woken in ready:
                os.read(self._woken, 1)
            if self._family.told in ready:
                self._count_listening(self._family.heard())
            if self._is_reloading:
                self._reload()
            elif not self._is_stopping:
                states = [self._is_well(index) for index in range(self._workers_count)]
                is_well = all(states)
        self._stop()
        return is_well

    def _note_stop(self, *_: object) -> None:
        self._is_stopping = True
        os.write(self._wake, b".")

    def _note_reload(self, *_: object) -> None:
        self._is_reloading = True
        os.write(self._wake, b".")

    def _start(self, index: int) -> BaseProcess:
        listening = self._listening.sockets[index % len(self._listening.sockets)]
        worker = self._context.Process(target=self._work, args=(listening,), name=f"worker-{index + 1}")
        worker.start()
        return worker

    def _work(self, listening: socket.socket) -> None:
        """Serve in a worker; sockets that are for others are closed: their connections are not to wait for it."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for each in self._listening.sockets:
            if each is not listening:
                each.close()
        module, _, name = self._application.partition(":")
        try:
            run(
                getattr(importlib.import_module(module), name),
                listening,
                self._limits,
                connections_max=self._connections_max,
                family=self._family,
            )
        except StartFailed as error:
            _log.error("the server does not start: %s", error)
            raise SystemExit(_FAILED) from error

    def _count_listening(self, more: int) -> None:
        before, self._listening_count = self._listening_count, self._listening_count + more
        if before < self._workers_count <= self._listening_count:
            self._listening.tell_predecessor()
            tell_service_manager("READY=1")

    def _is_well(self, index: int) -> bool:
        """Look after a worker: one that has ended is replaced, but not while none has listened yet."""
        worker = self._workers[index]
        if worker.is_alive():
            return True
        _log.error("%s ended by itself, with exit status %s", worker.name, worker.exitcode)
        lived_seconds = time.monotonic() - self._replaced_at.get(index, 0.0)
        has_started = self._listening_count > 0
        if not (self._is_replacing and has_started) or lived_seconds < REPLACED_SECONDS_MIN:
            return False
        self._replaced_at[index] = time.monotonic()
        self._workers[index] = self._start(index)
        return True

    def _reload(self) -> None:
        """Start a successor, and end once it listens."""
        self._is_reloading = False
        self._is_succeeded = start_successor(
            self._listening.sockets, self._environment, is_stopping=lambda: self._is_stopping
        )
        if self._is_succeeded:
            # A connection that is idle for longer is closed anyway.
            self._family.drain_seconds = self._limits.head_seconds + _IDLE_SECONDS_MORE
            self._is_stopping = True

    def _stop(self) -> None:
        if not self._is_succeeded:
            tell_service_manager("STOPPING=1")
        for each in self._listening.sockets:
            each.close()
        for worker in self._workers:
            worker.terminate()
        deadline = time.monotonic() + STOP_SECONDS_MAX + self._family.drain_seconds
        while any(worker.is_alive() for worker in self._workers) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        for worker in self._workers:
            if worker.is_alive():
                _log.warning("%s does not end, and is killed", worker.name)
                worker.kill()
            worker.join()
