"""The primary is gone under load and its synchronous standby is promoted; the server finds it by itself."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from tests.support.postgres import PostgresServer
from tests.support.proxy import Proxy
from tests.support.server import Seeds, Server, open_farebox
from tests.support.wire import Client
from tests.torture.checker import check
from tests.torture.crashes import USERS, prepare
from tests.torture.load import Figures, Load
from tests.torture.requests import Contradiction, Script

Way = Literal["killed", "dark"]
"""How a primary is lost: all its processes are killed; or it is cut off without a word, as when its power fails."""

ROOT: Final = Path(__file__).parents[2]
REQUESTS: Final = 80
"""How many requests are done before the primary is gone, and again once the standby was promoted."""

BALANCE_PAUSE_S: Final = 0.02
BALANCE_FAILED: Final = b'{"isSuccess":false,"statusCode":500,"errorMessage":"Internal server error","data":null}'


async def promotion_torture(
    ways: Sequence[Way], *, seed_number: int, program: str = "farebox"
) -> tuple[Figures, int, Counter[int]]:
    """Promote one standby after another, and return what it came to, how many transfers there are, and the balances.

    Args:
        ways: how the primaries are lost, one after the other.
        seed_number: what clients ask for.
        program: the module that serves.
    """
    async with contextlib.AsyncExitStack() as stack:
        primaries = [stack.enter_context(PostgresServer())]
        # Each stands by for the one before it, which is a standby itself until it is promoted.
        for _ in ways:
            primaries.append(stack.enter_context(primaries[-1].standby()))
        direct_url = primaries[0].create_database()
        urls = [with_hosts(direct_url, f"127.0.0.1:{primary.port}") for primary in primaries]
        networks = [await stack.enter_async_context(Proxy(url)) for url in urls]
        merchants = await prepare(direct_url)
        script = Script(merchants, seed_number)
        server = tortured_server(with_hosts(direct_url, *[network.address for network in networks]), program)
        stack.callback(server.close)
        load = Load([server], script)

        async def lose_primaries() -> None:
            for number, way in enumerate(ways):
                await asyncio.to_thread(primaries[number].wait_for_standby)
                await load.done(REQUESTS)
                if way == "dark":
                    networks[number].stall()
                else:
                    await asyncio.to_thread(primaries[number].kill)
                load.figures.rounds += 1
                load.figures.kills += 1
                await asyncio.to_thread(primaries[number + 1].promote)
                await load.done(REQUESTS)

        # The networks are in this event loop, which must not stand still meanwhile.
        await asyncio.to_thread(server.start)
        async with watched_balance(server, merchants[0]) as answers:
            figures = await load.run(lose_primaries())
        assert server.is_running()
        # A server that goes on ends holds between one look at the ledger and the next.
        await asyncio.to_thread(server.kill)
        async with open_farebox(urls[-1]) as farebox:
            return figures, await check(farebox, merchants, script.requests, users=USERS), answers


def with_hosts(url: str, *hosts: str) -> str:
    """Return a database's URL with other hosts."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@{','.join(hosts)}").geturl()


def tortured_server(database_url: str, program: str) -> Server:
    """Make a server of two processes, run by a program that may be one of these tests' own."""
    return Server(database_url, workers=2, program=program, environment={"PYTHONPATH": str(ROOT)})


@contextlib.asynccontextmanager
async def watched_balance(server: Server, seeds: Seeds) -> AsyncIterator[Counter[int]]:
    """Poll a balance as its merchant does, and count the answers by status; none but the contract's two may come."""
    answers: Counter[int] = Counter()

    async def poll() -> None:
        client = Client(server.port, seeds.merchant_key)
        try:
            while True:
                status, _, body = await client.send("GET", "/api/balance")
                if status != 200 and (status, body) != (500, BALANCE_FAILED):
                    raise Contradiction(f"a balance was answered with {status}: {body!r}")
                answers[status] += 1
                await asyncio.sleep(BALANCE_PAUSE_S)
        finally:
            await client.close()

    polling = asyncio.create_task(poll())
    try:
        yield answers
    finally:
        polling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await polling
