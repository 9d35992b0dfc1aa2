"""How a server that starts gets the sockets it listens on, and hands them to the one that comes after it.

They are never closed on the way. A connection that a client has made waits in a socket's own queue until one of the
processes that have the socket open accepts it, so none is lost however they come and go. Sockets are bound here, given
by a service manager (systemd's LISTEN_FDS), or handed over by the server before, which goes on until this one listens.
"""

import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from typing import Final

from msgspec import Struct

HANDED_OVER: Final = "FAREBOX_HANDED_OVER"
"""What a server tells its successor: the numbers of the sockets, and of the pipe that is written to when it listens."""

START_SECONDS_MAX: Final = 60
"""How long a successor may take until it listens."""

_LISTEN_FDS: Final = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
_LISTEN_FDS_FIRST: Final = 3
_POLL_SECONDS: Final = 0.1
_FIRST_OF_ALL: Final = 1
"""The number of a container's first process, with which all others end."""

_log = logging.getLogger("farebox.server")


class Listening(Struct, frozen=True):
    """The sockets that a server starts with."""

    sockets: tuple[socket.socket, ...]
    is_given: bool
    """Whether others have them too, and keep them when this server stops."""
    predecessor: int | None = None
    """The pipe to the server before, which waits until this one listens."""

    def tell_predecessor(self) -> None:
        """Tell the server before that this one listens, and that it is to end."""
        if self.predecessor is not None:
            with open(self.predecessor, "wb") as pipe:
                pipe.write(b".")


def given_sockets(environment: MutableMapping[str, str]) -> Listening | None:
    """Take the sockets that the server before, or a service manager, has given, and their names out of the environment.

    Raises:
        OSError, ValueError: what is given is no socket of TCP.
    """
    handed_over = environment.pop(HANDED_OVER, "")
    count, process, _ = [environment.pop(name, "") for name in _LISTEN_FDS]
    if handed_over:
        numbers, _, pipe = handed_over.partition(":")
        return Listening(_opened(map(int, numbers.split(","))), is_given=True, predecessor=int(pipe))
    # They may be meant for a process that this one was started by.
    if count and process == str(os.getpid()):
        return Listening(_opened(range(_LISTEN_FDS_FIRST, _LISTEN_FDS_FIRST + int(count))), is_given=True)
    return None


def bound_sockets(host: str, port: int, count: int) -> Listening:
    """Bind a socket for each worker: the system spreads connections over them.

    Raises:
        OSError: the address can't be listened on.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    sockets = tuple(socket.socket(family, socket.SOCK_STREAM) for _ in range(count))
    for each in sockets:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        each.bind(address)
    return Listening(_prepared(sockets), is_given=False)


def _opened(numbers: Iterable[int]) -> tuple[socket.socket, ...]:
    sockets = tuple(socket.socket(fileno=number) for number in numbers)
    for each in sockets:
        if each.family not in (socket.AF_INET, socket.AF_INET6) or each.type != socket.SOCK_STREAM:
            raise ValueError(f"socket {each.fileno()} is none of TCP")
        each.set_inheritable(False)
    return _prepared(sockets)


def _prepared(sockets: tuple[socket.socket, ...]) -> tuple[socket.socket, ...]:
    for each in sockets:
        each.setblocking(False)
        # Connections have the options of the socket that accepts them; an answer is not to wait for a full packet.
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sockets


def start_successor(
    sockets: Sequence[socket.socket], environment: Mapping[str, str], *, is_stopping: Callable[[], bool]
) -> bool:
    """Start this very command once more, with the sockets, and wait until it listens.

    Args:
        sockets: what the successor listens on.
        environment: what this server was started with.
        is_stopping: whether it was told to stop meanwhile, the successor with it.

    Returns:
        Whether a successor listens; if not, the log tells why, and nothing has changed.
    """
    if os.getpid() == _FIRST_OF_ALL:
        _log.error("the first process of a container can't be replaced: start another container beside it")
        return False
    reading, writing = os.pipe()
    numbers = [each.fileno() for each in sockets]
    handed_over = f"{','.join(map(str, numbers))}:{writing}"
    try:
        successor = subprocess.Popen(  # noqa: S603 - it is the command that runs.
            _command(), env={**environment, HANDED_OVER: handed_over}, pass_fds=(*numbers, writing)
        )
    except OSError as error:
        _log.error("no successor can be started, this server goes on: %s", error)
        os.close(reading)
        return False
    finally:
        os.close(writing)
    with open(reading, "rb") as pipe:
        if _is_told(pipe.fileno(), is_stopping) and pipe.read(1):
            tell_service_manager(f"MAINPID={successor.pid}")
            return True
    _log.error("the successor did not start, this server goes on; what it said stands above")
    successor.send_signal(signal.SIGTERM)
    try:
        successor.wait(START_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        successor.kill()
        successor.wait()
    return False


def _command() -> list[str]:
    """Return the command line of this process, by what stands at its path today."""
    # A script's first line names the Python that it was installed with: it may be another one by now.
    if os.access(sys.argv[0], os.X_OK):
        return sys.argv
    return [sys.executable, *sys.orig_argv[1:]]


def _is_told(pipe: int, is_stopping: Callable[[], bool]) -> bool:
    """Wait until a pipe has something to read, or its other end is closed; False if that takes too long."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while not is_stopping() and time.monotonic() < deadline:
        if select.select([pipe], [], [], _POLL_SECONDS)[0]:
            return True
    return False


def tell_service_manager(text: str) -> None:
    """Tell systemd how the server is, if it wants to know (sd_notify)."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    # A name that begins with @ is none in the file system.
    address = "\0" + path[1:] if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.sendto(text.encode(), address)
    except OSError as error:
        _log.warning("the service manager can't be told %s: %s", text.partition("=")[0], error)
