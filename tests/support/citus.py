"""Empty databases of a Citus that runs, for tests: one on each of its servers for each that is made.

`FAREBOX_TEST_CITUS_URL` names a database of its coordinator that knows its workers, and whose user may create databases
and extensions on all of them. Without it nothing is tested against Citus but the text of statements. What kills
servers, or measures, makes a cluster of its own, of the programs of that coordinator, which is on this machine then.
"""

import asyncio
import contextlib
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import asyncpg

from tests.support.postgres import USER, Databases, PostgresError, PostgresServer

URL: Final = os.environ.get("FAREBOX_TEST_CITUS_URL", "")
SHARDS: Final = 4

_NODE: Final = {
    "shared_preload_libraries": "citus",
    "max_connections": "300",
    "max_prepared_transactions": "300",
    # Shards are moved by logical replication, while they are written to.
    "wal_level": "logical",
    "citus.node_conninfo": "sslmode=prefer",
    # What a lost worker left prepared is settled soon after it is back.
    "citus.recover_2pc_interval": "1s",
}


class CitusDatabases(Databases):
    """Hands out empty databases of a coordinator, each with workers of its own on the workers' servers."""

    def create_database(self) -> str:
        """Create an empty database with a name of its own, and return its URL."""
        name = f"farebox_test_{secrets.token_hex(8)}"
        _run(self._create(name))
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drop a database on all servers, whoever is still connected to it."""
        _run(self._drop(urlsplit(url).path.lstrip("/")))

    async def _servers(self) -> list[tuple[str, int]]:
        connection = await asyncpg.connect(self._admin_url)
        try:
            found = await connection.fetch("SELECT nodename, nodeport FROM pg_dist_node ORDER BY groupid")
            return [(row[0], row[1]) for row in found]
        finally:
            await connection.close()

    async def _create(self, name: str) -> None:
        servers = await self._servers()
        for server in servers:
            await self._execute_at(server, "postgres", f"CREATE DATABASE {name} TEMPLATE template0 LOCALE 'C'")
            await self._execute_at(server, name, "CREATE EXTENSION citus", *self._first_statements())
        (host, port), *workers = servers
        await self._execute_at(
            servers[0],
            name,
            f"ALTER DATABASE {name} SET citus.shard_count = {SHARDS}",
            # Tests have little in each shard: one connection to each worker is made sooner than several.
            f"ALTER DATABASE {name} SET citus.max_adaptive_executor_pool_size = 1",
            f"SELECT citus_set_coordinator_host('{host}', {port})",
            *[f"SELECT citus_add_node('{host}', {port})" for host, port in workers],
        )

    async def _drop(self, name: str) -> None:
        for server in await self._servers():
            await self._execute_at(server, "postgres", f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _first_statements(self) -> list[str]:
        """Tell statements that a new database on each server begins with, before they know one another."""
        return []

    async def _execute_at(self, server: tuple[str, int], database: str, *statements: str) -> None:
        parts = urlsplit(self._admin_url)
        connection = await asyncpg.connect(
            host=server[0], port=server[1], user=parts.username, password=parts.password, database=database
        )
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()


class CitusCluster(CitusDatabases):
    """A Citus of the test's own, whose servers it may kill: each commit reaches the disk if it is `durable`.

    with CitusCluster(workers=2) as cluster, cluster.database() as url:
        cluster.workers[0].kill()
        cluster.workers[0].start()
    """

    def __init__(self, workers: int, *, durable: bool = False) -> None:
        """Make so many workers and a coordinator; none runs yet. Without a worker, the coordinator has all shards."""
        programs = programs_of(URL)
        self.coordinator = PostgresServer(durable=durable, settings=_NODE, programs=programs)
        # A password for all: it stands in each database, so that servers let one another in.
        self.workers = [
            PostgresServer(durable=durable, settings=_NODE, programs=programs, original=self.coordinator)
            for _ in range(workers)
        ]
        self._stack = contextlib.ExitStack()
        super().__init__("")

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            for server in (self.coordinator, *self.workers):
                stack.enter_context(server)
            self._admin_url = self.coordinator.url("postgres")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    async def _servers(self) -> list[tuple[str, int]]:
        return [("127.0.0.1", server.port) for server in (self.coordinator, *self.workers)]

    def _first_statements(self) -> list[str]:
        password = urlsplit(self._admin_url).password
        return [f"INSERT INTO pg_dist_authinfo VALUES (0, '{USER}', 'password={password}')"]


def programs_of(url: str) -> Path:
    """Tell where the programs of a server are, which runs on this machine.

    Raises:
        PostgresError: they are not there.
    """

    async def ask() -> str:
        connection = await asyncpg.connect(url)
        try:
            return str(await connection.fetchval("SELECT setting FROM pg_config WHERE name = 'BINDIR'"))
        finally:
            await connection.close()

    programs = Path(_run(ask()))
    if not (programs / "initdb").exists():
        raise PostgresError(f"The programs of {urlsplit(url).hostname} are not on this machine, at {programs}.")
    return programs


def _run(work: Any) -> Any:
    # Coroutines call this too, and an event loop can't be run within another: so it gets a thread.
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(asyncio.run, work).result()
