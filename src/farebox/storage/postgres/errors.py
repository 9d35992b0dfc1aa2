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
    StoreFaulty,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)
from farebox.storage.ledger_move import MOVED_SQLSTATE

_LOST_WORKERS: Final = (
    *("terminating connection", "failure on connection", "connection not open", "connection to the remote node"),
    *("server closed the connection", "could not receive data", "could not send data", "could not connect"),
    *("SSL SYSCALL error", "SSL connection has been closed", "no connection to the server"),
)
"""How messages begin that tell that Citus lost a worker: what its own client library says has no SQLSTATE."""


class LostRace(StoreUnavailable):
    """A transaction failed before COMMIT only because of others; the same again may succeed."""


BY_STATE: Final[dict[str, type[StorageError]]] = {
    # Connections and logins: none, refused, or of a database that is not there.
    "08": StoreUnavailable,
    "28": StoreUnavailable,
    "3D000": StoreUnavailable,
    # What a value or a reference got wrong, of which a row tells more than a class.
    "23503": NotFound,
    "23505": AlreadyExists,
    # A standby, or a database that was set to read only; time limits on a transaction that did nothing.
    "25006": StoreReadOnly,
    "25P03": StoreUnavailable,
    "25P04": StoreUnavailable,
    # Others were in the way.
    "40": LostRace,
    "55P03": StoreUnavailable,
    "55006": StoreUnavailable,
    "72": LostRace,
    # A file that may not be written, as on a file system that was mounted anew to be read, is told as a lack of rights.
    "42501": StoreFaulty,
    # Too few resources: a disk, memory, connections.
    "53": StoreUnavailable,
    "53100": StoreFull,
    # A limit of the server's, such as the one that ends transactions before their numbers run out.
    "54": StoreFaulty,
    # Somebody, a time limit or a crash ended it.
    "57": StoreUnavailable,
    # The operating system; and what PostgreSQL has no name for, such as a file that may not grow, or rows and indexes
    # that are damaged.
    "58": StoreFaulty,
    "F0": StoreUnavailable,
    "XX": StoreFaulty,
    MOVED_SQLSTATE: LedgerMoved,
}
"""What an SQLSTATE says, by the whole of it or else by its class; anything else is a mistake of this program's."""


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
    # A migration changed a table under a prepared statement, which asyncpg has forgotten now.
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        return LostRace(text)
    if not isinstance(error, asyncpg.PostgresError):
        # A ValueError is about a value or a setting; all else that asyncpg itself has to say is about the connection.
        return StorageError(text) if isinstance(error, ValueError) else StoreUnavailable(text)
    if isinstance(error, asyncpg.InternalServerError) and str(error).startswith(_LOST_WORKERS):
        return StoreUnavailable(text)
    state = error.sqlstate or ""
    kind = BY_STATE.get(state) or BY_STATE.get(state[:2], StorageError)
    if kind is NotFound:
        return NotFound("no such merchant")
    if kind is AlreadyExists:
        return AlreadyExists(f"there already: {error.constraint_name}")
    return kind(first_line(error) if kind is LedgerMoved else text)


def first_line(error: BaseException) -> str:
    """Say what went wrong, without the lines that follow: those show rows."""
    return str(error).partition("\n")[0] or type(error).__name__


def is_not_supported(error: StorageError) -> bool:
    """Whether the database said that it can't do what a statement asks; so does Citus, of shards that have changed."""
    return isinstance(error.__cause__, asyncpg.FeatureNotSupportedError)
