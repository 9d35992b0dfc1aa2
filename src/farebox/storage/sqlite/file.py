"""The database's file under a running server: what was committed must be in the file that stands at the path.

A file that is moved, replaced or deleted stays open, and SQLite goes on writing to what nobody will find again. So the
file at the path, its log and the log's index are compared with those that were opened: before a transaction, and again
after COMMIT, before anyone hears of it.

A file that is overwritten in place, as `cp` does, is the same file with other content. Nothing but a checkpoint writes
to it while it is open, and the log's index tells of each (https://www.sqlite.org/walformat.html, 2.1): a file that
changed without one was written to by something else.

The log's index also tells the checksum of the last frame that was committed. It is over all frames before it, too, so
a log that lacks that frame is another one, of whatever size.
"""

import os
import sys
from array import array
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import apsw
from msgspec import Struct

from farebox.storage.interface import StoreReplaced, StoreUnavailable

_HEADER_BYTES: Final = 48
_PAGE_BYTES: Final = slice(14, 16)
_FRAMES: Final = slice(16, 20)
_CHECKSUMS: Final = (slice(24, 28), slice(28, 32))
_SALTS: Final = slice(32, 40)
_BACKFILLED: Final = slice(96, 100)
_ATTEMPTED: Final = slice(128, 132)
_INDEX_BYTES: Final = 132
"""Where the log's index, which begins with two copies of its header, tells how large pages are, how many frames are
committed and their checksum, which log it is of, how much of it a checkpoint has moved, and how much it began to."""

_LOG_HEADER_BYTES: Final = 32
_FRAME_HEADER_BYTES: Final = 24
_FRAME_TOLD: Final = slice(8, 24)
"""Where a frame of the log tells which log it is of, and the checksum up to it."""

_LOOKS_MAX: Final = 3
"""How often the log's end is looked at while other processes move it; the look within a transaction meets none."""


class _Checkpoint(Struct, frozen=True):
    """How far checkpoints are, and whether anything is committed to the log since it began."""

    salts: bytes
    backfilled: bytes
    attempted: bytes
    has_frames: bool

    @property
    def is_running(self) -> bool:
        return self.backfilled != self.attempted


class _LogEnd(Struct, frozen=True):
    """The last frame of the log that was committed: where it is, and what it says of itself."""

    offset: int
    salts: bytes
    told: bytes


class _Content(Struct, frozen=True):
    """When the file was written to, and how large file and log were then."""

    changed_ns: int
    file_bytes: int


