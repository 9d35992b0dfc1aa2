"""A database that is moved, replaced, overwritten or put back under a process that works on it: nothing is promised."""

import os
import shutil
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path
from typing import Final

import apsw
import pytest

from farebox.core.accounts import Account
from farebox.core.commands import Command, TopUp
from farebox.core.decide import decide
from farebox.core.outcomes import Outcome
from farebox.core.state import BatchState, Decision, reads
from farebox.storage.interface import CommitUnknown, StoreReplaced
from farebox.storage.last_committed import ACCOUNTS_MAX, LastCommitted
from farebox.storage.records import ApiKey, Merchant
from farebox.storage.sqlite import SqliteConnector
from farebox.storage.sqlite.file import DatabaseFile, _LogEnd
from farebox.storage.stores import Stores
from tests.support.originals import copy_ledger

NOW: Final = 1_700_000_000_000_000
MERCHANT: Final = 1 << 50
UNIT: Final = 1_000_000


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    """An open SQLite file with a merchant of 5 units."""
    stores = Stores.over(SqliteConnector(copy_ledger(tmp_path / "farebox.db")))
    await stores.connector.open()
    await stores.merchants.create(
        Merchant(MERCHANT, "Acme", NOW), Account(MERCHANT, "USD"), ApiKey(1, 1, bytes(32), "fb…", NOW, MERCHANT)
    )
    await top_up(stores, "first", amount=5)
    yield stores
    await stores.connector.close()


async def top_up(stores: Stores, reference: str, *, amount: int = 1) -> Outcome:
    commands: list[Command] = [TopUp(MERCHANT, amount * UNIT, reference)]
    decision = await stores.connector.transact(reads(commands, NOW), lambda state: decide(state, commands, NOW))
    return decision.outcomes[0]


def move(path: Path) -> None:
    path.rename(path.with_suffix(".moved"))


def delete(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    shutil.copy(path, path.with_suffix(".copy"))
    path.with_suffix(".copy").rename(path)


def move_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_suffix(".moved"))


def delete_log(path: Path) -> None:
    path.with_name(f"{path.name}-wal").unlink()


def replace_index(path: Path) -> None:
    index = path.with_name(f"{path.name}-shm")
    shutil.copy(index, path.with_suffix(".copy"))
    path.with_suffix(".copy").rename(index)


def empty_log(path: Path) -> None:
    os.truncate(path.with_name(f"{path.name}-wal"), 0)


def overwrite(path: Path) -> None:
    """Write the same file again in place, as `cp` does."""
    content = path.read_bytes()
    path.write_bytes(content)


def overwrite_log(path: Path) -> None:
    """Write something else over the log in place, as large as it was."""
    log = path.with_name(f"{path.name}-wal")
    log.write_bytes(bytes(log.stat().st_size))


DISASTERS: Final = (move, delete, replace, move_folder, delete_log, replace_index, empty_log, overwrite, overwrite_log)


@pytest.mark.parametrize("disaster", DISASTERS, ids=lambda disaster: disaster.__name__)
async def test_nothing_is_read_or_written_once_the_file_is_not_the_one_that_was_opened(
    stores: Stores, tmp_path: Path, disaster: Callable[[Path], None]
) -> None:
    disaster(tmp_path / "farebox.db")
    for _ in range(2):
        with pytest.raises(StoreReplaced):
            await top_up(stores, "second")
        if disaster is not replace_index:
            with pytest.raises(StoreReplaced):
                await stores.accounts.find(MERCHANT)
            with pytest.raises(StoreReplaced):
                await stores.connector.balances([(MERCHANT, bytes(32))], NOW)
        with pytest.raises(StoreReplaced):
            await stores.connector.check()
        with pytest.raises(StoreReplaced):
            await stores.connector.check_writable()
        with pytest.raises(StoreReplaced):
            async with stores.connector.snapshot():
                pass
        with pytest.raises(StoreReplaced):
            await stores.connector.backup(tmp_path / "backup.db")


