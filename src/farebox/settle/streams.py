"""Lines that come without a file: syslog's datagrams and standard input, kept in the settler's file until applied."""

import asyncio
import os
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from farebox.settle.lines import UnreadableLine
from farebox.settle.positions import Positions
from farebox.settle.sources import LINE_BYTES_MAX, RawLine
from farebox.settle.syslog import message_of

ARRIVED_LINES_MAX: Final = 10_000
"""How many lines of a stream wait to be kept; what comes then waits with the system."""

SPOOLED_LINES_MAX: Final = 1_000_000
"""How many lines are kept that are not applied yet."""

DATAGRAM_BYTES_MAX: Final = 65_536
_DATAGRAMS_AT_ONCE: Final = 1_000
_RECEIVE_BUFFER_BYTES: Final = 4 * 1024 * 1024
_LINES_AT_ONCE: Final = 1_000
_CHUNK_BYTES: Final = 65_536
_STANDARD_INPUT: Final = 0


class StreamError(Exception):
    """A stream can't be opened; the message says why."""


class Spool:
    """What arrived over streams, in this run or an earlier one that ended before it was applied; a source of lines."""

    def __init__(self, positions: Positions, *, lines_max: int = SPOOLED_LINES_MAX) -> None:
        """Hand out what the settler's file has kept."""
        self._positions = positions
        self._lines_max = lines_max
        self._waiting = positions.spooled_count()
        self._handed_out = 0
        self._applied: list[int] = []
        self._is_at_end = False

    @property
    def has_room(self) -> bool:
        """Whether more may be kept."""
        return self._waiting < self._lines_max

    @property
    def is_at_end(self) -> bool:
        """Whether all that was kept was handed out."""
        return self._is_at_end

    @property
    def is_over(self) -> bool:
        """Whether nothing is kept that was not handed out."""
        return self._is_at_end

    def keep(self, source: str, texts: list[bytes]) -> None:
        """Keep lines, so that a kill does not lose them."""
        self._positions.spool(source, texts)
        self._waiting += len(texts)
        self._is_at_end = False

    def read(self) -> list[RawLine]:
        """Return the next lines of what is kept."""
        lines = self._positions.spooled(self._handed_out, _LINES_AT_ONCE)
        self._is_at_end = not lines
        if lines:
            self._handed_out = lines[-1].line_id
        return [RawLine(line.source, line.line_id, line.text, self._finisher(line.line_id)) for line in lines]

    def take_applied(self) -> list[int]:
        """Return the numbers of lines that were applied since this was asked last, to be forgotten."""
        applied, self._applied = self._applied, []
        self._waiting -= len(applied)
        return applied

    def _finisher(self, line_id: int) -> Callable[[], None]:
        return lambda: self._applied.append(line_id)


class LineStream:
    """Lines that arrive and are kept in a spool, as long as there is room."""

    def __init__(self, name: str, spool: Spool) -> None:
        """Name it as rejects and warnings do."""
        self.name = name
        self._spool = spool
        self._arrived: list[bytes] = []
        self._has_ended = False

    @property
    def is_over(self) -> bool:
        """Whether nothing more arrives, and all that did is kept."""
        return self._has_ended and not self._arrived

    def keep_arrived(self) -> None:
        """Keep what has arrived."""
        if self._arrived and self._spool.has_room:
            self._spool.keep(self.name, self._arrived)
            self._arrived = []
            self.resume()

    def resume(self) -> None:
        """Take lines again, as there is room."""

    def close(self) -> None:
        """Take no more lines."""


class Datagrams(LineStream):
    """Syslog over UDP or a unix socket: each datagram is a line."""

    def __init__(self, name: str, spool: Spool, bound: socket.socket, path: Path | None = None) -> None:
        """Receive from a bound socket; its path, if it has one, is removed at the end."""
        super().__init__(name, spool)
        self._socket = bound
        self._path = path
        self._is_reading = False
        bound.setblocking(False)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        self.resume()

    @classmethod
    def over_udp(cls, address: str, spool: Spool) -> "Datagrams":
        """Listen on HOST:PORT.

        Raises:
            StreamError: that is no address, or can't be listened on.
        """
        host, separator, port = address.rpartition(":")
        if not separator or not port.isascii() or not port.isdigit() or not 0 < int(port) <= 65_535:
            raise StreamError(f"{address!r} is no address such as 127.0.0.1:5514")
        try:
            family, kind, _, _, where = socket.getaddrinfo(
                host.strip("[]") or None, int(port), type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
            )[0]
        except OSError as error:
            raise StreamError(f"{address} is no address: {error.strerror or error}") from error
        bound = socket.socket(family, kind)
        try:
            bound.bind(where)
        except OSError as error:
            bound.close()
            raise StreamError(f"{address} can't be listened on: {error.strerror or error}") from error
        return cls(f"udp {address}", spool, bound)

    @classmethod
    def over_unix(cls, path: Path, spool: Spool, mode: int) -> "Datagrams":
        """Listen on a unix socket, which is made, with this mode.

        Raises:
            StreamError: it can't be made; what is there that is no socket is left as it is.
        """
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
                path.unlink()
            bound.bind(str(path))
            path.chmod(mode)
        except OSError as error:
            bound.close()
            raise StreamError(f"{path} can't be listened on: {error.strerror or error}") from error
        return cls(f"unix {path}", spool, bound, path)

    def resume(self) -> None:
        if not self._is_reading:
            asyncio.get_running_loop().add_reader(self._socket.fileno(), self._receive)
            self._is_reading = True

    def close(self) -> None:
        self._pause()
        self._receive()
        self._socket.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _pause(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._is_reading = False

    def _receive(self) -> None:
        for _ in range(_DATAGRAMS_AT_ONCE):
            if len(self._arrived) >= ARRIVED_LINES_MAX:
                self._pause()
                return
            try:
                datagram = self._socket.recv(DATAGRAM_BYTES_MAX)
            except (BlockingIOError, InterruptedError):
                return
            try:
                self._arrived.append(message_of(datagram))
            except UnreadableLine:
                # It is told as a line that can't be read.
                self._arrived.append(datagram)


class StandardInput(LineStream):
    """Lines of standard input, read by a thread of their own, as it may be a file, a pipe or a terminal."""

    def __init__(self, spool: Spool) -> None:
        """Begin to read."""
        super().__init__("standard input", spool)
        self._loop = asyncio.get_running_loop()
        self._room = threading.Event()
        self._room.set()
        # It may wait for input that never comes, and must not keep the process from ending.
        threading.Thread(target=self._read, daemon=True).start()

    def resume(self) -> None:
        self._room.set()

    def _read(self) -> None:
        partial = b""
        while data := os.read(_STANDARD_INPUT, _CHUNK_BYTES):
            *ended, partial = (partial + data).split(b"\n")
            if len(partial) > LINE_BYTES_MAX:
                # It can't be read any more, and is told as such a line.
                ended, partial = [*ended, partial[:_CHUNK_BYTES]], b""
            self._room.wait()
            if not self._tell(ended):
                return
        self._tell([partial], is_over=True)

    def _tell(self, lines: list[bytes], *, is_over: bool = False) -> bool:
        try:
            self._loop.call_soon_threadsafe(self._add, lines, is_over)
        except RuntimeError:
            # The loop has ended, and so does the program.
            return False
        return True

    def _add(self, lines: list[bytes], is_over: bool) -> None:
        self._arrived += [line for line in lines if line.strip()]
        self._has_ended = is_over
        if len(self._arrived) >= ARRIVED_LINES_MAX:
            self._room.clear()
