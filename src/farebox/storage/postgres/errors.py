"""The driver's errors, wrapped once, here at the edge."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg

from farebox.storage.interface import (
    AlreadyExists,
    LedgerMoved,
    NotFound,
    StorageError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)
from farebox.storage.ledger_move import MOVED_SQLSTATE

_UNAVAILABLE_CLASSES: Final = ("08", "28", "3D", "53", "57", "58")
"""SQLSTATE classes: connection, login, no such database, too few resources, operator intervention, system error."""

_UNAVAILABLE: Final = frozenset(
    {
        asyncpg.LockNotAvailableError.sqlstate,
        asyncpg.IdleInTransactionSessionTimeoutError.sqlstate,
    }
)
_LOST_RACES: Final = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    # A migration changed a table under a prepared statement, which asyncpg has forgotten now.
    asyncpg.InvalidCachedStatementError,
)


class LostRace(StoreUnavailable):
    """A transaction failed before COMMIT only because of others; the same again may succeed."""


@contextmanager
def translated() -> Iterator[None]:
    """Wrap the driver's errors once, here at the edge."""
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        raise translation(error) from error


def translation(error: BaseException) -> StorageError:
    """Say in storage's own terms what the driver reports."""
    text = f"PostgreSQL: {first_line(error)}"
    if isinstance(error, _LOST_RACES):
        return LostRace(text)
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return StoreReadOnly(text)
    if isinstance(error, asyncpg.DiskFullError):
        return StoreFull(text)
    if isinstance(error, asyncpg.ForeignKeyViolationError):
        return NotFound("no such merchant")
    if isinstance(error, asyncpg.UniqueViolationError):
        return AlreadyExists(f"there already: {error.constraint_name}")
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        if state == MOVED_SQLSTATE:
            return LedgerMoved(first_line(error))
        is_unavailable = state in _UNAVAILABLE or state.startswith(_UNAVAILABLE_CLASSES)
    else:
        # A ValueError is about a value or a setting; all else that asyncpg itself has to say is about the connection.
        is_unavailable = not isinstance(error, ValueError)
    return StoreUnavailable(text) if is_unavailable else StorageError(text)


def first_line(error: BaseException) -> str:
    """Say what went wrong, without the lines that follow: those show rows."""
    return str(error).partition("\n")[0] or type(error).__name__


def is_not_supported(error: StorageError) -> bool:
    """Whether the database said that it can't do what a statement asks; so does Citus, of shards that have changed."""
    return isinstance(error.__cause__, asyncpg.FeatureNotSupportedError)
