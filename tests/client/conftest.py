"""A real server for all tests of the client, a bad network before it, and both clients behind one face."""

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from farebox_client import AsyncFarebox, Farebox
from tests.client.books import Books, Payer, open_books
from tests.storage.engines import PostgresEngine
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


@contextlib.contextmanager
def running_site(database_url: str) -> Iterator[Site]:
    """Serve a ledger, with the merchant and the keys that `seed` adds."""
    seeds = seeded(database_url, balance="100000")
    with Server(database_url) as server, Misbehaving(server.port) as proxy:
        yield Site(server, proxy, seeds)


on_each_engine = pytest.mark.parametrize("engine_name", ["sqlite", "postgres"], indirect=True)
"""For tests of money: their `site`, their `books` and their `payer` are on each engine in turn."""


@pytest.fixture
def engine_name(request: pytest.FixtureRequest) -> str:
    """What the test's server keeps its ledger in: SQLite, where a test is not marked `on_each_engine`."""
    name: str = getattr(request, "param", "sqlite")
    return name


@pytest.fixture(scope="module")
def sqlite_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the tests of a file may have a ledger of SQLite; `postgres_ledger` is one of PostgreSQL."""
    return f"sqlite:///{tmp_path_factory.mktemp('client') / 'farebox.db'}"


@pytest.fixture(scope="module")
def sqlite_site(sqlite_url: str) -> Iterator[Site]:
    """A server on SQLite."""
    with running_site(sqlite_url) as site:
        yield site


@pytest.fixture(scope="module")
def postgres_site(postgres_ledger: PostgresEngine) -> Iterator[Site]:
    """A server on PostgreSQL."""
    with running_site(postgres_ledger.url) as site:
        yield site


@pytest.fixture
def site(engine_name: str, request: pytest.FixtureRequest) -> Site:
    """The server, with a network that is good until a test tells it otherwise."""
    site: Site = request.getfixturevalue(f"{engine_name}_site")
    site.proxy.misbehave()
    site.proxy.retry_after = None
    return site


@pytest.fixture(scope="module")
def sqlite_books(sqlite_url: str) -> Iterator[Books]:
    """A server on SQLite whose books are replayed at the end."""
    with open_books(sqlite_url) as books:
        yield books


@pytest.fixture(scope="module")
def postgres_books(postgres_ledger: PostgresEngine) -> Iterator[Books]:
    """A server on PostgreSQL whose books are replayed at the end."""
    with open_books(postgres_ledger.url) as books:
        yield books


@pytest.fixture
def books(engine_name: str, request: pytest.FixtureRequest) -> Books:
    """A server whose books are replayed at the end."""
    books: Books = request.getfixturevalue(f"{engine_name}_books")
    return books


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
