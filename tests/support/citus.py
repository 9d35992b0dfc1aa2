"""Empty databases of a Citus that runs, for tests: one on each of its servers for each that is made.

`FAREBOX_TEST_CITUS_URL` names a database of its coordinator that knows its workers, and whose user may create databases
and extensions on all of them. Without it nothing is tested against Citus but the text of statements.
"""

import asyncio
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg

from tests.support.postgres import Databases

URL: Final = os.environ.get("FAREBOX_TEST_CITUS_URL", "")
SHARDS: Final = 4


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
            await self._execute_at(server, name, "CREATE EXTENSION citus")
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

    async def _execute_at(self, server: tuple[str, int], database: str, *statements: str) -> None:
        user = urlsplit(self._admin_url).username
        connection = await asyncpg.connect(host=server[0], port=server[1], user=user, database=database)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()


def _run(work: Any) -> None:
    # Coroutines call this too, and an event loop can't be run within another: so it gets a thread.
    with ThreadPoolExecutor(1) as executor:
        executor.submit(asyncio.run, work).result()
