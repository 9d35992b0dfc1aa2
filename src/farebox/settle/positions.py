"""How far the settler has come, in an SQLite file of its own: positions in logs, and lines that came without a file.

A position is written after its lines were applied, never before: what a kill loses is read again, and applied once by
its idempotency key.
"""

import sqlite3
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

_VERSION: Final = 1
_KEPT_SECONDS: Final = 40 * 24 * 3600
"""So long after it was last seen a file is known: longer than any token in it is believed."""

_SCHEMA: Final = """
CREATE TABLE log (path TEXT PRIMARY KEY, since REAL NOT NULL) STRICT;
CREATE TABLE file (
    file_id INTEGER PRIMARY KEY,
    path TEXT NOT NULL,
    device INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    head_bytes INTEGER NOT NULL,
    head_digest BLOB NOT NULL,
    offset INTEGER NOT NULL,
    line INTEGER NOT NULL,
    is_complete INTEGER NOT NULL,
    last_seen REAL NOT NULL
) STRICT;
CREATE TABLE spool (line_id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, text BLOB NOT NULL) STRICT;
"""


class PositionsError(Exception):
    """The settler's file can't be used; the message says why and what to do."""


class FilePosition(Struct, frozen=True, kw_only=True):
    """How far a log file was applied, and by what the file is known again."""

    file_id: int
    path: str
    """The path that is followed, whatever the file is called by now."""
    device: int
    inode: int
    head_bytes: int
    head_digest: bytes
    """Of the first `head_bytes` bytes: a copy has them too, and a file that took over the inode has not."""
    offset: int
    line: int
    """How many lines there are before the offset."""
    is_complete: bool = False
    """Whether nothing more is written into it."""


_PLACES: Final = ", ".join("?" * len(FilePosition.__struct_fields__))


class SpooledLine(Struct, frozen=True):
    """A line that came over a socket or by standard input, and is to be applied."""

    line_id: int
    source: str
    text: bytes


class Positions:
    """The settler's file, which one settler has at a time."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises:
            PositionsError: another settler has it, or it is none of a settler's.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=0.5, isolation_level=None)
            self._open()
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise PositionsError(f"{path} is in use by another settler; give each its own with --state") from error
            raise PositionsError(f"{path} can't be opened: {error}") from error
        except (sqlite3.DatabaseError, OSError) as error:
            raise PositionsError(f"{path} can't be opened: {error}") from error

    def _open(self) -> None:
        run = self._connection.execute
        # The lock of the first write is kept until the process ends, however it ends.
        run("PRAGMA locking_mode = EXCLUSIVE")
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = NORMAL")
        run("BEGIN IMMEDIATE")
        version = run("PRAGMA user_version").fetchone()[0]
        if version not in (0, _VERSION):
            raise sqlite3.DatabaseError(f"it is of version {version}, which this Farebox does not know")
        if version == 0:
            for statement in filter(str.strip, _SCHEMA.split(";")):
                run(statement)
            run(f"PRAGMA user_version = {_VERSION}")
        run("DELETE FROM file WHERE last_seen < ?", (time.time() - _KEPT_SECONDS,))
        self._last_file_id: int = run("SELECT coalesce(max(file_id), 0) FROM file").fetchone()[0]
        run("COMMIT")

    def close(self) -> None:
        self._connection.close()

    def follow(self, path: str) -> tuple[float, bool]:
        """Tell since when a log is followed, in seconds since 1970, and whether that is from now on."""
        now = time.time()
        added = self._connection.execute("INSERT OR IGNORE INTO log VALUES (?, ?)", (path, now)).rowcount
        since: float = self._connection.execute("SELECT since FROM log WHERE path = ?", (path,)).fetchone()[0]
        return since, added == 1

    def of_path(self, path: str) -> list[FilePosition]:
        """Read the files that were followed under a path, the latest first."""
        rows = self._connection.execute(
            f"SELECT {', '.join(FilePosition.__struct_fields__)} FROM file WHERE path = ? ORDER BY file_id DESC",  # noqa: S608
            (path,),
        )
        return [msgspec.convert(row, FilePosition, strict=False) for row in map(_named, rows)]

    def new_file_id(self) -> int:
        """Return a number for a file that is not known yet."""
        self._last_file_id += 1
        return self._last_file_id

    def save(self, positions: Iterable[FilePosition], applied: Iterable[int]) -> None:
        """Write how far files were applied, and forget spooled lines that were."""
        run, now = self._connection.execute, time.time()
        run("BEGIN IMMEDIATE")
        for position in positions:
            fields = [getattr(position, name) for name in FilePosition.__struct_fields__]
            run(f"INSERT OR REPLACE INTO file VALUES ({_PLACES}, ?)", (*fields, now))  # noqa: S608 - question marks alone.
        self._connection.executemany("DELETE FROM spool WHERE line_id = ?", [(line_id,) for line_id in applied])
        run("COMMIT")

    def spool(self, source: str, texts: Sequence[bytes]) -> list[SpooledLine]:
        """Keep lines that have no file, so that a kill loses none of them."""
        run = self._connection.execute
        run("BEGIN IMMEDIATE")
        lines = []
        for text in texts:
            line_id = run("INSERT INTO spool (source, text) VALUES (?, ?)", (source, text)).lastrowid
            assert line_id is not None  # noqa: S101 - an INSERT has one.
            lines.append(SpooledLine(line_id, source, text))
        run("COMMIT")
        return lines

    def spooled_count(self) -> int:
        """Count the lines that are kept."""
        count: int = self._connection.execute("SELECT count(*) FROM spool").fetchone()[0]
        return count

    def spooled(self, after: int, limit: int) -> list[SpooledLine]:
        """Read lines that were kept, the oldest first, from behind a number on."""
        rows = self._connection.execute(
            "SELECT line_id, source, text FROM spool WHERE line_id > ? ORDER BY line_id LIMIT ?", (after, limit)
        )
        return [SpooledLine(*row) for row in rows]


def _named(row: Sequence[Any]) -> dict[str, Any]:
    """Put a row's values under the names of their columns, which are the fields'."""
    return dict(zip(FilePosition.__struct_fields__, row, strict=True))