@pytest.mark.parametrize(
    "disaster",
    [disaster for disaster in DISASTERS if disaster not in (empty_log, replace_index)],
    ids=lambda disaster: disaster.__name__,
)
async def test_a_batch_is_not_acknowledged_if_the_file_goes_while_it_is_decided(
    stores: Stores, tmp_path: Path, disaster: Callable[[Path], None]
) -> None:
    commands: list[Command] = [TopUp(MERCHANT, UNIT, "second")]

    def decide_late(state: BatchState) -> Decision:
        disaster(tmp_path / "farebox.db")
        return decide(state, commands, NOW)

    with pytest.raises(CommitUnknown, match="not the database any more"):
        await stores.connector.transact(reads(commands, NOW), decide_late)


@pytest.mark.parametrize("moment", ["between", "during"])
async def test_an_earlier_log_that_is_written_over_the_log_is_noticed(
    stores: Stores, tmp_path: Path, moment: str
) -> None:
    """It is as large: SQLite writes it from the beginning again once a checkpoint has moved all of it."""
    log = tmp_path / "farebox.db-wal"
    for number in range(20):
        await top_up(stores, f"before {number}")
    earlier = log.read_bytes()
    apsw.Connection(str(tmp_path / "farebox.db")).execute("PRAGMA wal_checkpoint(RESTART)")
    for number in range(5):
        await top_up(stores, f"after {number}")
    assert len(earlier) == log.stat().st_size
    commands: list[Command] = [TopUp(MERCHANT, UNIT, "last")]

    def decide_late(state: BatchState) -> Decision:
        if moment == "during":
            log.write_bytes(earlier)
        return decide(state, commands, NOW)

    if moment == "between":
        log.write_bytes(earlier)
    with pytest.raises(StoreReplaced if moment == "between" else CommitUnknown, match="something else has written"):
        await stores.connector.transact(reads(commands, NOW), decide_late)
    with pytest.raises(StoreReplaced, match="something else has written"):
        await stores.connector.check()


async def test_a_log_that_another_process_writes_to_is_the_same_log(stores: Stores, tmp_path: Path) -> None:
    """It writes more than its cache holds and takes some back, and the log begins anew, between looks."""
    other = apsw.Connection(str(tmp_path / "farebox.db"))
    other.execute("PRAGMA cache_size = 2; CREATE TABLE stranger (content)")
    for number in range(30):
        other.execute("BEGIN IMMEDIATE")
        for _ in range(20):
            other.execute("INSERT INTO stranger VALUES (zeroblob(5000))")
            await stores.connector.check()
        other.execute("COMMIT" if number % 3 else "ROLLBACK")
        await stores.connector.check()
        if number % 5 == 0:
            other.execute("PRAGMA wal_checkpoint(RESTART)")
        assert (await top_up(stores, f"top-up {number}")).is_ok
    other.close()
    await stores.connector.check()


