"""The log of a SQLite ledger gets into the file beside the charges: never in a COMMIT, and so that it stays bounded."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final

import apsw
import pytest

from farebox.core.commands import TopUp
from farebox.storage.interface import StoreReplaced
from farebox.storage.sqlite import SqliteConnector
from farebox.storage.sqlite.checkpoints import Checkpoints
from farebox.storage.sqlite.connection import SqliteLimits
from farebox.storage.stores import Stores
from tests.storage.programs import run_program
from tests.support.ledger import ANN, NOW, UNIT, add_merchant, add_price, charge, do, faults, wallet

PAGE_BYTES: Final = 4096
SHORT: Final = SqliteLimits(checkpoint_frames=40, log_frames_max=160)
LOG_BYTES_MAX: Final = 2 * SHORT.log_frames_max * PAGE_BYTES
WAIT_S: Final = 30


@asynccontextmanager
async def opened(path: Path, limits: SqliteLimits) -> AsyncIterator[Stores]:
    stores = Stores.over(SqliteConnector(path, limits))
    await stores.connector.open()
    yield stores
    await stores.connector.close()


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A ledger with a funded merchant and a price."""
    path = tmp_path / "farebox.db"
    await SqliteConnector(path).migrate(NOW)
    async with opened(path, SqliteLimits()) as stores:
        await add_merchant(stores, funds=50_000)
        await add_price(stores)
    return path


def checkpoints_of(stores: Stores) -> Checkpoints:
    assert isinstance(stores.connector, SqliteConnector)
    return stores.connector._checkpoints


async def settled(stores: Stores) -> None:
    """Wait for a checkpoint that runs."""
    task = checkpoints_of(stores)._task
    if task is not None:
        await asyncio.wait([task])


async def charged(stores: Stores, name: str, times: int = 100) -> int:
    """Charge again and again, and return how long the log was at most."""
    longest = 0
    for number in range(times):
        await do(stores, charge(1, f"{name} {number}"))
        longest = max(longest, stores.connector.log_bytes() or 0)
    return longest


async def test_no_commit_moves_the_log(path: Path) -> None:
    """However long it is: nothing but a checkpoint writes to the file, whose time of change tells of each."""
    async with opened(path, SqliteLimits(checkpoint_frames=1 << 30)) as stores:
        before = path.stat()
        async with asyncio.timeout(WAIT_S):
            await stores.connector.run_in_transaction(
                lambda fetch: fetch("CREATE TABLE stranger AS SELECT zeroblob(80000000) AS content")
            )
        await charged(stores, "key", 3)
        assert (stores.connector.log_bytes() or 0) > 80_000_000
        assert (before.st_mtime_ns, before.st_size) == (path.stat().st_mtime_ns, path.stat().st_size)


async def test_the_log_stays_bounded_under_charges(path: Path) -> None:
    async with opened(path, SHORT) as stores:
        assert await charged(stores, "key") < LOG_BYTES_MAX
        await settled(stores)
        assert 49_900 == await wallet(stores)
        await stores.connector.check()
        assert [] == await faults(stores)


async def test_the_log_shrinks_once_a_long_read_lets_go(path: Path) -> None:
    async with opened(path, SHORT) as stores:
        async with stores.connector.snapshot():
            assert await charged(stores, "while it reads", 200) > LOG_BYTES_MAX
        await charged(stores, "after it")
        await settled(stores)
        assert await charged(stores, "later") < LOG_BYTES_MAX
        await stores.connector.check()
        assert 49_600 == await wallet(stores)
        assert [] == await faults(stores)


async def test_the_log_stays_bounded_while_several_processes_charge(path: Path) -> None:
    """Each has checkpoints of its own; one that finds another one at it leaves it alone."""
    async with opened(path, SHORT) as stores, opened(path, SHORT) as others:
        found = await asyncio.gather(charged(stores, "one"), charged(others, "other"))
        assert max(found) < LOG_BYTES_MAX
        await settled(stores)
        await settled(others)
        assert 49_800 == await wallet(stores)
        assert [] == await faults(stores)


async def test_transactions_wait_for_the_rest_of_a_log_that_grows_faster_than_it_is_moved(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(path, SqliteLimits(checkpoint_frames=1 << 20)) as stores:
        await charged(stores, "key", 20)
        checkpoints = checkpoints_of(stores)
        hold, holds = checkpoints._hold_transactions, []

        def held() -> AbstractAsyncContextManager[object]:
            holds.append(checkpoints._file)
            return hold()

        monkeypatch.setattr(checkpoints, "_hold_transactions", held)
        # Far more than is ever moved.
        checkpoints._log_frames = 1 << 30
        checkpoints.begin_if_due()
        await settled(stores)
        assert 1 == len(holds)


async def test_a_stop_finishes_a_checkpoint_and_leaves_no_log(path: Path) -> None:
    async with opened(path, SHORT) as stores:
        await charged(stores, "key", SHORT.checkpoint_frames)
        assert checkpoints_of(stores)._task is not None
    assert not path.with_name("farebox.db-wal").exists()
    async with opened(path, SHORT) as stores:
        assert 50_000 - SHORT.checkpoint_frames == await wallet(stores)


async def test_no_checkpoint_gets_into_a_file_that_is_not_the_ledger(path: Path) -> None:
    async with opened(path, SqliteLimits(checkpoint_frames=1 << 20)) as stores:
        await charged(stores, "key", 3)
        path.rename(path.with_name("away.db"))
        path.write_bytes(b"another file")
        with pytest.raises(StoreReplaced):
            await checkpoints_of(stores)._move_once()
        assert b"another file" == path.read_bytes()
        path.with_name("away.db").rename(path)
        await charged(stores, "later", 1)


async def test_a_log_that_was_cut_off_as_it_began_anew_is_no_replacement(path: Path) -> None:
    """Whenever it is looked at: between the new log's beginning and its first COMMIT it may have any size."""
    async with opened(path, SqliteLimits()) as stores:
        await charged(stores, "key", 30)
        stranger = apsw.Connection(str(path))
        stranger.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        log = path.with_name("farebox.db-wal")
        os.truncate(log, 1 << 20)
        await stores.connector.check()
        os.truncate(log, 0)
        await stores.connector.check()
        os.truncate(log, 1 << 20)
        await stores.connector.check()
        path.touch()
        with pytest.raises(StoreReplaced):
            await stores.connector.check()
        stranger.close()


FULL_DISK_PROGRAM: Final = """
import asyncio, resource, signal, sys
from pathlib import Path
from tests.storage.test_checkpoints import SHORT, charged, opened, settled
from tests.support.ledger import faults, wallet

async def main():
    path = Path(sys.argv[1])
    async with opened(path, SHORT) as stores:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        size = path.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        await charged(stores, "x" * 200, 60)
        await settled(stores)
        assert size == path.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        await charged(stores, "y" * 200, 60)
        await settled(stores)
        assert size < path.stat().st_size
        print(await wallet(stores), await faults(stores))

asyncio.run(main())
"""


async def test_charges_go_on_while_the_disk_has_no_room_for_a_checkpoint(path: Path) -> None:
    async with opened(path, SqliteLimits()) as stores:
        # So that the log has room where the file has none.
        for number in range(20):
            await do(stores, *[TopUp(ANN, UNIT, f"{number} {part} " + "z" * 200) for part in range(50)])
    assert f"{50_000 + 1_000 - 120} []" == run_program(FULL_DISK_PROGRAM, path).strip()
