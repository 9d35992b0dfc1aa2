"""The debts of a process on disk: one that is killed loses nothing that it delivered.

A folder is shared by all processes of a service. Each writes a SQLite file of its own there, and keeps it locked as
long as it lives; the next process that starts takes over what one that died has left. A write is handed to the system
and not waited for, as it is made before every answer: a crash of the whole machine loses the last moments before it.
"""

import logging
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from farebox_client import spool_files
from farebox_client.middleware.owed import Owed

_SCHEMA: Final = "CREATE TABLE IF NOT EXISTS owed (key TEXT PRIMARY KEY, owed TEXT NOT NULL, refusal TEXT)"
_SUFFIX: Final = ".owed"
_NAME_BYTES: Final = 8

_log = logging.getLogger("farebox_client.middleware")


class OwedSpool:
    """A process's own file of what is owed. Threads may share it."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Open a new file in this folder, which is made if it isn't there, and take over what the dead have left."""
        self._folder = Path(folder)
        spool_files.make_folder(self._folder)
        self._lock = threading.Lock()
        self._path, self._database = _new_file(self._folder)
        self._inherit()

    def put(self, owed: Owed) -> None:
        """Write down what is owed, or what it has grown to."""
        self._write(
            "INSERT INTO owed (key, owed) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET owed = excluded.owed",
            owed.key,
            owed.to_json(),
        )

    def remove(self, key: str) -> None:
        """Forget what was taken."""
        self._write("DELETE FROM owed WHERE key = ?", key)

    def refuse(self, key: str, refusal: str) -> None:
        """Note why Farebox will never take it: it stays for the operator to look at, and isn't tried again."""
        self._write("UPDATE owed SET refusal = ? WHERE key = ?", refusal, key)

    def waiting(self, limit: int) -> list[Owed]:
        """List what is to be taken, oldest first."""
        with self._lock:
            rows = self._database.execute(
                "SELECT owed FROM owed WHERE refusal IS NULL ORDER BY rowid LIMIT ?", (limit,)
            )
            return [Owed.of_json(text) for (text,) in rows]

    def close(self) -> None:
        """Close the file, and remove it if nothing is owed any more."""
        with self._lock:
            ((count,),) = self._database.execute("SELECT count(*) FROM owed")
            self._database.close()
        if not count:
            spool_files.remove(self._path)

    def _write(self, statement: str, *values: str) -> None:
        with self._lock:
            try:
                self._database.execute(statement, values)
            except sqlite3.Error as error:
                # The disk is full, for example. This process knows what is owed all the same, and takes it.
                _log.error("what requests came to can't be written down: %s", error)

    def _inherit(self) -> None:
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            if path == self._path:
                continue
            left = _locked(path)
            if left is None:
                continue
            rows = left.execute("SELECT key, owed, refusal FROM owed ORDER BY rowid").fetchall()
            self._take_over(rows)
            # Removed before it is unlocked, so that no third process takes the same over.
            spool_files.remove(path)
            left.close()
            spool_files.remove(path)
            if rows:
                _log.info("took over what %s requests of a process that ended still owe", len(rows))

    def _take_over(self, rows: Iterable[tuple[str, str, str | None]]) -> None:
        with self._lock:
            self._database.execute("BEGIN")
            self._database.executemany("INSERT OR IGNORE INTO owed VALUES (?, ?, ?)", rows)
            self._database.execute("COMMIT")


def _new_file(folder: Path) -> tuple[Path, sqlite3.Connection]:
    """Make a file that this process owns; before it is locked, another one may take it for what a dead one left."""
    for _ in range(spool_files.NEW_FILES_MAX):
        path = folder / f"{os.getpid()}-{secrets.token_hex(_NAME_BYTES)}{_SUFFIX}"
        spool_files.create(path)
        database = _locked(path)
        if database is not None:
            return path, database
    raise OSError(f"no file can be written in {folder}")


def _locked(path: Path) -> sqlite3.Connection | None:
    """Open a file for this process alone; None if another process has it, or has just removed it."""
    database = None
    try:
        database = spool_files.connect(path)
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("BEGIN EXCLUSIVE")
        database.execute(_SCHEMA)
        database.execute("COMMIT")
    except sqlite3.OperationalError:
        if database is not None:
            database.close()
        return None
    if not path.exists():
        database.close()
        return None
    return database
