"""How the processes of one server end: each is told once, hears it whenever it comes, and outlives nobody by much.

The first process (`farebox serve`) forks those that do the work and tells them to stop by SIGTERM. granian, which runs
there, may hang for ever if it is told before it listens, or twice. So a signal waits until it listens, and whatever
comes after the first is not heard.
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
"""How long a process may take to finish what it accepted, once it is told to stop."""

UNREAD_SECONDS_MAX: Final = 60
"""How long a connection may take nothing of an answer that waits to be read, before the system closes it."""

_STOP: Final = frozenset({signal.SIGTERM, signal.SIGINT})

_ALARM_SECONDS: Final = STOP_SECONDS_MAX + 5
"""The first process, if it is there, kills the worker before this and says so in the log."""

_FIRST_LOOK_SECONDS: Final = 1.0
"""How often it is looked whether the first process is there still."""

_TURNS_UNTIL_LISTENING: Final = 100
"""How many turns of the loop pass before a process listens for sure: the loop of its start takes no more than five
after this is asked for, and stands still from then until the process listens."""


def hold_signals_in_children() -> None:
    """Let the processes that are forked from now on be told nothing before they can listen."""
    held: list[Set[int]] = []

    def before() -> None:
        held.append(signal.pthread_sigmask(signal.SIG_BLOCK, _STOP))

    def after() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, held.pop())

    os.register_at_fork(before=before, after_in_parent=after)


def hold_signals() -> None:
    """Hear of no signal to stop before `stop_once`; to be called before any thread is started."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)


def stop_once(at_once: Callable[[], None]) -> None:
    """Stop when told to by SIGTERM, or when the first process is gone; to be called as the last thing of a start.

    The server gets SIGINT, once, after `at_once` was called: it waits for every answer that was begun, and some of
    those go on for minutes. A real one, such as Ctrl-C sends to every process of a terminal, is not heard: the first
    process heard it as well.
    """
    loop = asyncio.get_running_loop()
    is_told = False

    def tell() -> None:
        nonlocal is_told
        if is_told:
            return
        is_told = True
        # By the system itself, whatever hangs here.
        signal.alarm(_ALARM_SECONDS)
        at_once()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        # To the process, not the thread: one that waits already and this one are one.
        os.kill(os.getpid(), signal.SIGINT)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    def listen(turns: int) -> None:
        if turns:
            loop.call_soon(listen, turns - 1)
            return
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        _give_up_unread_answers()
        first = multiprocessing.parent_process()
        if first is not None:
            look_after(first.pid)

    def look_after(first: int | None) -> None:
        if os.getppid() == first:
            loop.call_later(_FIRST_LOOK_SECONDS, look_after, first)
        else:
            tell()

    loop.add_signal_handler(signal.SIGTERM, tell)
    listen(_TURNS_UNTIL_LISTENING)


def _give_up_unread_answers() -> None:
    """Let the system close connections that don't take their answers: granian waits for them, even when it is to stop.

    Sockets that a listening socket accepts have its options. Only Linux measures this one so.
    """
    if sys.platform == "linux":
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                number = int(name)
                if stat.S_ISSOCK(os.fstat(number).st_mode):
                    with socket.socket(fileno=os.dup(number)) as found:
                        if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_SECONDS_MAX * 1_000)
