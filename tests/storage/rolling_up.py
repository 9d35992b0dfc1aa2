"""Sums that are read while others write and roll up: none is counted twice or lost."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from farebox.storage.stores import Stores
from tests.storage.engines import Engine
from tests.support.ledger import ANN

_WRITTEN_MIN = 60
_SEEN_MIN = 5


async def write_roll_up_and_look(
    engine: Engine,
    *,
    write: Callable[[int], Awaitable[object]],
    look: Callable[[Stores], Awaitable[int]],
    rolling_up: int = 1,
) -> int:
    """Do all at once, until enough was seen in between, however seldom each comes by; return how much was written.

    The sum that is seen is never less than before, and no more than was begun to be written.

    Args:
        engine: opens stores of their own for who looks and for all who roll up.
        write: writes something of ANN's book that counts as one, numbered from 1.
        look: reads the sum of what was written.
        rolling_up: how many roll the book up.
    """
    async with AsyncExitStack() as stack:
        reader, *others = [engine.stores() for _ in range(1 + rolling_up)]
        for other in (reader, *others):
            await other.connector.open()
            stack.push_async_callback(other.connector.close)
        written, seen, is_over = 0, [0], False

        async def go_on_writing() -> None:
            nonlocal written, is_over
            while written < _WRITTEN_MIN or len(set(seen)) < _SEEN_MIN:
                written += 1
                await write(written)
            is_over = True

        async def roll_up(other: Stores) -> None:
            while not is_over:
                await other.usage.roll_up(ANN, transfers_max=3)
                await asyncio.sleep(0)

        async def go_on_looking() -> None:
            while not is_over:
                seen.append(await look(reader))
                assert seen[-2] <= seen[-1] <= written
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as tasks:
            for run in (go_on_writing(), go_on_looking(), *map(roll_up, others)):
                tasks.create_task(run)
    return written
