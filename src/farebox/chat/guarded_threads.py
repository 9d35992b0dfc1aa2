"""Threads in which a library that connects by itself reaches allowed addresses alone.

Python tells audit hooks of every connection that a socket is about to make, with the address that a name resolved to.
In these threads the hook lets none pass that may not be: after the look-up, at each redirect, and whoever makes the
socket. Nor may anything be sent without a connection, or a program be started.
"""

import asyncio
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from farebox.service.address_guard import AddressGuard, read_address

THREADS_MAX: Final = 8
"""How many messages are on their way at once."""

_CONNECT: Final = "socket.connect"
_FORBIDDEN: Final = frozenset({"socket.sendto", "socket.sendmsg", "subprocess.Popen", "os.system", "os.posix_spawn"})
_current: Final = threading.local()
_hooked: Final = threading.Event()
_hooking: Final = threading.Lock()

_Result = TypeVar("_Result")


class ForbiddenConnection(OSError):
    """Something was about to be sent where nothing is sent to."""


class GuardedThreads:
    """Runs functions in threads that reach allowed addresses alone."""

    def __init__(self, guard: AddressGuard) -> None:
        """Prepare; `guard` tells which addresses are allowed."""
        self._guard = guard
        self._executor = ThreadPoolExecutor(THREADS_MAX, "chat")

    async def run(self, work: Callable[[], _Result]) -> _Result:
        """Run a function in such a thread.

        Raises:
            ForbiddenConnection: it was about to connect where nothing is sent to, whatever it made of that.
        """
        _hook()
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._guarded, work)

    def close(self) -> None:
        """Start nothing more."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _guarded(self, work: Callable[[], _Result]) -> _Result:
        _current.guard, _current.refusal = self._guard, None
        try:
            result = work()
        finally:
            _current.guard = None
        if _current.refusal is not None:
            raise ForbiddenConnection(_current.refusal)
        return result


def _hook() -> None:
    """Watch over such threads. Hooks stay for as long as the process runs, so there is one."""
    with _hooking:
        if not _hooked.is_set():
            sys.addaudithook(_audit)
            _hooked.set()


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event != _CONNECT and event not in _FORBIDDEN:
        return
    guard = getattr(_current, "guard", None)
    if guard is None:
        return
    refusal = _refusal(guard, event, arguments)
    if refusal is not None:
        _current.refusal = refusal
        raise ForbiddenConnection(refusal)


def _refusal(guard: AddressGuard, event: str, arguments: tuple[Any, ...]) -> str | None:
    """Say why something may not be done; None if it may."""
    if event != _CONNECT:
        return "a chat service that does more than connect to its server can't be used"
    target = arguments[1]
    if not isinstance(target, tuple):
        return "the host is this machine itself, where nothing is sent to"
    try:
        kind = guard.refusal(read_address(str(target[0])))
    except ValueError:
        return "the host's name was not looked up"
    return None if kind is None else f"the host's address is {kind}, where nothing is sent to"
