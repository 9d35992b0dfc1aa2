"""How long PostgreSQL may take for what, and how much of it there is at most."""

from typing import Final

from msgspec import Struct


class PostgresLimits(Struct, frozen=True):
    """The limits of one process on its database. A test may set others."""

    connections_max: int = 10
    """How many connections one process keeps at most, a snapshot's own not counted."""
    batches_at_once: int = 4
    """Into how many parts a large batch is divided at most, each with a connection of its own."""
    connect_timeout_ms: int = 10_000
    """How long a call waits for a connection, a new one or one that another call gives back. Hosts share it evenly."""
    lock_timeout_ms: int = 5_000
    """How long a statement waits for a row that another transaction has locked."""
    statement_timeout_ms: int = 10_000
    """How long a statement may take; the server cancels one that takes longer."""
    idle_in_transaction_timeout_ms: int = 15_000
    """How long a transaction may lie idle: a machine that died while it held locks holds them no longer than this."""
    command_timeout_ms: int = 15_000
    """How long the program waits for an answer when even the server's own time limits are not heard of: its machine may
    be gone without a word, or the network between."""
    commit_timeout_ms: int = 10_000
    """How long COMMIT may take before its fate counts as unknown. The connection is closed then, COMMIT is never
    cancelled: a server whose COMMIT waits for a standby would stop waiting and take it for done."""
    rollback_timeout_ms: int = 5_000
    close_timeout_ms: int = 40_000
    snapshot_chunk_rows: int = 5_000
    snapshot_statement_timeout_ms: int = 30_000
    """As `statement_timeout_ms`, for a snapshot, which reads much at a time and holds up nobody."""
    snapshot_idle_timeout_ms: int = 600_000
    """How long a snapshot's reader may pause: it holds no lock, but keeps the server from clearing old rows away."""
    snapshot_command_timeout_ms: int = 40_000
    migration_lock_timeout_ms: int = 60_000
    """How long a migration waits for another one, and for the tables that it changes."""

    is_sharded: bool = False
    """Whether tables are spread by Citus, which finds a statement's shard in the values that it is planned for."""

    def session(self) -> dict[str, str]:
        """Return the settings of every session."""
        settings = {
            "lock_timeout": str(self.lock_timeout_ms),
            "statement_timeout": str(self.statement_timeout_ms),
            "idle_in_transaction_session_timeout": str(self.idle_in_transaction_timeout_ms),
            # A plan that suits any values is made once, and never from what the tables happened to hold at the time.
            "plan_cache_mode": "force_generic_plan",
            "enable_seqscan": "off",
            # Plans that are made costly above must not look worth compiling.
            "jit": "off",
        }
        if self.is_sharded:
            settings["plan_cache_mode"] = "auto"
            # Citus looks at each table whether it is a shard, to hide it: what the driver asks first of types of values
            # takes three seconds then, on each connection.
            settings["citus.override_table_visibility"] = "off"
        return settings


LIMITS: Final = PostgresLimits()
"""Those of a server."""
