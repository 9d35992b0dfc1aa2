"""Facts of a database that an operator wants to know before a server trusts it, as each engine tells them.

Nothing is judged here, nothing is changed, and a database without a schema, or of another program, is told of as well.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

PROGRAM_TABLE = "farebox_migration"
"""The table by which a database is known as a ledger of Farebox."""


class Replica(Struct, frozen=True):
    """A standby that follows a server."""

    name: str
    sync_state: str | None
    """PostgreSQL's own word, such as sync or async; None if this user may not know."""


class ReplicationSlot(Struct, frozen=True):
    """What keeps a server's log for somebody."""

    name: str
    is_active: bool
    kept_bytes: int


class DeadRows(Struct, frozen=True):
    """How many rows of a table live, and how many are dead and take room."""

    table: str
    live: int
    dead: int


class DatabaseClock(Struct, frozen=True):
    """The time that a database's server tells, and ours before and after it was asked, in microseconds since 1970."""

    asked_at: int
    told: int
    answered_at: int

    @property
    def ahead_micros(self) -> int:
        """By how much it is ahead of ours, below zero if behind, to within half of what the question took."""
        return self.told - (self.asked_at + self.answered_at) // 2


class Worker(Struct, frozen=True):
    """A server on which Citus keeps shards."""

    name: str
    problem: str
    """Why it does not answer; empty if it does."""
    version: str
    """Its version of the extension; empty if it does not answer, as are the settings."""
    settings: Mapping[str, str]
    shards: int
    """How many shards of accounts it has."""


class CitusFacts(Struct, frozen=True):
    """The extension Citus in a database, and the servers that it knows."""

    version: str
    """The extension's in the database."""
    installed_version: str
    """The one that the server's programs have."""
    is_coordinator_known: bool
    """Whether workers know the address of the server that was asked."""
    workers: Sequence[Worker]
    unspread: Sequence[str]
    """Tables of the ledger that it neither divides nor copies, though it should."""


class PostgresFacts(Struct, frozen=True):
    """A PostgreSQL server and one of its databases."""

    version: str
    applied: Sequence[str]
    """The migrations that the database has had."""
    other_tables: Sequence[str]
    """Some tables in it that are not Farebox's, if it has no schema of Farebox's."""
    is_standby: bool
    settings: Mapping[str, str]
    """The server's settings for new sessions, by their names."""
    connections: int
    """How many there are, to all of the server's databases, ours included."""
    log_bytes: int | None
    """How long the log is; None if this user may not know."""
    replicas: Sequence[Replica]
    slots: Sequence[ReplicationSlot]
    dead_rows: Sequence[DeadRows]
    invalid_indexes: Sequence[str]
    checksum_failures: int
    clock: DatabaseClock
    citus: CitusFacts | None
    """None if the extension is not in the database."""


class SqliteFacts(Struct, frozen=True):
    """A SQLite file."""

    version: str
    applied: Sequence[str]
    other_tables: Sequence[str]
    journal_mode: str
    log_bytes: int
    quick_check: str | None
    """What SQLite's own quick check says: ok, or the first fault; None if it was not through in time."""


DatabaseFacts = PostgresFacts | SqliteFacts
