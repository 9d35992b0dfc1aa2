"""The files of a spool: SQLite databases that nobody but their owner may read, as keys of merchants may be in them."""

import os
import sqlite3
from pathlib import Path
from typing import Final

_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600
_SIDE_SUFFIXES: Final = ("-wal", "-shm", "-journal")

NEW_FILES_MAX: Final = 10
"""How many files a process makes until one is its own: another process may lock one first, or none can be locked."""


def make_folder(folder: Path) -> None:
    """Make a folder for spools, if it is missing."""
    folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)


def create(path: Path) -> None:
    """Make an empty file with its owner's mode from the start, as SQLite gives those beside it the mode that it has."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, _FILE_MODE))


def connect(path: Path) -> sqlite3.Connection:
    """Open a file that is there; one that another process has removed is not made again.

    Raises:
        sqlite3.OperationalError: it is not there.
    """
    uri = f"{path.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=0, check_same_thread=False)


def remove(path: Path) -> None:
    """Remove a file and those that SQLite has beside it, as far as they are there."""
    for each in (path, *(path.with_name(path.name + suffix) for suffix in _SIDE_SUFFIXES)):
        each.unlink(missing_ok=True)
