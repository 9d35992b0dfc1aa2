"""Where charges wait on disk until they are made: one SQLite file for each process, in a folder that several may share.

A file belongs to the process that holds its lock, which the system takes back however that process ends. An abandoned
file is emptied into one's own: a charge that is in two files for a moment has the same idempotency key in both. One
thread uses a spool.
"""

import contextlib
import logging
import os
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final

from farebox_client import spool_files

_log = logging.getLogger("farebox_client")

_SUFFIX: Final = ".spool"
_LOCK_SUFFIX: Final = ".lock"

_VERSION: Final = 1
_TABLES: Final = (
    "CREATE TABLE waiting (id INTEGER PRIMARY KEY, key TEXT NOT NULL, charge TEXT NOT NULL)",
    """CREATE TABLE refused (
        key TEXT PRIMARY KEY, charge TEXT NOT NULL, status INTEGER NOT NULL, code TEXT NOT NULL, message TEXT NOT NULL,
        is_known INTEGER NOT NULL, refused_at REAL NOT NULL, is_told INTEGER NOT NULL
    )""",
    f"PRAGMA user_version = {_VERSION}",
)


class SpoolFailed(Exception):
    """The spool could not be written or read; what it was asked to keep was not accepted."""


@dataclass(frozen=True)
class SpooledCharge:
    """A charge that waits, as it will be sent. Numbers rise in the order of acceptance."""

    number: int
    key: str
    charge: str


@dataclass(frozen=True)
class RefusedCharge:
    """A charge that Farebox refused, and why."""

    key: str
    """Its idempotency key."""
    charge: str
    """The charge as JSON, as it was sent."""
    status: int
    code: str
    message: str
    is_known: bool
    """Whether it is certain that nothing was taken: else an earlier attempt, whose answer was lost, may have."""
    refused_at: float
    """When, in seconds since 1970."""


class Spool:
    """One process's file of a folder."""

    def __init__(self, folder: Path) -> None:
        """Make a new file in a folder, which is made if it is missing.

        Raises:
            SpoolFailed: there can be none.
        """
        self._folder = folder
        with _as_failed():
            spool_files.make_folder(folder)
            self._path, self._lock = _new_file(folder)
            self._database = _open(self._path)
            with self._transaction():
                for statement in _TABLES:
                    self._database.execute(statement)
            _sync(folder)
        self._broken: set[Path] = set()
        self.last = 0
        """The number of the charge that was accepted last."""
        self.waiting_count = 0

    def write(
        self,
        accepted: Iterable[tuple[str, str]],
        done: Iterable[int],
        refused: Sequence[tuple[int, RefusedCharge]],
    ) -> None:
        """Keep charges, given by key and JSON, forget those that are done, and put aside those that were refused.

        It is one transaction, and durable when this returns.

        Raises:
            SpoolFailed: nothing of it was written.
        """
        rows = [(self.last + place, key, charge) for place, (key, charge) in enumerate(accepted, 1)]
        gone = [(number,) for number in done] + [(number,) for number, _ in refused]
        with _as_failed(), self._transaction():
            self._database.executemany("INSERT INTO waiting VALUES (?, ?, ?)", rows)
            self._database.executemany("DELETE FROM waiting WHERE id = ?", gone)
            self._put_aside(each for _, each in refused)
        self.last += len(rows)
        self.waiting_count += len(rows) - len(gone)

    def page(self, after: int, limit: int) -> list[SpooledCharge]:
        """Read the charges that were accepted after the one of this number, the oldest first."""
        with _as_failed():
            query = "SELECT id, key, charge FROM waiting WHERE id > ? ORDER BY id LIMIT ?"
            return [SpooledCharge(*row) for row in self._database.execute(query, (after, limit))]

    def refused(self, *, is_untold: bool = False) -> list[RefusedCharge]:
        """Read the charges that were refused, the first one first; on demand those alone that nobody was told of."""
        with _as_failed():
            return _refused(self._database, "WHERE is_told = 0" if is_untold else "")

    def mark_told(self, keys: Iterable[str]) -> None:
        """Note that somebody was told of these."""
        with _as_failed(), self._transaction():
            self._database.executemany("UPDATE refused SET is_told = 1 WHERE key = ?", [(key,) for key in keys])

    def put_back(self, keys: Sequence[str]) -> int:
        """Let refused charges wait again, under the keys they had; return how many there were of these."""
        count = 0
        with _as_failed(), self._transaction():
            for key in keys:
                row = self._database.execute("SELECT charge FROM refused WHERE key = ?", (key,)).fetchone()
                if row is not None:
                    count += 1
                    self._database.execute("DELETE FROM refused WHERE key = ?", (key,))
                    self._database.execute("INSERT INTO waiting VALUES (?, ?, ?)", (self.last + count, key, row[0]))
        self.last += count
        self.waiting_count += count
        return count

    def forget(self, keys: Iterable[str]) -> int:
        """Drop refused charges for good; return how many there were of these."""
        with _as_failed(), self._transaction():
            before = self._database.total_changes
            self._database.executemany("DELETE FROM refused WHERE key = ?", [(key,) for key in keys])
            return self._database.total_changes - before

    def take_over(self) -> int:
        """Empty the files of the folder that no process owns into this one; return how many charges came.

        A file that can't be read is left as it is, for somebody to look at.
        """
        before = self.waiting_count
        with _as_failed():
            locks = sorted(self._folder.glob(f"*{_LOCK_SUFFIX}"))
        for lock_path in locks:
            path = lock_path.with_suffix(_SUFFIX)
            if path in (self._path, *self._broken) or (lock := _acquire(lock_path)) is None:
                continue
            with contextlib.closing(lock):
                try:
                    self._empty(path)
                except SpoolFailed as error:
                    self._broken.add(path)
                    _log.warning("%s can't be taken over, and is left: %s", path, error)
                else:
                    _remove(path, lock_path)
        return self.waiting_count - before

    def close(self) -> None:
        """Give the file up; one that is empty is removed."""
        with _as_failed():
            is_empty = not self.waiting_count and not self.refused()
            self._database.close()
            if is_empty:
                _remove(self._path, self._path.with_suffix(_LOCK_SUFFIX))
            self._lock.close()

    def _empty(self, path: Path) -> None:
        """Copy all that another file has. It goes once that is durable; until then, it is in both."""
        if not path.exists():
            # Its owner was killed while it made or removed it.
            return
        with _as_failed(), contextlib.closing(_open(path)) as other:
            if other.execute("PRAGMA user_version").fetchone() == (0,):
                return
            refused = _refused(other)
            self.write(other.execute("SELECT key, charge FROM waiting ORDER BY id"), (), ())
            with self._transaction():
                self._put_aside(refused)

    def _put_aside(self, refused: Iterable[RefusedCharge]) -> None:
        rows = [astuple(each) for each in refused]
        self._database.executemany("INSERT OR REPLACE INTO refused VALUES (?, ?, ?, ?, ?, ?, ?, 0)", rows)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")
            raise


