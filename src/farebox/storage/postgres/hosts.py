"""The hosts that a database's URL names, tried one after the other."""

from collections import deque
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from farebox.storage.postgres.errors import first_line


class Hosts:
    """The hosts that a URL names: the one that let us in last is tried first, then the others."""

    def __init__(self, url: str, connect_timeout_ms: int) -> None:
        """Take asyncpg's URL apart: given several hosts, it would spend all its time on one that does not answer."""
        self._urls = deque(single_host_urls(url))
        self._timeout_seconds = connect_timeout_ms / 1000 / len(self._urls)

    async def connect(self, *_: object, **options: Any) -> "asyncpg.Connection[asyncpg.Record]":
        """Connect to the first host that lets us in; with several hosts, to one that takes writes."""
        options["timeout"] = self._timeout_seconds
        failures: dict[str, Exception] = {}
        for url in list(self._urls):
            try:
                return await asyncpg.connect(url, **options)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
                failures[url.rpartition("@")[2].partition("/")[0]] = error
                if self._urls[0] is url:
                    self._urls.rotate(-1)
        if len(failures) == 1:
            raise failures.popitem()[1]
        raise ConnectionError("; ".join(f"{host}: {first_line(error)}" for host, error in failures.items()))


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
