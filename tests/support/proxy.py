"""The network between a server and PostgreSQL, when it is bad: slow, cut at any byte, or silent without a word."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

COMMIT: Final = b"COMMIT\0"
"""How a COMMIT ends on the wire."""

CHUNK_BYTES: Final = 65_536
CUT_BYTES_MAX: Final = 20_000
"""A connection that is to be cut is cut before it has carried so many bytes in one direction."""


@dataclass(eq=False)
class _Link:
    """One connection, with its two ends."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    left: dict[str, int] = field(default_factory=dict)
    """How many bytes a direction carries until the connection is cut, if it ever is."""
    is_answer_lost: bool = False
    """Whether it is cut as soon as the server answers."""
    is_open: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while it carries anything."""

    def cut(self) -> None:
        """Break both ends off at once."""
        for end in (self.client, self.server):
            end.transport.abort()


class Proxy:
    """A port of 127.0.0.1 that leads to another one, over a network that a test makes bad.

        async with Proxy(database_url) as proxy:
            Stores.over(PostgresConnector(proxy.url))

    The troubles may be changed at any time: `latency_s` in each direction; `cut_share` of the new connections are cut
    at a random byte, of the one direction or the other; `commit_cut_share` of the COMMITs lose their answer, or are
    lost themselves; `stalls_at_commit` lets the next COMMIT through, and then stalls the connections that there are.
    """

    def __init__(self, url: str, *, seed: int = 0) -> None:
        self._parts = urlsplit(url)
        self._random = Random(seed)
        self._listener: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_open = asyncio.Event()
        self._is_open.set()
        self.latency_s = 0.0
        self.cut_share = 0.0
        self.commit_cut_share = 0.0
        self.stalls_at_commit = False
        self.cuts = 0
        self.commit_cuts = 0

    @property
    def address(self) -> str:
        """Host and port, as they stand in a URL."""
        assert self._listener is not None
        return f"127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"

    @property
    def url(self) -> str:
        """The database's URL by way of this network."""
        return self._parts._replace(netloc=f"{self._parts.netloc.rpartition('@')[0]}@{self.address}").geturl()

    def stall(self) -> None:
        """Pass nothing on from now on, in no direction, of old connections and new ones; close none."""
        self._is_open.clear()
        self.stall_old()

    def stall_old(self) -> None:
        """Pass nothing more on of the connections that there are; new ones work, as with a machine's successor."""
        for link in self._links:
            link.is_open.clear()

    def resume(self) -> None:
        """Pass everything on again, first what was held up."""
        self._is_open.set()
        for link in self._links:
            link.is_open.set()

    def cut_all(self) -> None:
        """Cut every connection that there is."""
        for link in list(self._links):
            link.cut()

    def heal(self) -> None:
        """Make the network a good one for new connections."""
        self.latency_s = self.cut_share = self.commit_cut_share = 0.0
        self.resume()

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._listener is not None
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(from_client, to_client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            # A caller of a machine that is gone hears nothing, not even a refusal.
            await self._is_open.wait()
            with contextlib.suppress(OSError):
                from_server, to_server = await asyncio.open_connection(self._parts.hostname, self._parts.port)
                link = self._link(to_client, to_server)
                try:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(self._carry(link, from_client, to_server, lambda data: self._up(link, data)))
                        group.create_task(
                            self._carry(link, from_server, to_client, lambda data: self._down(link, data))
                        )
                finally:
                    self._links.discard(link)
                    link.cut()
        finally:
            to_client.transport.abort()

    def _link(self, to_client: asyncio.StreamWriter, to_server: asyncio.StreamWriter) -> _Link:
        link = _Link(to_client, to_server)
        link.is_open.set()
        self._links.add(link)
        if self._random.random() < self.cut_share:
            link.left[self._random.choice(["up", "down"])] = self._random.randrange(CUT_BYTES_MAX)
        return link

    async def _carry(
        self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passed: Callable[[bytes], bytes]
    ) -> None:
        """Carry bytes one way until there are no more, or the connection is cut."""
        try:
            while data := await reader.read(CHUNK_BYTES):
                if self.latency_s:
                    await asyncio.sleep(self.latency_s)
                await link.is_open.wait()
                rest = passed(data)
                if rest:
                    writer.write(rest)
                    await writer.drain()
                if rest != data:
                    return
            # The side that ends a connection tells the other one, once that can be told anything.
            await link.is_open.wait()
            if not writer.is_closing():
                writer.write_eof()
        except OSError:
            await link.is_open.wait()
            link.cut()

    def _up(self, link: _Link, data: bytes) -> bytes:
        """Return what of a client's bytes reaches the server."""
        if COMMIT in data and self._random.random() < self.commit_cut_share:
            self.commit_cuts += 1
            if self._random.random() < 0.5:
                link.cut()
                return b""
            link.is_answer_lost = True
        if COMMIT in data and self.stalls_at_commit:
            self.stalls_at_commit = False
            self.stall_old()
        return self._until_cut(link, "up", data)

    def _down(self, link: _Link, data: bytes) -> bytes:
        """Return what of the server's bytes reaches a client."""
        if link.is_answer_lost:
            link.cut()
            return b""
        return self._until_cut(link, "down", data)

    def _until_cut(self, link: _Link, direction: str, data: bytes) -> bytes:
        left = link.left.get(direction)
        if left is None:
            return data
        link.left[direction] = left - len(data)
        if len(data) > left:
            self.cuts += 1
            asyncio.get_running_loop().call_soon(link.cut)
        return data[:left]
