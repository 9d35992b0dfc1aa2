"""Crash torture: servers are killed under mixed load, again and again; then the books are held against the record."""

import contextlib
from collections.abc import Sequence
from typing import Final

from farebox.core.commands import SetThresholds
from tests.support.server import Seeds, Server, open_farebox, seed
from tests.torture.checker import check
from tests.torture.load import Figures, Load
from tests.torture.requests import RULES, Script

MERCHANTS: Final = 3
USERS: Final = 2
BALANCE: Final = "20"
"""Little enough that thresholds are crossed and charges refused, again and again."""

THRESHOLDS: Final = (5_000_000, 10_000_000, 15_000_000)


async def prepare(database_url: str) -> list[Seeds]:
    """Make a ledger of merchants with users, money and armed thresholds in an empty database."""
    async with open_farebox(database_url) as farebox:
        merchants: list[Seeds] = []
        for request_type, rule in RULES.items():
            await farebox.services.prices.set(request_type, rule=rule)
        for _ in range(MERCHANTS):
            seeds = await seed(farebox, balance=None)
            await farebox.committer.submit(SetThresholds(seeds.merchant_id, ()))
            for number in range(USERS):
                await farebox.services.merchants.add_user(seeds.merchant_id, f"user{number}@example.com")
            outcome = await farebox.services.operations.top_up(
                seeds.merchant_id, amount=BALANCE, reference="INV-1", note=None, principal=None
            )
            assert outcome.is_ok
            # Set once they are reached, so that all are armed and none fires now.
            await farebox.committer.submit(SetThresholds(seeds.merchant_id, THRESHOLDS))
            merchants.append(seeds)
    return merchants


async def crash_torture(database_url: str, *, servers: int, rounds: int, seed_number: int) -> tuple[Figures, int]:
    """Run the torture on an empty database and return what it came to, and how many transfers there are."""
    merchants = await prepare(database_url)
    script = Script(merchants, seed_number)
    with contextlib.ExitStack() as stack:
        running: Sequence[Server] = [stack.enter_context(Server(database_url)) for _ in range(servers)]
        load = Load(running, script)
        figures = await load.run(load.kills(rounds, seed_number))
        for server in running:
            assert 0 == server.stop(), server.log()
            server.start()
    async with open_farebox(database_url) as farebox:
        return figures, await check(farebox, merchants, script.requests, users=USERS)
