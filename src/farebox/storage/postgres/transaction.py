"""Transactions: begun, tried again when they lose a race, and a COMMIT that is seen through."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from farebox.storage.interface import CommitUnknown, StoreUnavailable
from farebox.storage.postgres.errors import LostRace, first_line, translated
from farebox.storage.postgres.pool import Connection, Pool, discard

TRANSACTION_ATTEMPTS_MAX: Final = 5
"""How often a transaction is tried that loses a race before COMMIT."""

BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"

_Result = TypeVar("_Result")


async def run_transaction(
    pool: Pool,
    work: Callable[[Connection], Awaitable[_Result]],
    *,
    commit_timeout_ms: int,
    is_change: Callable[[_Result], bool] = lambda _: True,
    begin: str = BEGIN,
) -> _Result:
    """Run `work` in a transaction that `begin` begins and COMMIT, or roll back if its result is no change.

    Any error rolls back. `work` runs again if the transaction loses a race before COMMIT.
    """

    async def attempt() -> _Result:
        with translated():
            async with pool.connection() as connection:
                await connection.execute(begin)
                result = await work(connection)
                if is_change(result):
                    await commit(connection, commit_timeout_ms)
                else:
                    # COMMIT would wait for the disk, to write no more than that rows were locked.
                    await connection.execute("ROLLBACK")
                return result

    for _ in range(TRANSACTION_ATTEMPTS_MAX - 1):
        try:
            return await attempt()
        except LostRace:
            continue
    return await attempt()


async def commit(connection: Connection, timeout_ms: int) -> None:
    """COMMIT, and see it through even if the caller goes away.

    Raises:
        CommitUnknown: on any error whatever, or if no answer comes in time.
        StoreUnavailable: the server had rolled back by itself, and nothing is committed.
    """
    if await run_to_its_end(connection, timeout_ms, "COMMIT") != "COMMIT":
        raise StoreUnavailable("PostgreSQL had given the transaction up before COMMIT")


async def run_to_its_end(connection: Connection, timeout_ms: int, statement: str, *values: Any) -> str:
    """Run a statement that commits, and see it through even if the caller goes away; return what the server says of it.

    Raises:
        CommitUnknown: on any error whatever, or if no answer comes in time.
    """
    # The driver's own time limit would cancel the COMMIT, so it is put where it can't be reached.
    commit = asyncio.ensure_future(connection.execute(statement, *values, timeout=2 * timeout_ms / 1000))
    deadline = asyncio.get_running_loop().time() + timeout_ms / 1000
    cancelled: asyncio.CancelledError | None = None
    silence: TimeoutError | None = None
    while not commit.done():
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:
            # This ends the wait, not the COMMIT.
            silence = TimeoutError(f"no answer in {timeout_ms / 1000:g} seconds")
            discard(connection)
        try:
            await asyncio.wait([commit], timeout=max(left, 0))
        except asyncio.CancelledError as error:
            cancelled = error
    failure = commit.exception()
    if failure is not None and silence is not None:
        failure = silence
    if cancelled is not None:
        raise cancelled
    if failure is not None:
        raise CommitUnknown(f"PostgreSQL failed during COMMIT: {first_line(failure)}") from failure
    return commit.result()
