"""The network between servers and PostgreSQL goes bad under load: slow, cut at any byte, silent without a word."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from typing import Final

from tests.support.proxy import Proxy
from tests.support.server import open_farebox
from tests.torture.checker import check
from tests.torture.crashes import USERS, prepare
from tests.torture.load import PAUSE_S, SETTLE_S, Figures, Load
from tests.torture.promotion import tortured_server, watched_balance
from tests.torture.requests import Script

REQUESTS: Final = 40
"""How many requests are done with each trouble."""

LATENCY_S: Final = 0.005
CUTS: Final = 12


async def _reached(count: Callable[[], int], more: int) -> None:
    """Wait until a count has gone up by so much."""
    aim = count() + more
    async with asyncio.timeout(SETTLE_S):
        while count() < aim:
            await asyncio.sleep(PAUSE_S)


async def network_torture(
    database_url: str, *, seed_number: int, rounds: int, stall_s: float, program: str = "farebox"
) -> tuple[Figures, int, Counter[int], Proxy]:
    """Run the torture on an empty database and return what it came to, and what became of balances.

    Args:
        database_url: an empty database.
        seed_number: what happens.
        rounds: how often each trouble comes.
        stall_s: how long the network falls silent.
        program: the module that serves.
    """
    merchants = await prepare(database_url)
    script = Script(merchants, seed_number)
    async with contextlib.AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(Proxy(database_url, seed=seed_number))
        server = tortured_server(proxy.url, program)
        stack.callback(server.close)
        await asyncio.to_thread(server.start)
        load = Load([server], script)

        async def trouble() -> None:
            for _ in range(rounds):
                proxy.latency_s = LATENCY_S
                await load.done(REQUESTS)
                proxy.heal()
                proxy.cut_share = 1.0
                proxy.cut_all()
                await _reached(lambda: proxy.cuts, CUTS)
                proxy.heal()
                proxy.commit_cut_share = 0.3
                await _reached(lambda: proxy.commit_cuts, CUTS)
                proxy.heal()
                proxy.stall()
                await asyncio.sleep(stall_s)
                proxy.resume()
                await load.done(REQUESTS)
                load.figures.rounds += 1

        async with watched_balance(server, merchants[0]) as answers:
            figures = await load.run(trouble())
        assert 0 == await asyncio.to_thread(server.stop), server.log()
    async with open_farebox(database_url) as farebox:
        return figures, await check(farebox, merchants, script.requests, users=USERS), answers, proxy
