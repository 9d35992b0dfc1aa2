"""A log that is followed over its rotations: by rename, by copying and cutting off, compressed meanwhile or not.

A file is known again by its first bytes, wherever it was moved or copied to, so that what was written into it before it
was rotated away is read to its end, also after the settler was away.
"""

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from farebox.settle.log_files import HEAD_BYTES_ALONE_MIN, FileReplaced, LogFile, digest
from farebox.settle.positions import FilePosition, Positions
from farebox.settle.sources import RawLine

DRAIN_SECONDS: Final = 600.0
"""How long a file that was rotated away is read on while nothing is written into it: servers write into it until the
requests are over that they have under way."""

_CLOCK_SECONDS: Final = 1.0
"""How far a file system's clock may be behind."""

_COPYING_SECONDS: Final = 30.0
"""How long a new file may stay empty."""

_SEARCH_SECONDS: Final = 30.0
"""How long the copy of a file that was cut off is looked for."""


class FollowedLog:
    """A log by its path; a source of lines.

    Args:
        path: where the log is written.
        positions: how far it was applied before.
        warn: is told what people should know.
        others: the paths of all logs that are followed.
        drain_seconds: as `DRAIN_SECONDS`.
        is_once: whether it is read to its end, and no further.
    """

    def __init__(
        self,
        path: Path,
        positions: Positions,
        warn: Callable[[str], None],
        *,
        others: frozenset[str] = frozenset(),
        drain_seconds: float = DRAIN_SECONDS,
        is_once: bool = False,
    ) -> None:
        self._path = path.absolute()
        self._positions = positions
        self._warn = warn
        self._others = others
        self._drain_seconds = drain_seconds
        self._is_once = is_once
        self._known = positions.of_path(str(self._path))
        self._since, self._is_new = positions.follow(str(self._path))
        self._files: list[LogFile] = []
        """Those that are open, in the order of their ages; the last one may be the one that is written."""
        self._cut: list[tuple[LogFile, float]] = []
        """Those that were cut off, whose copies are looked for, and since when."""
        self._closed: list[LogFile] = []
        """Those that were read to their end, while lines of theirs are under way."""
        self._is_at_end = False
        self._denied: set[Path] = set()
        """The files that it was told of that they can't be read, and that could not be since."""
        self._looked_at = 0.0
        """The time of the folder when all in it was seen; 0 if more may have come within the same tick."""
        self._is_being_copied = False
        """Whether there is a file without a content yet, which may be a copy that is being written."""
        self._open_all()
        self._is_new = False

    @property
    def is_at_end(self) -> bool:
        """Whether all that there was at the last look was read."""
        return self._is_at_end

    @property
    def is_over(self) -> bool:
        """Whether no line will come any more."""
        return self._is_once and self._is_at_end

    @property
    def is_missing(self) -> bool:
        """Whether there is no file at the path, and none that was there before."""
        return not self._files and not self._known and not self._path.exists()

    def read(self) -> list[RawLine]:
        """Return the next lines, those of the oldest file first."""
        self._look_for_rotation()
        self._look_for_cuts()
        self._look_for_copies()
        lines: list[RawLine] = []
        for file in list(self._files):
            try:
                read, has_read = file.read()
            except FileReplaced:
                # It was cut off this moment; what was read of it is not taken, and it is read again from its copy.
                self._is_at_end = False
                return lines
            lines += read
            if has_read:
                self._is_at_end = False
                return lines
            if self._is_finished(file):
                lines += file.last_line()
                self._close(file)
        self._is_at_end = not self._cut
        return lines

    def changed_positions(self) -> list[FilePosition]:
        """Tell how far files were applied that had been applied less far at the last time."""
        positions = [position for file in (*self._files, *self._closed) if (position := file.position()) is not None]
        self._closed = [file for file in self._closed if not file.progress.is_idle]
        for position in positions:
            self._known = [known for known in self._known if known.file_id != position.file_id] + [position]
        return positions

    def close(self) -> None:
        for file in self._files:
            file.close()

    def _look_for_rotation(self) -> None:
        """Open what there is to read, if anything in the folder has another name than before."""
        try:
            changed_at = self._path.parent.stat().st_mtime
            status = self._path.stat()
        except FileNotFoundError:
            return
        is_opened = (status.st_dev, status.st_ino) in {file.identity for file in self._files}
        if not is_opened or changed_at != self._looked_at:
            self._open_all()
            is_settled = time.time() - changed_at > _CLOCK_SECONDS and not self._is_being_copied
            self._looked_at = changed_at if is_settled else 0.0

    def _look_for_cuts(self) -> None:
        """Look at every file before another one is read, as a backlog may keep it from being read for long."""
        for file in list(self._files):
            try:
                file.check_same()
            except FileReplaced:
                self._was_cut(file)

    def _open_all(self) -> None:
        """Open every file of this log that has something to read: those rotated away first, then the path's own."""
        opened = {file.identity for file in self._files}
        heads = [file.head for file in (*self._files, *self._closed, *(file for file, _ in self._cut)) if file.head]
        self._is_being_copied = False
        for path in self._siblings():
            file = self._opened(path)
            if file is None:
                continue
            if not file.head and time.time() - file.modified_at < _COPYING_SECONDS:
                self._is_being_copied = True
            is_copy = any(head and file.head.startswith(head) for head in heads)
            if file.identity in opened or is_copy or not self._is_to_be_read(file):
                file.close()
            else:
                self._files.append(file)
                heads.append(file.head)
        current = self._opened(self._path)
        if current is not None:
            if current.identity in {file.identity for file in self._files}:
                current.close()
            else:
                self._files.append(current)

    def _opened(self, path: Path) -> LogFile | None:
        """Open a file where it was left; None if it can't be opened."""
        try:
            file = LogFile(path, followed=str(self._path), file_id=self._positions.new_file_id())
        except FileNotFoundError:
            return None
        except OSError as error:
            if path not in self._denied:
                self._denied.add(path)
                self._warn(f"{path} can't be read: {error.strerror or error}")
            return None
        self._denied.discard(path)
        known = self._position_of(file)
        if known is not None and file.reaches(known.offset):
            file.go_on_at(known)
        return file

    def _position_of(self, file: LogFile) -> FilePosition | None:
        """Find the position of a file by its first bytes; by few of them only together with its inode."""
        matching = [
            known
            for known in self._known
            if 0 < known.head_bytes <= len(file.head)
            and digest(file.head[: known.head_bytes]) == known.head_digest
            and (known.head_bytes >= HEAD_BYTES_ALONE_MIN or (known.device, known.inode) == file.identity)
        ]
        return max(matching, key=lambda known: known.head_bytes, default=None)

    def _is_to_be_read(self, file: LogFile) -> bool:
        """Tell whether a file that was rotated away has lines that are to be read."""
        known = self._position_of(file)
        if known is None:
            # One that was written before this log was followed is none of its.
            return bool(file.head) and not self._is_new and file.modified_at > self._since - _CLOCK_SECONDS
        return not known.is_complete if file.is_compressed else file.reaches(known.offset + 1)

    def _siblings(self) -> list[Path]:
        """List what the log's files may have been renamed or copied to, the oldest first."""
        stem, suffix = re.escape(self._path.stem), re.escape(self._path.suffix)
        name = re.compile(rf"{re.escape(self._path.name)}[.-].+|{stem}[.-][0-9].*{suffix}(\.gz)?")
        found = []
        try:
            for entry in os.scandir(self._path.parent):
                if name.fullmatch(entry.name) and entry.path not in self._others and entry.is_file():
                    found.append((entry.stat().st_mtime, Path(entry.path)))
        except OSError:
            return []
        return [path for _, path in sorted(found)]

    def _is_finished(self, file: LogFile) -> bool:
        """Tell whether nothing more is to be expected of a file that was read to its end."""
        if file.is_compressed:
            return True
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            return False
        is_written = (status.st_dev, status.st_ino) == file.identity
        return not is_written and time.monotonic() - file.grew_at > self._drain_seconds

    def _close(self, file: LogFile) -> None:
        file.is_complete = True
        file.close()
        self._files.remove(file)
        self._closed.append(file)

    def _was_cut(self, file: LogFile) -> None:
        """Go on with a file that was copied and cut off: with its copy, and then from its beginning on."""
        file.close()
        self._files.remove(file)
        self._closed.append(file)
        self._cut.append((file, time.monotonic()))
        self._open_all()

    def _look_for_copies(self) -> None:
        """Open the copies of files that were cut off, if there are any; their rest is read before all else."""
        for file, since in list(self._cut):
            copy = self._copy_of(file)
            if copy is not None:
                self._files.insert(0, copy)
                self._closed = [closed for closed in self._closed if closed is not file]
            elif self._is_once or time.monotonic() - since > _SEARCH_SECONDS:
                self._warn(
                    f"{file.path} was cut off, and there is no copy of it: what was written into it behind its line "
                    f"{file.progress.line:,} and not read before is lost"
                )
            else:
                continue
            self._cut.remove((file, since))

    def _copy_of(self, file: LogFile) -> LogFile | None:
        for path in self._siblings():
            try:
                copy = LogFile(path, followed=str(self._path), file_id=file.file_id)
            except OSError:
                continue
            if copy.head.startswith(file.head) and copy.identity not in {opened.identity for opened in self._files}:
                copy.go_on_from(file)
                return copy
            copy.close()
        return None
