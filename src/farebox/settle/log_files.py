"""One file of a log, open: its lines from an offset on, and whether it still is the file that it was."""

import gzip
import hashlib
import os
import time
from pathlib import Path
from typing import Final, Protocol

from farebox.settle.positions import FilePosition
from farebox.settle.sources import LINE_BYTES_MAX, Progress, RawLine

HEAD_BYTES_MAX: Final = 1_024
"""How many of a file's first bytes it is known by."""

HEAD_BYTES_ALONE_MIN: Final = 128
"""From how many on a file is known by them alone, without its inode: so many have a time or request id among them."""

_CHUNK_BYTES: Final = 256 * 1024
_GZIP: Final = ".gz"


class FileReplaced(Exception):
    """The file was cut off, or written anew; what was read at last may be of either."""


class _Readable(Protocol):
    """A file's bytes."""

    def read_at(self, offset: int, size: int) -> bytes: ...
    def size(self) -> int | None: ...
    def close(self) -> None: ...


class _Plain:
    """A file as it is written."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read_at(self, offset: int, size: int) -> bytes:
        return os.pread(self.descriptor, size, offset)

    def size(self) -> int | None:
        return os.fstat(self.descriptor).st_size

    def close(self) -> None:
        os.close(self.descriptor)


class _Compressed:
    """A file that was compressed after it was rotated away; it does not grow."""

    def __init__(self, path: Path) -> None:
        self._stream = gzip.open(path, "rb")  # noqa: SIM115 - it is closed by `close`.
        self.descriptor = self._stream.fileno()

    def read_at(self, offset: int, size: int) -> bytes:
        try:
            self._stream.seek(offset)
            return self._stream.read(size)
        except (EOFError, OSError):
            # It is being written; what there is of it is read when it is whole.
            return b""

    def size(self) -> int | None:
        return None

    def close(self) -> None:
        self._stream.close()


class LogFile:
    """A file of a log that is followed.

    Args:
        path: where it is now.
        followed: the path that is followed.
        file_id: its number among the positions.
    """

    def __init__(self, path: Path, *, followed: str, file_id: int) -> None:
        self.path = path
        self.file_id = file_id
        self.is_complete = False
        self._followed = followed
        self._content: _Readable
        self._content = content = (_Compressed if path.suffix == _GZIP else _Plain)(path)
        status = os.fstat(content.descriptor)
        self.identity = (status.st_dev, status.st_ino)
        self.modified_at = status.st_mtime
        self.grew_at = time.monotonic() - max(0.0, time.time() - status.st_mtime)
        self.head = content.read_at(0, HEAD_BYTES_MAX)
        self.progress = Progress(0, 0)
        self._next_line = 0
        self.handed_out = self._read_offset = 0
        """Behind which byte nothing was handed out yet."""
        self._partial = b""
        self._is_passing_over = False
        self._saved: FilePosition | None = None
        self._is_copy = False

    @property
    def is_compressed(self) -> bool:
        """Whether it does not grow any more."""
        return self.path.suffix == _GZIP

    def read(self) -> tuple[list[RawLine], bool]:
        """Return the next lines, and whether there was anything more to read.

        Raises:
            FileReplaced: it is not the file any more that it was; nothing was taken of what was read.
        """
        data = self._content.read_at(self._read_offset, _CHUNK_BYTES)
        self.check_same()
        if not data:
            return [], False
        self.grew_at = time.monotonic()
        end = self._read_offset - len(self._partial)
        self._read_offset += len(data)
        *ended, self._partial = (self._partial + data).split(b"\n")
        lines = []
        for text in ended:
            end += len(text) + 1
            lines.append(self._line(text, end))
        if len(self._partial) > LINE_BYTES_MAX:
            self._is_passing_over = self._is_passing_over or self._partial.strip(b"\0") != b""
            self._partial = b""
        return lines, True

    def last_line(self) -> list[RawLine]:
        """Return what stands behind the last line end, as a line; to be called when nothing more is written."""
        if self.handed_out == self._read_offset:
            return []
        text, self._partial = self._partial, b""
        return [self._line(text, self._read_offset)]

    def check_same(self) -> None:
        """See that it is the file that it was, and learn more of its first bytes.

        Raises:
            FileReplaced: it was cut off, or written anew.
        """
        size = self._content.size()
        if size is None or self._is_copy:
            return
        head = self._content.read_at(0, HEAD_BYTES_MAX)
        if size < self._read_offset or not head.startswith(self.head):
            raise FileReplaced
        self.head = head

    def reaches(self, offset: int) -> bool:
        """Tell whether there are so many bytes; of a compressed file that isn't known."""
        size = self._content.size()
        return size is None or size >= offset

    def go_on_at(self, position: FilePosition) -> None:
        """Go on where this file was left, of which nothing has been read yet."""
        self.file_id = position.file_id
        self.is_complete = position.is_complete
        self.progress = Progress(position.offset, position.line)
        self._next_line = position.line
        self.handed_out = self._read_offset = position.offset
        self._saved = position

    def go_on_from(self, original: "LogFile") -> None:
        """Take over from a file whose copy this is: what was handed out of that is not read again."""
        self.progress = original.progress
        self.handed_out = self._read_offset = original.handed_out
        self._next_line = original._next_line
        # The original may have been read further than to where it was copied.
        self._is_copy = True

    def position(self) -> FilePosition | None:
        """Tell how far it was applied; None if that was told before, or if it is empty."""
        position = FilePosition(
            file_id=self.file_id,
            path=self._followed,
            device=self.identity[0],
            inode=self.identity[1],
            head_bytes=len(self.head),
            head_digest=digest(self.head),
            offset=self.progress.offset,
            line=self.progress.line,
            is_complete=self.is_complete and self.progress.is_idle,
        )
        if position == self._saved or not self.head:
            return None
        self._saved = position
        return position

    def close(self) -> None:
        self._content.close()

    def _line(self, text: bytes, end: int) -> RawLine:
        """Make a line of what was read; where a writer left a gap behind a cut it begins with zero bytes."""
        self.handed_out = end
        self._next_line += 1
        is_too_long = self._is_passing_over or len(text) > LINE_BYTES_MAX
        self._is_passing_over = False
        kept = None if is_too_long else text.lstrip(b"\0")
        return RawLine(self.path.name, self._next_line, kept, self.progress.begin(end))


def digest(head: bytes) -> bytes:
    """Return what a file's first bytes are known again by."""
    return hashlib.sha256(head).digest()
