"""How the processes of one server stop: each obeys one signal, at any moment, and ends soon after the first process.

The first process (`farebox serve`) forks the workers and stops them by SIGTERM. granian, which runs in a worker, may
hang for ever if a signal reaches it before it listens, or if a second one does. So signals are held back until a worker
listens, and all but the first are ignored.
"""

import asyncio
import multiprocessing
import os
import signal
import socket
import stat
import sys
from collections.abc import Callable, Set
from contextlib import suppress
from typing import Final

STOP_SECONDS_MAX: Final = 30
"""How long a process may take to finish what it accepted, once it has to stop."""

_STOP: Final = frozenset({signal.SIGTERM, signal.SIGINT})

_ALARM_SECONDS: Final = STOP_SECONDS_MAX + 5
"""The first process, if it is there, kills the worker before this and says so in the log."""

_PARENT_CHECK_SECONDS: Final = 1.0
"""How often a worker looks whether the first process is still there."""

_TURNS_UNTIL_LISTENING: Final = 100
"""How many turns of the loop pass before a process listens for sure: the loop of its start takes no more than five
after this is asked for, and stands still from then until the process listens."""


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
    granian gets SIGINT, once. A SIGINT from outside, such as Ctrl-C sends to every process of a terminal, is ignored:
    the first process gets it as well and sends SIGTERM.

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
        signal.alarm(_ALARM_SECONDS)
        at_once()
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
        _give_up_unread_answers(unread_seconds_max)
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


def _give_up_unread_answers(unread_seconds_max: int) -> None:
    """Let the system close connections that don't take their answers: granian waits for them, even when it is to stop.

    Sockets that a listening socket accepts have its options. Only Linux measures this one so.
    """
    if sys.platform != "linux":
        return
    for name in os.listdir("/proc/self/fd"):
        # A file may be closed meanwhile.
        with suppress(OSError):
            number = int(name)
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                with socket.socket(fileno=os.dup(number)) as open_socket:
                    if open_socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                        milliseconds = unread_seconds_max * 1_000
                        open_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