class DatabaseFile:
    """The file that was opened, and whether it is still the one at the path."""

    def __init__(self, path: Path) -> None:
        """Name the file; nothing is looked at yet."""
        self._path = path
        self._paths: tuple[str, ...] = ()
        self._identities: list[tuple[int, int]] = []
        self._index: int | None = None
        self._log: int | None = None
        self._log_end: _LogEnd | None = None
        self._checkpoint: _Checkpoint | None = None
        self._content = _Content(0, 0)
        self._log_bytes = 0
        self._is_overwritten = False

    def open(self, connection: apsw.Connection) -> None:
        """Take the file that a connection has open, and has read from, for the one that is meant.

        Raises:
            StoreReplaced: another one stands at the path already.
        """
        # SQLite keeps the log beside the file that a link leads to.
        real_path = os.path.realpath(self._path)
        self._paths = (os.fspath(self._path), f"{real_path}-wal", f"{real_path}-shm")
        # It stays open: to close it would end the locks that SQLite has on it.
        self._index = os.open(self._paths[2], os.O_RDONLY | os.O_CLOEXEC)
        self._log = os.open(self._paths[1], os.O_RDONLY | os.O_CLOEXEC)
        self._log_end = None
        self._is_overwritten = False
        self._checkpoint = self._read_checkpoint()
        file, log, index = self._statuses(self._paths)
        self._identities = [(status.st_dev, status.st_ino) for status in (file, log, index)]
        self._content, self._log_bytes = _Content(file.st_mtime_ns, file.st_size), log.st_size
        self.check_connection(connection)

    def close(self) -> None:
        """Look no more; to be called once no connection is open."""
        for descriptor in (self._index, self._log):
            if descriptor is not None:
                os.close(descriptor)
        self._index = self._log = None

    def is_log_foreign(self) -> bool:
        """Whether the log at the path must be left alone: it belongs to another file, or this one was overwritten."""
        if self._index is None:
            return False
        # This look is to show what has changed since the last one.
        with suppress(StoreUnavailable):
            self.check()
        try:
            log = os.stat(self._paths[1])
        except OSError:
            return True
        return self._is_overwritten or self._identities[1] != (log.st_dev, log.st_ino)

    def check_connection(self, connection: apsw.Connection) -> None:
        """See that a new connection has the file at the path open.

        Raises:
            StoreReplaced: it has another one.
        """
        # A C int that SQLite writes to; an array is imported in no time, which ctypes is not.
        has_moved = array("i", [0])
        address, _ = has_moved.buffer_info()
        connection.file_control("main", apsw.SQLITE_FCNTL_HAS_MOVED, address)
        if has_moved[0]:
            raise StoreReplaced(f"{self._path} was moved, replaced or deleted while it was opened")

    def check(self) -> None:
        """See that the file at the path is the one that was opened, and that SQLite alone has written to it.

        Raises:
            StoreReplaced: it is another one, or gone, until the very same file is back; or it was overwritten, until it
                is opened anew.
        """
        # It is read before the file is looked at: what a later one writes shows as a change the next time.
        checkpoint = self._read_checkpoint()
        file, log, index = self._statuses(self._paths)
        self._compare((file, log, index))
        if self._is_changed(file, log):
            self._check_content()
        else:
            self._log_bytes, self._checkpoint = log.st_size, checkpoint
        self._check_log()

    def check_committed(self) -> None:
        """See, after COMMIT, the same of the file and its log, and that the log holds what was committed.

        Raises:
            StoreReplaced: as `check`.
        """
        self.check_file_and_log()
        self._check_log()

    def check_file_and_log(self) -> None:
        """See the same of the file and its log alone, in which all is that was committed.

        Raises:
            StoreReplaced: as `check`.
        """
        file, log = self._statuses(self._paths[:2])
        self._compare((file, log))
        if self._is_changed(file, log):
            self._check_content()

    def _compare(self, statuses: Sequence[os.stat_result]) -> None:
        for status, identity in zip(statuses, self._identities, strict=False):
            if (status.st_dev, status.st_ino) != identity:
                raise StoreReplaced(
                    f"another file stands in place of {self._path}, or of its -wal or -shm: put the one back that was "
                    "there, or restart Farebox to work on the new one"
                )

    def _is_changed(self, file: os.stat_result, log: os.stat_result) -> bool:
        content = _Content(file.st_mtime_ns, file.st_size)
        return self._is_overwritten or content != self._content or log.st_size < self._log_bytes

    def _check_content(self) -> None:
        """See that a checkpoint has written to the file, and that a log that was cut off is one that begins anew."""
        before, now = self._checkpoint, self._read_checkpoint()
        file, log = self._statuses(self._paths[:2])
        content = _Content(file.st_mtime_ns, file.st_size)
        is_beginning = content == self._content and not now.has_frames
        self._checkpoint, self._content, self._log_bytes = now, content, log.st_size
        if before == now and not now.is_running and not is_beginning:
            self._is_overwritten = True
        if self._is_overwritten:
            raise self._overwritten()

    def _check_log(self) -> None:
        """See that the log holds the last frame that is committed, and the one that was the last at an earlier look."""
        for _ in range(_LOOKS_MAX):
            end = self._read_log_end()
            ends = [known for known in (self._log_end, end) if known and end and known.salts == end.salts]
            is_whole = all(self._has_frame(known) for known in ends)
            # Another process may have committed, or begun the log anew, while it was read.
            if end == self._read_log_end():
                self._log_end = end
                if not is_whole:
                    self._is_overwritten = True
                    raise self._overwritten()
                return

    def _overwritten(self) -> StoreReplaced:
        return StoreReplaced(
            f"something else has written to {self._path}, or to its -wal, while it was in use: stop Farebox, put the "
            "right file in place, without -wal and -shm beside it, and start it again"
        )

    def _has_frame(self, end: _LogEnd) -> bool:
        return _read(self._log, _FRAME_HEADER_BYTES, end.offset)[_FRAME_TOLD] == end.told

    def _read_log_end(self) -> _LogEnd | None:
        """Read where the log ends; None if nothing is in it, or another process is about to move its end."""
        index = _read(self._index, 2 * _HEADER_BYTES)
        header, copy = index[:_HEADER_BYTES], index[_HEADER_BYTES:]
        frames = int.from_bytes(header[_FRAMES], sys.byteorder)
        if header != copy or frames == 0:
            return None
        # 64 kB, which its two bytes can't hold, are written as 1.
        page_bytes = int.from_bytes(header[_PAGE_BYTES], sys.byteorder)
        frame_bytes = _FRAME_HEADER_BYTES + (page_bytes if page_bytes > 1 else 1 << 16)
        # The log has the checksum's numbers the highest byte first; its index has them as this machine does.
        checksum = [int.from_bytes(header[part], sys.byteorder).to_bytes(4, "big") for part in _CHECKSUMS]
        return _LogEnd(
            _LOG_HEADER_BYTES + (frames - 1) * frame_bytes, header[_SALTS], header[_SALTS] + b"".join(checksum)
        )

    def _read_checkpoint(self) -> _Checkpoint:
        index = _read(self._index, _INDEX_BYTES)
        return _Checkpoint(index[_SALTS], index[_BACKFILLED], index[_ATTEMPTED], any(index[_FRAMES]))

    def _statuses(self, paths: Sequence[str]) -> list[os.stat_result]:
        try:
            return [os.stat(path) for path in paths]
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StoreReplaced(
                f"{error.filename} was moved or deleted: put it back, or restart Farebox to work on another file"
            ) from error
        except OSError as error:
            raise StoreUnavailable(f"{error.filename} can't be looked at: {error.strerror}") from error


def _read(descriptor: int | None, count: int, offset: int = 0) -> bytes:
    if descriptor is None:
        raise StoreUnavailable("the database is not open")
    return os.pread(descriptor, count, offset)
