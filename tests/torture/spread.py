"""A ledger that Citus spreads, under load: workers are killed and come back, and shards are moved and split."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, Final

import asyncpg

from tests.support.citus import CitusCluster
from tests.support.server import Server, open_farebox
from tests.torture.checker import check
from tests.torture.crashes import USERS, prepare
from tests.torture.load import Figures, Load
from tests.torture.promotion import tortured_server, watched_balance
from tests.torture.requests import Script

REQUESTS: Final = 40
"""How many requests are done before and after each trouble."""

DOWN_S: Final = (0.1, 1.5)
"""How long a worker is down, at least and at most."""

PROGRAM: Final = "tests.torture.short_timeouts_server"

_SHARDS: Final = """
SELECT s.shardid, n.nodename, n.nodeport, CAST(s.shardminvalue AS INTEGER), CAST(s.shardmaxvalue AS INTEGER)
FROM pg_dist_shard s JOIN pg_dist_placement p USING (shardid) JOIN pg_dist_node n USING (groupid)
WHERE s.logicalrelid = 'account'::regclass ORDER BY 1
"""
_WORKERS: Final = "SELECT nodename, nodeport FROM pg_dist_node WHERE groupid > 0 AND isactive ORDER BY groupid"

Trouble = Callable[[Load], Awaitable[None]]


async def kill_workers(cluster: CitusCluster, load: Load, *, rounds: int, seed_number: int) -> None:
    """Kill a worker at a random moment and start it again, so many times."""
    random = Random(seed_number)
    for _ in range(rounds):
        await load.done(REQUESTS)
        worker = random.choice(cluster.workers)
        await asyncio.to_thread(worker.kill)
        load.figures.kills += 1
        await asyncio.sleep(random.uniform(*DOWN_S))
        await asyncio.to_thread(worker.start)
        load.figures.rounds += 1
    await load.done(REQUESTS)


async def move_shards(database_url: str, load: Load, *, rounds: int, seed_number: int) -> None:
    """Move a shard from worker to worker, split it every third time, and put all in balance again at last."""
    random = Random(seed_number)
    connection = await asyncpg.connect(database_url, timeout=60, command_timeout=600)
    try:
        for number in range(rounds):
            await load.done(REQUESTS)
            shard, host, port, first, last = random.choice(await connection.fetch(_SHARDS))
            workers = [tuple(row) for row in await connection.fetch(_WORKERS)]
            other = random.choice([worker for worker in workers if worker != (host, port)] or workers)
            if number % 3 == 2:
                await _split(connection, shard, (first + last) // 2)
            else:
                await connection.execute(
                    "SELECT citus_move_shard_placement($1::bigint, $2, $3, $4, $5)", shard, host, port, *other
                )
            load.figures.rounds += 1
        await load.done(REQUESTS)
        await connection.execute("SELECT rebalance_table_shards()")
        await load.done(REQUESTS)
    finally:
        await connection.close()


async def _split(connection: Any, shard: int, at: int) -> None:
    """Split a shard, and those of all other tables with it, into two on the worker where it is.

    Writers wait meanwhile: by logical replication, two of three splits with Citus 13.2.2 did not end under load.
    """
    await connection.execute(
        """
        SELECT citus_split_shard_by_split_points(
            $1::bigint, ARRAY[$2::text], ARRAY[n.nodeid, n.nodeid]::integer[], 'block_writes'
        )
        FROM pg_dist_placement p JOIN pg_dist_node n USING (groupid) WHERE p.shardid = $1
        """,
        shard,
        str(at),
    )


async def spread_torture(
    database_url: str, trouble: Trouble, *, seed_number: int, program: str = PROGRAM
) -> tuple[Figures, int, Counter[int]]:
    """Run the torture on an empty database.

    Returns:
        What it came to, how many transfers there are, and what became of balances.
    """
    merchants = await prepare(database_url)
    script = Script(merchants, seed_number)
    with contextlib.ExitStack() as stack:
        servers: list[Server] = [tortured_server(database_url, program) for _ in range(2)]
        for server in servers:
            stack.callback(server.close)
            await asyncio.to_thread(server.start)
        load = Load(servers, script)
        async with watched_balance(servers[0], merchants[0]) as answers:
            figures = await load.run(trouble(load))
        for server in servers:
            assert 0 == await asyncio.to_thread(server.stop), server.log()
    async with open_farebox(database_url) as farebox:
        return figures, await check(farebox, merchants, script.requests, users=USERS), answers
