"""Connections to one SQLite file: how they are set up, and the driver's errors, wrapped once, here at the edge."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import apsw
import msgspec
from msgspec import Struct

from farebox.storage import sql
from farebox.storage.interface import (
    AlreadyExists,
    LedgerMoved,
    NotFound,
    StorageError,
    StoreFaulty,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)
from farebox.storage.ledger_move import MOVED_PREFIX
from farebox.storage.migrate import DataStep


class SqliteLimits(Struct, frozen=True):
    """The limits of one process on its database. A test may set others."""

    busy_timeout_ms: int = 10_000
    """How long a write waits for another process to finish its own before it is refused."""
    snapshot_chunk_rows: int = 1_000
    """How many rows of a long read are fetched at once: so few that they are in the processor's cache still when they
    are looked at."""
    backup_step_pages: int = 512
    checkpoint_frames: int = 16_000
    """By how many frames, each a page of 4 KiB, the log grows before it is moved into the file. A page that changed
    many times meanwhile, as those of the accounts do, is moved once."""
    log_frames_max: int = 48_000
    """How long the log is when it begins anew, if no reader needs it. After a crash, these 192 MB take a tenth of a
    second to be read again."""


LIMITS: Final = SqliteLimits()
"""Those of a server."""

READER_BUSY_TIMEOUT_MS: Final = 2_000
_FILE_MODE: Final = 0o600
_CACHE_KIB: Final = 32 * 1024
_STATEMENTS_KEPT: Final = 1_000
"""How many places apsw has for compiled statements. Each row that a statement is run for takes another one, so this
many rows may lie between two uses of a statement before it is compiled anew."""

_WAL_AUTOCHECKPOINT_PAGES: Final = 16_000
"""How long the log grows before a COMMIT moves it into the file, on connections that copy or migrate a ledger. Those
that charge leave it to `Checkpoints`."""

_UNAVAILABLE: Final = (
    apsw.BusyError,
    apsw.LockedError,
    apsw.IOError,
    apsw.CantOpenError,
    apsw.PermissionsError,
    apsw.AuthError,
    apsw.InterruptError,
    apsw.NoMemError,
    apsw.ProtocolError,
)
_FAULTY: Final = (apsw.CorruptError, apsw.NotADBError)


def connect(
    path: Path, *, busy_timeout_ms: int, is_new_allowed: bool = False, is_for_one_thread: bool = False
) -> apsw.Connection:
    """Open the file with the settings that every connection has.

    A connection that never serves two threads at a time needs no lock around each value that it reads: a tenth of the
    time of a long read.
    """
    if is_new_allowed:
        # SQLite reports what keeps a file from being made.
        with suppress(OSError):
            create_private(path)
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if is_new_allowed else 0)
    flags |= apsw.SQLITE_OPEN_NOMUTEX if is_for_one_thread else 0
    connection = apsw.Connection(str(path), flags=flags, statementcachesize=_STATEMENTS_KEPT)
    # The first look into a file may have to wait until another process has recovered it from a crash.
    connection.set_busy_timeout(max(busy_timeout_ms, READER_BUSY_TIMEOUT_MS))
    # Plans suit any values. Else SQLite looks at those of some statements, and compiles them anew for each other value.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.pragma("foreign_keys", True)
    connection.pragma("cache_size", -_CACHE_KIB)
    connection.pragma("wal_autocheckpoint", _WAL_AUTOCHECKPOINT_PAGES)
    connection.set_busy_timeout(busy_timeout_ms)
    connection.convert_binding = _as_json
    return connection


def leave_log_to(
    connection: apsw.Connection, committed: Callable[[apsw.Connection, str, int], int], log_frames_max: int
) -> None:
    """Let no COMMIT of a connection move the log; `committed` is told how long it is after each.

    The first COMMIT to a log that begins anew cuts off what is beyond so many frames.
    """
    connection.pragma("journal_size_limit", log_frames_max * connection.pragma("page_size"))
    # It takes the place of the hook that moves the log.
    connection.set_wal_hook(committed)


def create_private(path: Path) -> None:
    """Make an empty file that nobody else may read or write, whatever the umask; SQLite gives its log the same mode.

    Raises:
        FileExistsError: there is one.
    """
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
    try:
        os.fchmod(number, _FILE_MODE)
    finally:
        os.close(number)


def _as_json(_: apsw.Cursor, __: int, values: list[int] | list[str]) -> str:
    """Bind a list, which SQLite does not have, as JSON, which a statement takes apart again."""
    return msgspec.json.encode(values).decode()


def thread(name: str) -> ThreadPoolExecutor:
    """Make a thread that does one thing after the other; it starts with the first."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)


def begin_reading(connection: apsw.Connection) -> None:
    """Begin a read transaction. It sees the moment of its first read, so there must be one."""
    connection.execute("BEGIN")
    connection.execute("SELECT 1 FROM merchant LIMIT 1").fetchall()


@contextmanager
def translated() -> Iterator[None]:
    """Wrap the driver's errors once, here at the edge."""
    try:
        yield
    except apsw.Error as error:
        raise translation(error) from error


def translation(error: apsw.Error) -> StorageError:
    """Say in storage's own terms what the driver reports."""
    text = f"SQLite: {error}"
    match error:
        case apsw.FullError():
            return StoreFull(text)
        case apsw.ReadOnlyError():
            return StoreReadOnly(text)
        case apsw.ConstraintError() if MOVED_PREFIX in str(error):
            return LedgerMoved(str(error).partition(MOVED_PREFIX)[2])
        case apsw.ConstraintError() if "FOREIGN KEY" in str(error):
            return NotFound("no such merchant")
        case apsw.ConstraintError() if "UNIQUE" in str(error):
            return AlreadyExists(f"there already: {error}")
    if isinstance(error, _FAULTY):
        return StoreFaulty(text)
    return StoreUnavailable(text) if isinstance(error, _UNAVAILABLE) else StorageError(text)


def applied_migrations(connection: apsw.Connection) -> list[str]:
    """Name the migrations that the database has had."""
    if not connection.table_exists("main", "farebox_migration"):
        return []
    return [name for (name,) in connection.execute("SELECT name FROM farebox_migration ORDER BY name")]


def apply_part(connection: apsw.Connection, part: str | DataStep, now: int) -> None:
    """Apply a part of a migration: a script, or what SQL can't do."""
    if isinstance(part, str):
        connection.execute(part)
        return
    tables = [connection.execute(statement).fetchall() for statement in part.reads]
    for statement, values in part.plan(tables, now):
        connection.execute(sql.in_dialect(statement, "sqlite"), values)
