"""Facts of a SQLite file: it is read and not written to, not even its settings."""

import time
from pathlib import Path
from typing import Final

import apsw

from farebox.storage.examination import PROGRAM_TABLE, SqliteFacts
from farebox.storage.sqlite.connection import READER_BUSY_TIMEOUT_MS, applied_migrations, translated

_OTHER_TABLES: Final = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name LIMIT 5"
_STEPS_BETWEEN_LOOKS: Final = 1_000
"""How many steps SQLite's check makes between two looks at the time."""


def examine(path: Path, *, check_seconds_max: int) -> SqliteFacts:
    """Tell of a file, and let SQLite check it for as long as that may take.

    Raises:
        StorageError: it can't be opened, or is no database.
    """
    with translated():
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            connection.set_busy_timeout(READER_BUSY_TIMEOUT_MS)
            applied = applied_migrations(connection)
            has_schema = connection.table_exists("main", PROGRAM_TABLE)
            tables = [] if has_schema else [name for (name,) in connection.execute(_OTHER_TABLES)]
            return SqliteFacts(
                version=apsw.sqlite_lib_version(),
                applied=applied,
                other_tables=tables,
                journal_mode=str(connection.pragma("journal_mode")),
                log_bytes=_size(path.with_name(path.name + "-wal")),
                quick_check=_quick_check(connection, check_seconds_max),
            )
        finally:
            connection.close()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _quick_check(connection: apsw.Connection, seconds_max: int) -> str | None:
    deadline = time.monotonic() + seconds_max
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS_BETWEEN_LOOKS)
    try:
        return str(connection.execute("PRAGMA quick_check(1)").get)
    except apsw.InterruptError:
        return None
