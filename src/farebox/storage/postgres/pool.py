"""Connections: a pool of them that forgets those that lead nowhere, and single ones with time limits of their own."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from farebox.storage import sql
from farebox.storage.interface import CommitUnknown, StoreReplaced, StoreUnavailable
from farebox.storage.postgres.errors import translated
from farebox.storage.postgres.hosts import Hosts
from farebox.storage.postgres.limits import PostgresLimits

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

# A stronger setting, remote_apply, is the operator's choice and stays; one that answers before the disk does can't.
_ENSURE_DURABILITY: Final = """
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local')
"""


class PooledConnection(asyncpg.Connection):
    """A connection that knows which of the pool's generations it belongs to."""

    generation = 0


class Pool:
    """The connections of one process; none is kept open for its own sake: one that is missing is made when needed."""

    def __init__(self, hosts: Hosts, limits: PostgresLimits) -> None:
        """Name the hosts; nothing is connected yet."""
        self._hosts = hosts
        self._limits = limits
        self._generation = 0
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def open(self) -> None:
        """Lend connections from now on."""
        self._pool = await asyncpg.create_pool(
            connect=self._hosts.connect,
            connection_class=PooledConnection,
            min_size=0,
            max_size=self._limits.connections_max,
            command_timeout=self._limits.command_timeout_ms / 1000,
            max_cached_statement_lifetime=0,
            server_settings=self._limits.session(),
            init=self._set_up,
            reset=_leave_as_it_is,
        )

    async def close(self) -> None:
        """Wait for what runs and lend no more. Safe to repeat."""
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                async with asyncio.timeout(self._limits.close_timeout_ms / 1000):
                    await pool.close()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                # A server that can't be told good-bye is gone already.
                pool.terminate()

    def renew(self) -> None:
        """Lend no connection any more that was made before."""
        self._generation += 1

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["PoolConnectionProxy[asyncpg.Record]"]:
        """Lend a connection; what an error leaves behind is rolled back, or the connection is closed.

        Raises:
            StoreUnavailable: the pool is not open.
            TimeoutError: no connection could be had in `connect_timeout_ms`.
        """
        pool = self._pool
        if pool is None:
            raise StoreUnavailable("the database is not open")
        async with asyncio.timeout(self._limits.connect_timeout_ms / 1000):
            connection = await self._acquire(pool)
        generation = connection.generation
        try:
            yield connection
        except (
            *(CommitUnknown, StoreReplaced, OSError),
            *(asyncpg.InternalClientError, asyncpg.ReadOnlySQLTransactionError),
        ) as error:
            # One that fell silent or was confused is not to be trusted again.
            discard(connection)
            if generation == self._generation and _leads_nowhere(error):
                self.renew()
            raise
        except Exception:
            await self._roll_back(connection)
            raise
        except BaseException:
            discard(connection)
            raise
        finally:
            # A success stays one, even if the connection breaks as it is given back; the pool replaces it.
            with suppress(Exception):
                await pool.release(connection)

    async def _acquire(self, pool: "asyncpg.Pool[asyncpg.Record]") -> Any:
        """Take a connection of the present generation from the pool."""
        while True:
            connection: Any = await pool.acquire()
            if connection.generation == self._generation:
                return connection
            discard(connection)

    async def _roll_back(self, connection: Connection) -> None:
        """End the transaction after an error, which is on its way to the caller; a connection that can't is closed."""
        try:
            if connection.is_in_transaction():
                await connection.execute("ROLLBACK", timeout=self._limits.rollback_timeout_ms / 1000)
        except Exception:
            discard(connection)
        except BaseException:
            discard(connection)
            raise

    async def _set_up(self, connection: Any) -> None:
        """Ensure that COMMIT means durable, and prepare what begins a batch, unless there is no schema yet."""
        connection.generation = self._generation
        await connection.execute(_ENSURE_DURABILITY)
        statements = sql.statements("citus" if self._limits.is_sharded else "postgres")
        with suppress(asyncpg.UndefinedTableError):
            await connection.execute(f"PREPARE lock_accounts AS {statements['lock_accounts']}")


def _leads_nowhere(error: BaseException) -> bool:
    """Whether a connection fell silent, takes no writes or leads elsewhere: the others, made before, do the same.

    Each would cost a call its whole time limit to find that out. A new one may find the server's successor.
    """
    is_silent = isinstance(error, TimeoutError) or isinstance(error.__cause__, TimeoutError)
    return is_silent or isinstance(error, asyncpg.ReadOnlySQLTransactionError | StoreReplaced)


async def _leave_as_it_is(_: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Skip asyncpg's own reset, a round trip that would undo the durability ensured above, and nothing else."""


def discard(connection: Connection) -> None:
    """Close a connection at once; the server rolls back what it had begun."""
    # One that broke was taken back by its pool already.
    with suppress(asyncpg.InterfaceError):
        connection.terminate()


@asynccontextmanager
async def own_connection(
    hosts: Hosts, limits: PostgresLimits, settings: Mapping[str, str], *, command_timeout_ms: int | None
) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Connect outside the pool, with other time limits."""
    with translated():
        connection = await hosts.connect(
            command_timeout=None if command_timeout_ms is None else command_timeout_ms / 1000,
            server_settings={**limits.session(), **settings},
        )
        try:
            yield connection
        finally:
            # The server ends what is left of a transaction; one that does not answer any more does so by itself.
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=limits.rollback_timeout_ms / 1000)