class _MovingLog(DatabaseFile):
    """A file whose log is never at rest: other processes commit whenever it is looked at."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._numbers = count()

    def _read_log_end(self) -> _LogEnd | None:
        end = super()._read_log_end()
        return None if end is None else _LogEnd(end.offset, bytes(8), next(self._numbers).to_bytes(16))


async def test_a_log_that_moves_while_it_is_looked_at_is_not_taken_for_another_one(
    stores: Stores, tmp_path: Path
) -> None:
    reader = apsw.Connection(str(tmp_path / "farebox.db"))
    reader.execute("SELECT count(*) FROM account").fetchall()
    file = _MovingLog(tmp_path / "farebox.db")
    file.open(reader)
    file.check()
    file.close()
    reader.close()


async def test_work_goes_on_when_the_very_same_file_is_back(stores: Stores, tmp_path: Path) -> None:
    path = tmp_path / "farebox.db"
    path.rename(tmp_path / "away.db")
    with pytest.raises(StoreReplaced):
        await top_up(stores, "second")
    (tmp_path / "away.db").rename(path)
    assert (await top_up(stores, "second")).is_ok


async def test_a_link_may_lead_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    await SqliteConnector(tmp_path / "disk" / "farebox.db").migrate(NOW)
    (tmp_path / "farebox.db").symlink_to(tmp_path / "disk" / "farebox.db")
    connector = SqliteConnector(tmp_path / "farebox.db")
    await connector.open()
    await connector.check_writable()
    (tmp_path / "farebox.db").unlink()
    with pytest.raises(StoreReplaced):
        await connector.check_writable()
    (tmp_path / "farebox.db").symlink_to(tmp_path / "disk" / "farebox.db")
    await connector.check_writable()
    await connector.close()


async def test_checkpoints_of_this_and_other_processes_are_no_replacement(stores: Stores, tmp_path: Path) -> None:
    other = apsw.Connection(str(tmp_path / "farebox.db"))
    for number, mode in enumerate(("PASSIVE", "FULL", "RESTART", "TRUNCATE") * 3):
        await top_up(stores, f"before {number}")
        other.execute(f"PRAGMA wal_checkpoint({mode})")
        await stores.connector.check()
        other.execute("CREATE TABLE stranger AS SELECT zeroblob(50000)")
        other.execute("DROP TABLE stranger")
        other.execute("VACUUM")
        await top_up(stores, f"after {number}")
        await stores.connector.check_writable()
    other.close()
    await stores.connector.check()


async def test_what_was_overwritten_is_taken_again_once_it_is_opened_anew(stores: Stores, tmp_path: Path) -> None:
    (tmp_path / "farebox.db").touch()
    for _ in range(2):
        with pytest.raises(StoreReplaced, match="something else has written"):
            await stores.connector.check()
    await stores.connector.open()
    assert (await top_up(stores, "second")).is_ok


async def test_a_book_that_went_back_under_the_same_file_is_noticed(stores: Stores, tmp_path: Path) -> None:
    other = apsw.Connection(str(tmp_path / "farebox.db"))
    await top_up(stores, "second")
    other.execute("UPDATE account SET seq = 1")
    other.close()
    for _ in range(2):
        with pytest.raises(StoreReplaced, match="went back to an earlier time"):
            await top_up(stores, "third")
    # It is another merchant's turn: no less is lost.
    with pytest.raises(StoreReplaced, match="went back to an earlier time"):
        await stores.connector.check_writable()


def _account(merchant_id: int, seq: int = 1, last_hash: bytes = bytes(32)) -> Account:
    return Account(merchant_id, "USD", seq=seq, last_hash=last_hash)


@pytest.mark.parametrize(
    ("accounts", "is_as_before"),
    [
        ({1: _account(1, 5)}, True),
        ({1: _account(1, 6, b"x" * 32)}, True),
        ({1: _account(1, 4)}, False),
        ({1: _account(1, 5, b"x" * 32)}, False),
        ({}, False),
    ],
)
def test_an_account_is_never_older_than_it_was(accounts: dict[int, Account], is_as_before: bool) -> None:
    last_committed = LastCommitted()
    last_committed.note(Decision([], accounts=[_account(1, 5)]))
    last_committed.check([2], {})
    if is_as_before:
        last_committed.check([1, 2], accounts)
    else:
        with pytest.raises(StoreReplaced):
            last_committed.check([1, 2], accounts)


def test_the_accounts_that_changed_last_are_remembered() -> None:
    last_committed = LastCommitted()
    last_committed.note(Decision([], accounts=[_account(number) for number in range(ACCOUNTS_MAX)]))
    last_committed.note(Decision([], accounts=[_account(0)]))
    last_committed.note(Decision([], accounts=[_account(ACCOUNTS_MAX)]))
    last_committed.check([1], {})
    for number in (0, 2, ACCOUNTS_MAX):
        with pytest.raises(StoreReplaced):
            last_committed.check([number], {})
