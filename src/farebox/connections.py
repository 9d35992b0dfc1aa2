"""The sockets of one process that serves: what it listens on, and the connections that were accepted there.

The HTTP server beneath keeps them to itself, so they are looked up among the files that the process has open. Only
Linux tells them; elsewhere there are none to be found.
"""

import os
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

_OPEN_FILES: Final = "/proc/self/fd"


def give_up_unread_answers(seconds_max: int) -> None:
    """Let the system close connections that don't take their answers: granian waits for them, even when it is to stop.

    Sockets that a listening socket accepts have its options. Only Linux measures this one so.
    """
    for opened, _ in _open_sockets():
        if _is_listening(opened):
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, seconds_max * 1_000)


class Accepting:
    """What a process accepts connections on, and how many of those it has; to be made while it still listens."""

    def __init__(self, ports: frozenset[int]) -> None:
        """Look up what listens on these ports."""
        self._ports = ports
        self._numbers = [
            number for opened, number in _open_sockets() if _is_listening(opened) and opened.getsockname()[1] in ports
        ]

    def stop(self) -> None:
        """Accept no more; what waits to be accepted is left to other processes that listen on the same sockets.

        A socket that nobody can connect to takes the place of each: its number is all that the HTTP server knows.
        Closing one, or telling the HTTP server to stop, would end the connections that are idle as well.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as nobody:
            # The system chooses a name.
            nobody.bind("")
            nobody.listen(0)
            for number in self._numbers:
                os.dup2(nobody.fileno(), number, inheritable=False)

    def count(self) -> int:
        """Count the connections that are open."""
        return sum(_is_of(opened, self._ports) for opened, _ in _open_sockets())


def _open_sockets() -> Iterator[tuple[socket.socket, int]]:
    """Look at each socket that the process has open, with its number, by a number of its own."""
    if sys.platform != "linux":
        return
    for name in os.listdir(_OPEN_FILES):
        with _socket(int(name)) as opened:
            if opened is not None:
                yield opened, int(name)


@contextmanager
def _socket(number: int) -> Iterator[socket.socket | None]:
    """Open the socket of a number once more; None if it is none, or closed meanwhile."""
    copy: socket.socket | None = None
    with suppress(OSError):
        if stat.S_ISSOCK(os.fstat(number).st_mode):
            copy = socket.socket(fileno=os.dup(number))
    try:
        yield copy
    finally:
        if copy is not None:
            copy.close()


def _is_listening(opened: socket.socket) -> bool:
    return _is_tcp(opened) and bool(opened.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _is_of(opened: socket.socket, ports: frozenset[int]) -> bool:
    """Tell whether a connection was accepted on one of the ports and is still there."""
    if not _is_tcp(opened) or _is_listening(opened):
        return False
    try:
        opened.getpeername()
        return opened.getsockname()[1] in ports
    except OSError:
        return False


def _is_tcp(opened: socket.socket) -> bool:
    return opened.family in (socket.AF_INET, socket.AF_INET6) and opened.type == socket.SOCK_STREAM
