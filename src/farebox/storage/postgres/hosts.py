"""The hosts that a database's URL names, tried one after the other."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from farebox.storage.interface import StorageError, StoreReplaced, StoreUnavailable
from farebox.storage.postgres.errors import first_line


class Hosts:
    """The hosts that a URL names: the one that let us in last is tried first, then the others."""

    def __init__(
        self,
        url: str,
        connect_timeout_ms: int,
        check: "Callable[[asyncpg.Connection[asyncpg.Record]], Awaitable[None]] | None" = None,
    ) -> None:
        """Take asyncpg's URL apart: given several hosts, it would spend all its time on one that does not answer.

        `check` sees whether a connection leads to the right database; one that it refuses is as one not made.
        """
        self._check = check
        self._urls = deque(single_host_urls(url))
        self._timeout_seconds = connect_timeout_ms / 1000 / len(self._urls)

    async def connect(self, *_: object, **options: Any) -> "asyncpg.Connection[asyncpg.Record]":
        """Connect to the first host that lets us in; with several hosts, to one that takes writes."""
        options["timeout"] = self._timeout_seconds
        failures: dict[str, Exception] = {}
        for url in list(self._urls):
            try:
                return await self._connect(url, options)
            except (
                *(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError),
                StorageError,
            ) as error:
                failures[url.rpartition("@")[2].partition("/")[0]] = error
                if self._urls[0] is url:
                    self._urls.rotate(-1)
        if len(failures) == 1:
            raise failures.popitem()[1]
        text = "; ".join(f"{host}: {first_line(error)}" for host, error in failures.items())
        # While one of them can't be reached, it may be the right one.
        is_replaced = all(isinstance(error, StoreReplaced) for error in failures.values())
        raise StoreReplaced(text) if is_replaced else StoreUnavailable(f"PostgreSQL: {text}")

    async def _connect(self, url: str, options: dict[str, Any]) -> "asyncpg.Connection[asyncpg.Record]":
        connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(url, **options)
        if self._check is not None:
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    await self._check(connection)
            except BaseException:
                connection.terminate()
                raise
        return connection


def single_host_urls(url: str) -> list[str]:
    """Split a URL with several hosts into one for each, which asks for writes unless it asks for anything else."""
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    if "," not in hosts:
        return [url]
    query = parts.query
    if "target_session_attrs=" not in query:
        query = f"{query}&target_session_attrs=read-write".lstrip("&")
    return [urlunsplit(parts._replace(netloc=f"{login}{at}{host}", query=query)) for host in hosts.split(",")]