def _refused(database: sqlite3.Connection, condition: str = "") -> list[RefusedCharge]:
    query = "SELECT key, charge, status, code, message, is_known, refused_at FROM refused"
    rows = database.execute(f"{query} {condition} ORDER BY refused_at, key")
    return [
        RefusedCharge(key, charge, status, code, message, bool(is_known), refused_at)
        for key, charge, status, code, message, is_known, refused_at in rows
    ]


def _new_file(folder: Path) -> tuple[Path, sqlite3.Connection]:
    """Make an empty file that this process owns, and return the lock that says so.

    The lock's file comes first and goes last. In between, another process may take it for what a killed one left.
    """
    for _ in range(spool_files.NEW_FILES_MAX):
        path = folder / f"{uuid.uuid4().hex}{_SUFFIX}"
        lock_path = path.with_suffix(_LOCK_SUFFIX)
        spool_files.create(lock_path)
        lock = _acquire(lock_path)
        if lock is not None:
            if lock_path.exists():
                spool_files.create(path)
                return path, lock
            lock.close()
    raise OSError(f"no file can be locked in {folder}")


def _sync(folder: Path) -> None:
    """Let the names of new files outlast a power failure, where the system has a way to ask for that."""
    if hasattr(os, "O_DIRECTORY"):
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _acquire(lock_path: Path) -> sqlite3.Connection | None:
    """Own a lock; None if another process does, or it is gone.

    It is an exclusive transaction that never ends, on a database of its own: SQLite knows how to lock on every system.
    """
    lock = None
    try:
        lock = spool_files.connect(lock_path)
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        if lock is not None:
            lock.close()
        return None
    return lock


def _open(path: Path) -> sqlite3.Connection:
    database = spool_files.connect(path)
    database.execute("PRAGMA journal_mode = WAL")
    # Durable means that it outlasts a power failure.
    database.execute("PRAGMA synchronous = FULL")
    return database


def _remove(path: Path, lock_path: Path) -> None:
    spool_files.remove(path)
    lock_path.unlink(missing_ok=True)


@contextlib.contextmanager
def _as_failed() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise SpoolFailed(f"the spool can't be used: {error}") from error
