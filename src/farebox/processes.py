"""How the processes of one server stop: each obeys one signal, at any moment, and ends soon after the first process.

The first process (`farebox serve`) forks the workers and stops them by SIGTERM. granian, which runs in a worker, may
hang for ever if a signal reaches it before it listens, or if a second one does. So signals are held back until a worker
listens, and all but the first are ignored.

Where another server has the sockets too, a process that stops accepts no more and drains: each connection that it has
gets the answer to what was asked on it, and is closed with that answer. So no client is cut off.
"""

import asyncio
import mmap
import multiprocessing
import os
import select
import signal
import time
from collections.abc import Callable, Set
from typing import Final

from farebox.connections import Accepting, give_up_unread_answers

STOP_SECONDS_MAX: Final = 30
"""How long a process may take to finish what it accepted, once it has to stop."""

_STOP: Final = frozenset({signal.SIGTERM, signal.SIGINT})

_ALARM_SECONDS: Final = STOP_SECONDS_MAX + 5
"""The first process, if it is there, kills the worker before this and says so in the log."""

_PARENT_CHECK_SECONDS: Final = 1.0
"""How often a worker looks whether the first process is still there."""

_DRAIN_POLL_SECONDS: Final = 0.05
"""How often a process that drains looks whether all connections are closed."""

_TURNS_UNTIL_LISTENING: Final = 100
"""How many turns of the loop pass before a process listens for sure: the loop of its start takes no more than five
after this is asked for, and stands still from then until the process listens."""


class Family:
    """What a first process and its workers tell one another; it is made before they are forked, who share it."""

    def __init__(self) -> None:
        """Begin with no order to drain."""
        self._drain_seconds = mmap.mmap(-1, mmap.PAGESIZE)
        self._told, self._tell = os.pipe()
        self.ports: frozenset[int] = frozenset()
        """Where the server takes requests."""

    @property
    def drain_seconds(self) -> int:
        """How long a worker that stops drains at most; 0: not at all."""
        return self._drain_seconds[0]

    @drain_seconds.setter
    def drain_seconds(self, seconds: int) -> None:
        self._drain_seconds[0] = seconds

    def tell_listening(self) -> None:
        """Tell the first process that one more worker listens."""
        os.write(self._tell, b".")

    def wait_until_listening(self, workers: int, is_over: Callable[[], bool]) -> bool:
        """Wait until so many workers have told; False if it is over before."""
        count = 0
        while count < workers and not is_over():
            if select.select([self._told], [], [], _PARENT_CHECK_SECONDS)[0]:
                count += len(os.read(self._told, workers))
        return count >= workers


family: Final = Family()
"""That of this process. The HTTP server starts workers and hands them nothing, so it stands here."""


def hold_signals_in_children() -> None:
    """Hold signals to stop back in every process that is forked from now on; each lets them in when it listens."""
    held: list[Set[int]] = []

    def before() -> None:
        held.append(signal.pthread_sigmask(signal.SIG_BLOCK, _STOP))

    def after() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, held.pop())

    os.register_at_fork(before=before, after_in_parent=after)


def hold_signals() -> None:
    """Hold signals to stop back until `stop_once`; to be called before any thread is started."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)


def stop_once(at_once: Callable[[], None], *, unread_seconds_max: int) -> None:
    """Stop on SIGTERM, or when the first process is gone; to be called as the last thing of a start.

    First `at_once` is called: granian waits for every answer that was begun, and some of those go on for minutes. Then
    the process drains, if it was told to by then, and granian gets SIGINT, once. A SIGINT from outside, such as Ctrl-C
    sends to every process of a terminal, is ignored: the first process gets it as well and sends SIGTERM.

    Args:
        at_once: what is to end before the answers.
        unread_seconds_max: how long a connection may take nothing of an answer that waits to be read, before the
            system closes it.
    """
    loop = asyncio.get_running_loop()
    is_stopping = False

    def stop() -> None:
        nonlocal is_stopping
        if is_stopping:
            return
        is_stopping = True
        # The system ends the process then, even if it hangs.
        signal.alarm(_ALARM_SECONDS + family.drain_seconds)
        at_once()
        if family.drain_seconds:
            accepting = Accepting(family.ports)
            accepting.stop()
            drain(accepting, time.monotonic() + family.drain_seconds)
        else:
            interrupt()

    def drain(accepting: Accepting, deadline: float) -> None:
        if accepting.count() and time.monotonic() < deadline:
            loop.call_later(_DRAIN_POLL_SECONDS, drain, accepting, deadline)
        else:
            interrupt()

    def interrupt() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        # Sent to the process, not the thread: the system merges it with one that is already pending.
        os.kill(os.getpid(), signal.SIGINT)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    def let_signals_in(turns: int) -> None:
        if turns:
            loop.call_soon(let_signals_in, turns - 1)
            return
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        give_up_unread_answers(unread_seconds_max)
        family.tell_listening()
        first = multiprocessing.parent_process()
        if first is not None:
            check_parent(first.pid)

    def check_parent(first: int | None) -> None:
        if os.getppid() == first:
            loop.call_later(_PARENT_CHECK_SECONDS, check_parent, first)
        else:
            stop()

    loop.add_signal_handler(signal.SIGTERM, stop)
    let_signals_in(_TURNS_UNTIL_LISTENING)
