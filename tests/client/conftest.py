"""A real server for all tests of the client, a bad network before it, and both clients behind one face."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from farebox_client import AsyncFarebox, Farebox
from tests.client.books import Books, Payer, open_books
from tests.support.misbehaving import Misbehaving
from tests.support.server import Seeds, Server, seeded

TIMEOUT_S = 1.5
"""How long an attempt may last where the network is bad."""

CALLS_MAX = 32
"""How many calls of a blocking client are under way at once."""


@dataclass(frozen=True)
class Site:
    """A server and what is in its ledger, and the proxy before it."""

    server: Server
    proxy: Misbehaving
    seeds: Seeds


@pytest.fixture(scope="module")
def running_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server on SQLite, with the merchant and the keys that `seed` adds."""
    url = f"sqlite:///{tmp_path_factory.mktemp('client') / 'farebox.db'}"
    seeds = seeded(url, balance="100000")
    with Server(url) as server, Misbehaving(server.port) as proxy:
        yield Site(server, proxy, seeds)


@pytest.fixture
def site(running_site: Site) -> Site:
    """The server, with a network that is good until a test tells it otherwise."""
    running_site.proxy.misbehave()
    running_site.proxy.retry_after = None
    return running_site


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    """A server whose books are replayed at the end."""
    with open_books(tmp_path_factory.mktemp("books")) as books:
        yield books


@pytest.fixture
def payer(books: Books) -> Payer:
    """A merchant with money, in these books."""
    return books.payer()


class InThreads:
    """A blocking client, with the face of the asynchronous one: each call runs in a thread of its own."""

    def __init__(self, farebox: Farebox) -> None:
        self._farebox = farebox
        # The loop's own are few where processors are few, and calls would wait for one another.
        self._threads = ThreadPoolExecutor(CALLS_MAX)

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._farebox, name)

        def call(*arguments: Any, **named: Any) -> Awaitable[Any]:
            loop = asyncio.get_running_loop()
            return loop.run_in_executor(self._threads, functools.partial(method, *arguments, **named))

        return call

    async def aclose(self) -> None:
        await asyncio.to_thread(self._farebox.close)
        self._threads.shutdown()


AnyClient = AsyncFarebox | InThreads
Connect = Callable[..., AnyClient]


def connect_async(url: str, **settings: Any) -> AnyClient:
    return AsyncFarebox(url, **settings)


def connect_blocking(url: str, **settings: Any) -> AnyClient:
    return InThreads(Farebox(url, **settings))


@pytest.fixture(params=[connect_async, connect_blocking], ids=["asynchronous", "blocking"])
def connect(request: pytest.FixtureRequest) -> Connect:
    """A way to connect a client, of each kind in turn."""
    way: Connect = request.param
    return way
