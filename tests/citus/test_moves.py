"""A shard that is moved while a batch is under way: the move waits for the batch, and who comes later for the move."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg
import pytest

from farebox.core.commands import SetThresholds
from farebox.core.state import BatchState, ReadSet
from farebox.storage import sql
from farebox.storage.postgres import batch, connector
from farebox.storage.postgres.limits import PostgresLimits
from tests.storage.engines import opened_postgres
from tests.support.ledger import ANN, UNIT, account_of, add_merchant, add_neighbour, add_price, charge, do, wallet

PLACE: Final = """
SELECT p.shardid, n.nodename, n.nodeport
FROM pg_dist_placement p JOIN pg_dist_node n USING (groupid)
WHERE p.shardid = get_shard_id_for_distribution_column('account', $1::bigint)
"""
OTHER_WORKER: Final = """
SELECT nodename, nodeport FROM pg_dist_node WHERE groupid > 0 AND isactive AND (nodename, nodeport) <> ($1, $2) LIMIT 1
"""
MOVE: Final = "SELECT citus_move_shard_placement($1::bigint, $2, $3, $4, $5, 'force_logical')"
LOCKED: Final = "SELECT mode, granted FROM pg_locks WHERE pid = $1 AND locktype = 'advisory' AND objsubid = 8"
"""What a connection has locked of where shards are, or waits to lock: Citus gives these locks the number 8."""

SUBSCRIBES: Final = "SELECT count(*) FROM pg_locks WHERE relation = 'pg_subscription'::regclass AND NOT granted"

PATIENT: Final = PostgresLimits(lock_timeout_ms=60_000, idle_in_transaction_timeout_ms=120_000)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url, command_timeout=120)
    try:
        yield connection
    finally:
        connection.terminate()


async def comes_to_wait(moved: "asyncio.Task[Any]", mover: Any, watcher: Any) -> bool:
    """Wait until a move waits for who changes something in the shard; False if it has come to its end."""
    while not moved.done():
        if ("ExclusiveLock", False) in [tuple(row) for row in await watcher.fetch(LOCKED, mover.get_server_pid())]:
            return True
        await asyncio.sleep(0.02)
    return False


@pytest.mark.timeout(300)
async def test_a_move_waits_for_a_batch_and_the_next_batch_for_the_move(
    spread_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, go_on = asyncio.Event(), asyncio.Event()
    load = batch.load

    async def held_load(connection: Any, reads: ReadSet) -> BatchState:
        state = await load(connection, reads)
        loaded.set()
        await go_on.wait()
        return state

    async with (
        opened_postgres(spread_url, PATIENT) as stores,
        opened_postgres(spread_url, PATIENT) as others,
        connected(spread_url) as mover,
        connected(spread_url) as watcher,
    ):
        await add_merchant(stores, funds=100)
        await add_price(stores)
        shard, *place = await watcher.fetchrow(PLACE, ANN)
        target = await watcher.fetchrow(OTHER_WORKER, *place)
        parts = urlsplit(spread_url)
        user = parts.netloc.rpartition("@")[0]
        at_target = f"postgresql://{user}@{target[0]}:{target[1]}{parts.path}"
        # As it begins, a move waits for all that is under way on the worker, so the batch has to come later than that.
        async with connected(at_target) as holder:
            await holder.execute("BEGIN; LOCK TABLE pg_subscription IN SHARE MODE")
            moved = asyncio.create_task(mover.execute(MOVE, shard, *place, *target))
            while not await holder.fetchval(SUBSCRIBES):
                assert not moved.done()
                await asyncio.sleep(0.02)
            monkeypatch.setattr(connector, "load", held_load)
            charged = asyncio.create_task(do(stores, charge(10)))
            await loaded.wait()
            monkeypatch.setattr(connector, "load", load)
            await holder.execute("ROLLBACK")
        has_waited = await comes_to_wait(moved, mover, watcher)
        changed = asyncio.create_task(do(others, SetThresholds(ANN, (95 * UNIT,))))
        await asyncio.wait([changed], timeout=1)
        has_changed = changed.done()
        go_on.set()
        outcomes = [*await charged, *await changed]
        await moved
        assert [True, True] == [outcome.is_ok for outcome in outcomes]
        assert tuple(target) == tuple(await watcher.fetchrow(PLACE, ANN))[1:]
        assert 90 == await wallet(others)
        assert [95 * UNIT] == [item.amount for item in (await account_of(others)).thresholds]
        assert (True, False) == (has_waited, has_changed)


async def test_the_lock_of_a_batch_is_a_change_of_one_shard(spread_url: str) -> None:
    async with opened_postgres(spread_url, PATIENT) as stores, connected(spread_url) as connection:
        await add_merchant(stores)
        neighbour = await add_neighbour(stores)
        for name, value in PostgresLimits(is_sharded=True).session().items():
            await connection.execute("SELECT set_config($1, $2, false)", name, value)
        await connection.execute(f"PREPARE lock_accounts AS {sql.statements('citus')['lock_accounts']}")
        lock = f"EXECUTE lock_accounts('{{{ANN},{neighbour}}}')"
        await connection.execute(f"BEGIN; {lock}")
        locked = await connection.fetch(LOCKED, connection.get_server_pid())
        assert [("ShareLock", True)] == [tuple(row) for row in locked]
        plan = [row[0].strip() for row in await connection.fetch(f"EXPLAIN (COSTS off) {lock}")]
        assert "Task Count: 1" in plan
        assert any("Update on account" in line for line in plan)
        assert any("LockRows" in line for line in plan)
