"""What SQLite alone has to show: full and read-only disks, locks of other processes, a COMMIT that fails, backups."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import apsw
import pytest

from farebox.core.commands import TopUp
from farebox.core.outcomes import Code
from farebox.core.state import BatchState, Decision, reads
from farebox.storage import sql
from farebox.storage.interface import (
    AlreadyExists,
    CommitUnknown,
    SchemaMismatch,
    StorageError,
    StoreFaulty,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)
from farebox.storage.records import Merchant
from farebox.storage.sqlite import SqliteConnector, connector, snapshot
from farebox.storage.sqlite.connection import SqliteLimits
from farebox.storage.stores import Stores
from tests.storage.programs import run_program
from tests.support.ledger import (
    ANN,
    BEN,
    NOW,
    UNIT,
    account_of,
    add_merchant,
    add_price,
    book,
    charge,
    digest,
    do,
    everything,
    faults,
    wallet,
)

WAIT_S: Final = 20


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    """A store with a funded merchant and a price."""
    stores = Stores.over(SqliteConnector(tmp_path / "farebox.db"))
    await stores.connector.migrate(NOW)
    await stores.connector.open()
    await add_merchant(stores, funds=50)
    await add_price(stores)
    yield stores
    await stores.connector.close()


def connector_of(stores: Stores) -> SqliteConnector:
    assert isinstance(stores.connector, SqliteConnector)
    return stores.connector


def path_of(stores: Stores) -> Path:
    return connector_of(stores)._path


def writer_of(stores: Stores) -> apsw.Connection:
    writer = connector_of(stores)._writer
    assert writer is not None
    return writer


def reader_of(stores: Stores) -> apsw.Connection:
    reader = connector_of(stores)._reader
    assert reader is not None
    return reader


def connect(stores: Stores) -> apsw.Connection:
    """Connect as a stranger does."""
    return apsw.Connection(str(path_of(stores)))


# Settings.


async def test_every_connection_writes_ahead_syncs_fully_and_checks_references(stores: Stores) -> None:
    for connection in (writer_of(stores), reader_of(stores)):
        pragmas = {name: connection.pragma(name) for name in ("journal_mode", "synchronous", "foreign_keys")}
        assert {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1} == pragmas


async def test_a_connection_made_anew_has_the_same_settings(stores: Stores) -> None:
    with failing_commit(writer_of(stores)), pytest.raises(CommitUnknown):
        await do(stores, charge(1, "key"))
    await do(stores, charge(1, "key"))
    await test_every_connection_writes_ahead_syncs_fully_and_checks_references(stores)


async def test_a_file_that_lost_its_write_ahead_log_gets_it_back(stores: Stores) -> None:
    """As a copy made by VACUUM INTO has none."""
    await stores.connector.close()
    connection = connect(stores)
    assert "delete" == connection.pragma("journal_mode", "delete")
    connection.close()
    await stores.connector.open()
    assert "wal" == writer_of(stores).pragma("journal_mode")


async def test_no_statement_of_a_charge_or_a_balance_is_compiled_anew_for_other_values(stores: Stores) -> None:
    bob = ANN + 1
    await do(stores, TopUp(ANN, 200 * UNIT, "more"))
    await add_merchant(stores, bob, funds=200)
    compiled: list[tuple[Any, ...]] = []

    def note(*action: Any) -> int:
        if action[0] != apsw.SQLITE_TRANSACTION:
            compiled.append(action)
        return apsw.SQLITE_OK

    # It is asked about every part of a statement that is compiled.
    for connection in (writer_of(stores), reader_of(stores)):
        connection.authorizer = note
    for turn in range(3):
        compiled.clear()
        charges = [charge(1, f"{turn} {number}", merchant_id=(ANN, bob)[number % 2]) for number in range(100)]
        await do(stores, *charges, now=NOW + turn)
        assert 2 == len(await stores.connector.balances([(ANN, digest(ANN)), (bob, digest(bob))], NOW + turn))
        assert bool(compiled) == (turn == 0)


# Files that are no ledger.


async def test_a_missing_file_is_refused_and_not_made(tmp_path: Path) -> None:
    stores = Stores.over(SqliteConnector(tmp_path / "missing.db"))
    with pytest.raises(SchemaMismatch, match="farebox init"):
        await stores.connector.open()
    assert [] == list(tmp_path.iterdir())


async def test_an_empty_file_has_no_schema_yet(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    stores = Stores.over(SqliteConnector(tmp_path / "empty.db"))
    with pytest.raises(SchemaMismatch, match="farebox init"):
        await stores.connector.open()
    assert await stores.connector.migrate(NOW)
    await stores.connector.open()
    await stores.connector.close()


@pytest.mark.parametrize("name", ["", "missing/farebox.db"])
async def test_a_folder_or_a_file_in_none_is_unavailable(tmp_path: Path, name: str) -> None:
    stores = Stores.over(SqliteConnector(tmp_path / name))
    with pytest.raises(StoreUnavailable, match="unable to open"):
        await stores.connector.migrate(NOW)


async def test_a_file_of_another_kind_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.txt"
    path.write_text("Dear Ann, " * 1000)
    stores = Stores.over(SqliteConnector(path))
    for attempt in (stores.connector.open, lambda: stores.connector.migrate(NOW)):
        with pytest.raises(StorageError, match="not a database"):
            await attempt()
    assert "Dear Ann, " * 1000 == path.read_text()


async def test_a_store_that_could_not_be_opened_keeps_nothing_open(stores: Stores) -> None:
    other = Stores.over(SqliteConnector(path_of(stores)))
    await stores.connector.close()
    stranger = connect(stores)
    stranger.execute("INSERT INTO farebox_migration VALUES ('9999_newer', 0)")
    with pytest.raises(SchemaMismatch):
        await other.connector.open()
    # The last connection to close takes the log with it; one that was left open would keep it there.
    stranger.close()
    assert ["farebox.db"] == sorted(path.name for path in path_of(stores).parent.iterdir())


async def test_migrated_is_the_same_as_fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that had its migrations one at a time, over the years, comes to what a new one gets at once."""
    known = sql.migrations("sqlite")
    fresh, old = Stores.over(SqliteConnector(tmp_path / "fresh.db")), Stores.over(SqliteConnector(tmp_path / "old.db"))
    assert [name for name, _ in known] == await fresh.connector.migrate(NOW)
    for count, (name, _) in enumerate(known, 1):
        with monkeypatch.context() as patch:
            patch.setattr(sql, "migrations", lambda _, count=count: known[:count])
            assert [name] == await old.connector.migrate(NOW)
    schemas = []
    for stores in (fresh, old):
        connection = connect(stores)
        tables = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name").fetchall()
        columns = [
            (name, *column)
            for kind, name, *_ in tables
            if kind == "table"
            for column in connection.execute(f"PRAGMA table_xinfo({name})").fetchall()
        ]
        schemas.append((tables, columns))
        connection.close()
    assert schemas[0] == schemas[1]


def test_every_table_is_strict() -> None:
    connection = apsw.Connection(":memory:")
    for _, script in sql.migrations("sqlite"):
        connection.execute(script)
    tables = connection.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'").fetchall()
    connection.close()
    assert [] == [name for name, is_strict in tables if not is_strict and not str(name).startswith("sqlite_")]


def test_no_index_makes_a_table_of_a_list_for_each_row_that_is_inserted() -> None:
    connection = apsw.Connection(":memory:")
    for _, script in sql.migrations("sqlite"):
        connection.execute(script)
    texts = dict(connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"))
    plan = connection.execute(f"EXPLAIN QUERY PLAN {sql.statements('sqlite')['funding_after']}", (1, 1)).fetchall()
    connection.close()
    assert "transfer_funding" in texts
    assert [] == [name for name, text in texts.items() if " IN (" in text]
    assert any("transfer USING INDEX transfer_funding (merchant_id=? AND seq>?)" in str(step) for step in plan)


# A disk that takes no more.


async def test_a_disk_that_fills_up_refuses_batches_until_there_is_room(stores: Stores) -> None:
    before = await everything(stores, [ANN])
    connection = writer_of(stores)
    connection.pragma("max_page_count", connection.pragma("page_count"))
    with pytest.raises(StoreUnavailable, match="full"):
        await do(stores, *[charge(1, f"key {number}" + "x" * 100) for number in range(40)])
    assert before == await everything(stores, [ANN])
    connection.pragma("max_page_count", 2**31)
    await do(stores, *[charge(1, f"key {number}" + "x" * 100) for number in range(40)])
    assert 10 == await wallet(stores)
    assert [] == await faults(stores)


FILE_SIZE_PROGRAM: Final = """
import asyncio, resource, signal, sys
from pathlib import Path
from farebox.storage.interface import CommitUnknown, StoreUnavailable
from farebox.storage.sqlite import SqliteConnector
from farebox.storage.stores import Stores
from tests.support.ledger import ANN, charge, do, everything, faults, wallet

async def main():
    stores = Stores.over(SqliteConnector(Path(sys.argv[1])))
    await stores.connector.open()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    log = Path(sys.argv[1] + "-wal")
    before = await everything(stores, [ANN])
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size, hard))
    for number in range(3):
        try:
            await do(stores, charge(1, f"key {number}"))
        except (CommitUnknown, StoreUnavailable) as error:
            print(type(error).__name__)
    assert before == await everything(stores, [ANN])
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    for number in range(3):
        await do(stores, charge(1, f"key {number}"))
    print(await wallet(stores), await faults(stores))
    await stores.connector.close()

asyncio.run(main())
"""


async def test_a_disk_that_is_full_when_the_log_is_written_is_survived(stores: Stores) -> None:
    await stores.connector.close()
    done = run_program(FILE_SIZE_PROGRAM, path_of(stores))
    *errors, last = done.splitlines()
    assert 3 == len(errors)
    assert {"CommitUnknown", "StoreUnavailable"} >= set(errors)
    assert "47 []" == last


# Files that take no writes.


@contextmanager
def read_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let connections be read-only, as SQLite makes them by itself where it may not write; root may everywhere."""
    connection = apsw.Connection

    def connect(path: str, flags: int = 0, **options: Any) -> apsw.Connection:
        return connection(path, flags=apsw.SQLITE_OPEN_READONLY, **options)

    with monkeypatch.context() as patch:
        patch.setattr(apsw, "Connection", connect)
        yield


async def test_a_read_only_file_can_be_read_and_refuses_writes(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    await stores.connector.close()
    with read_only(monkeypatch):
        await stores.connector.open()
    assert 50 == await wallet(stores)
    writes: list[Callable[[], Any]] = [
        lambda: do(stores, charge(1, "key")),
        lambda: stores.merchants.rename(ANN, "Ann"),
        lambda: stores.deliveries.claim_mails(NOW, lease_until=NOW, limit=9),
    ]
    for write in writes:
        with pytest.raises(StoreUnavailable, match="readonly"):
            await write()
    with read_only(monkeypatch):
        assert [] == await Stores.over(SqliteConnector(path_of(stores))).connector.migrate(NOW)
    await stores.connector.close()
    await stores.connector.open()
    await do(stores, charge(1, "key"))
    assert 49 == await wallet(stores)


async def test_a_database_in_which_no_write_can_begin_is_unavailable(stores: Stores) -> None:
    writer = writer_of(stores)
    writer.authorizer = lambda operation, *_: (
        apsw.SQLITE_DENY if operation == apsw.SQLITE_TRANSACTION else apsw.SQLITE_OK
    )
    with pytest.raises(StoreUnavailable, match="takes no writes"):
        await do(stores, charge(1, "key"))
    assert 50 == await wallet(stores)
    writer.authorizer = None
    await do(stores, charge(1, "key"))
    assert 49 == await wallet(stores)


# Locks of other processes.


async def test_a_write_waits_for_another_process_without_holding_up_the_loop(stores: Stores) -> None:
    stranger = connect(stores)
    stranger.execute("BEGIN IMMEDIATE")
    task = asyncio.create_task(do(stores, charge(1, "key")))
    longest, begun = 0.0, time.monotonic()
    while time.monotonic() < begun + 0.3:
        before = time.monotonic()
        await asyncio.sleep(0.001)
        longest = max(longest, time.monotonic() - before)
        assert not task.done()
        assert 50 == await wallet(stores)
    stranger.execute("ROLLBACK")
    assert Code.OK is (await task)[0].code
    assert longest < 0.15
    stranger.close()


async def test_a_write_is_refused_when_another_process_keeps_the_lock(stores: Stores) -> None:
    short_limits = Stores.over(SqliteConnector(path_of(stores), SqliteLimits(busy_timeout_ms=100)))
    await short_limits.connector.open()
    stranger = connect(stores)
    stranger.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="kept the database locked"):
        await do(short_limits, charge(1, "key"))
    with pytest.raises(StoreUnavailable, match="locked"):
        await short_limits.connector.migrate(NOW)
    stranger.execute("ROLLBACK")
    await do(short_limits, charge(1, "key"))
    assert 49 == await wallet(stores)
    stranger.close()
    await short_limits.connector.close()


async def test_a_caller_that_gives_up_waiting_for_the_lock_changes_nothing(stores: Stores) -> None:
    stranger = connect(stores)
    stranger.execute("BEGIN IMMEDIATE")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(do(stores, charge(1, "given up")), 0.05)
    stranger.execute("ROLLBACK")
    await do(stores, charge(1, "key"))
    assert 49 == await wallet(stores)
    stranger.close()


async def test_opening_waits_while_another_process_recovers_the_file(stores: Stores) -> None:
    """After a crash, the first to connect recovers the log, and for that time has the file to itself."""
    await stores.connector.close()
    stranger = connect(stores)
    stranger.pragma("locking_mode", "exclusive")
    stranger.execute("UPDATE merchant SET name = 'Recovered'")
    timer = threading.Timer(0.2, stranger.close)
    timer.start()
    try:
        await stores.connector.open()
    finally:
        timer.join()
    assert Merchant(ANN, "Recovered", NOW) == await stores.merchants.find(ANN)


SPENDING_PROGRAM: Final = """
import asyncio, sys
from pathlib import Path
from farebox.storage.sqlite import SqliteConnector
from farebox.storage.stores import Stores
from tests.support.ledger import charge, do

async def main():
    stores = Stores.over(SqliteConnector(Path(sys.argv[1])))
    await stores.connector.open()
    print("open", flush=True)
    sys.stdin.readline()
    outcomes = [(await do(stores, charge(1, f"{sys.argv[2]} {number}")))[0] for number in range(40)]
    print(sum(outcome.is_ok for outcome in outcomes))
    await stores.connector.close()

asyncio.run(main())
"""


async def test_processes_that_race_for_an_account_never_overspend_it(stores: Stores) -> None:
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", SPENDING_PROGRAM, str(path_of(stores)), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for name in ("one", "two")
    ]
    for program in programs:
        assert program.stdout is not None
        assert "open\n" == program.stdout.readline()
    spent = [int(program.communicate("go\n", timeout=WAIT_S)[0]) for program in programs]
    assert 50 == sum(spent)
    assert 0 == await wallet(stores)
    assert [] == await faults(stores)


# A COMMIT that fails.


@contextmanager
def failing_commit(connection: apsw.Connection, action: str = "COMMIT") -> Iterator[None]:
    """Let SQLite refuse one kind of statement with an error, and the transaction stay open."""

    def authorize(operation: int, name: str | None, *_: object) -> int:
        is_it = operation == apsw.SQLITE_TRANSACTION and name == action
        return apsw.SQLITE_DENY if is_it else apsw.SQLITE_OK

    connection.authorizer = authorize
    yield
    # A connection that failed so is expected to be closed for good.
    with pytest.raises(apsw.ConnectionClosedError):
        connection.authorizer = None


async def test_a_commit_that_fails_is_unknown_and_the_store_goes_on(stores: Stores) -> None:
    connection = writer_of(stores)
    with failing_commit(connection), pytest.raises(CommitUnknown, match="failed during COMMIT"):
        await do(stores, charge(1, "key"))
    assert connection is not connector_of(stores)._writer
    assert 50 == await wallet(stores)
    assert not (await do(stores, charge(1, "key")))[0].is_replay
    assert 49 == await wallet(stores)
    assert [] == await faults(stores)


async def test_a_commit_that_a_hook_turns_down_is_unknown_too(stores: Stores) -> None:
    writer_of(stores).set_commit_hook(lambda: True)
    with pytest.raises(CommitUnknown):
        await do(stores, charge(1, "key"))
    await do(stores, charge(1, "key"))
    assert 49 == await wallet(stores)


class SlowCommits:
    """A writer's connection whose COMMIT waits, as a slow disk lets it; everything else is the connection's own."""

    def __init__(self, stores: Stores) -> None:
        self._connection = writer_of(stores)
        self.has_begun = threading.Event()
        self.may_go_on = threading.Event()
        connector_of(stores)._writer = self  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: str) -> Any:
        if statement == "COMMIT":
            self.has_begun.set()
            assert self.may_go_on.wait(WAIT_S)
        return self._connection.execute(statement)

    async def begun(self) -> None:
        """Wait until COMMIT runs."""
        await asyncio.to_thread(self.has_begun.wait, WAIT_S)


@pytest.mark.parametrize("times", [1, 3])
async def test_a_commit_is_seen_through_though_its_caller_goes_away(stores: Stores, times: int) -> None:
    slow = SlowCommits(stores)
    task = asyncio.create_task(do(stores, charge(1, "key")))
    await slow.begun()
    following = asyncio.create_task(do(stores, charge(1, "next")))
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0.01)
        assert not task.done()
    assert not following.done()
    slow.may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await following
    assert 48 == await wallet(stores)
    assert [] == await faults(stores)


async def test_a_commit_that_fails_after_its_caller_went_away_does_no_harm(stores: Stores) -> None:
    slow = SlowCommits(stores)
    with failing_commit(slow._connection):
        task = asyncio.create_task(do(stores, charge(1, "key")))
        await slow.begun()
        task.cancel()
        await asyncio.sleep(0.01)
        slow.may_go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    await do(stores, charge(1, "next"))
    assert ["top_up funds", "next"] == [transfer.idempotency_key for transfer in await book(stores)]


async def test_reading_goes_on_while_a_commit_waits_for_the_disk(stores: Stores) -> None:
    slow = SlowCommits(stores)
    task = asyncio.create_task(do(stores, charge(1, "key")))
    await slow.begun()
    assert 50 == await wallet(stores)
    assert {digest(ANN): 50 * UNIT} == await stores.connector.balances([(ANN, digest(ANN))], NOW)
    slow.may_go_on.set()
    await task
    assert 49 == await wallet(stores)


async def test_a_balance_is_the_newest_though_the_read_before_failed(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [(ANN, digest(ANN))]
    with monkeypatch.context() as patched:
        patched.setitem(
            sql.statements("sqlite")._bodies, "balance", "SELECT abs(-9223372036854775808) WHERE ?1 + ?2 + ?3"
        )
        with pytest.raises(StorageError, match="overflow"):
            await stores.connector.balances(keys, NOW)
    await do(stores, charge(1, "key"))
    assert {digest(ANN): 49 * UNIT} == await stores.connector.balances(keys, NOW)


async def test_closing_waits_for_a_commit(stores: Stores) -> None:
    slow = SlowCommits(stores)
    task = asyncio.create_task(do(stores, charge(1, "key")))
    await slow.begun()
    closing = asyncio.create_task(stores.connector.close())
    await asyncio.sleep(0.01)
    assert not closing.done()
    slow.may_go_on.set()
    await asyncio.gather(task, closing)
    await stores.connector.open()
    assert 49 == await wallet(stores)


async def test_a_rollback_that_fails_does_not_hide_the_error_and_the_store_goes_on(stores: Stores) -> None:
    def fail(state: BatchState) -> Decision:
        raise ZeroDivisionError

    connection = writer_of(stores)
    with failing_commit(connection, "ROLLBACK"), pytest.raises(ZeroDivisionError):
        await stores.connector.transact(reads([charge(1, "key")], NOW), fail)
    assert connection is not connector_of(stores)._writer
    await do(stores, charge(1, "key"))
    assert 49 == await wallet(stores)


async def test_a_connection_that_can_not_be_made_anew_is_unavailable_for_so_long(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    with failing_commit(writer_of(stores)), pytest.raises(CommitUnknown):
        await do(stores, charge(1, "key"))

    def fail(*_: object, **__: object) -> apsw.Connection:
        raise apsw.CantOpenError("unable to open database file")

    with monkeypatch.context() as patch:
        patch.setattr(connector, "connect", fail)
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="unable to open"):
                await do(stores, charge(1, "key"))
    await do(stores, charge(1, "key"))
    assert 49 == await wallet(stores)


# Errors of the driver.


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (apsw.BusyError, StoreUnavailable),
        (apsw.LockedError, StoreUnavailable),
        (apsw.FullError, StoreFull),
        (apsw.IOError, StoreUnavailable),
        (apsw.ReadOnlyError, StoreReadOnly),
        (apsw.InterruptError, StoreUnavailable),
        (apsw.NoMemError, StoreUnavailable),
        (apsw.CorruptError, StoreFaulty),
        (apsw.NotADBError, StoreFaulty),
        (apsw.SQLError, StorageError),
    ],
)
async def test_errors_of_the_driver_are_told_in_the_stores_own_words(
    stores: Stores, error: type[apsw.Error], expected: type[StorageError]
) -> None:
    def fail(state: BatchState) -> Decision:
        raise error("something happened")

    with pytest.raises(expected, match="SQLite: something happened") as raised:
        await stores.connector.transact(reads([charge(1, "key")], NOW), fail)
    assert expected is raised.type
    assert error is type(raised.value.__cause__)


# Snapshots.


async def test_a_snapshot_that_is_cancelled_while_it_reads_is_closed_all_the_same(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The read runs in a thread, and a connection can't be closed under it."""
    await do(stores, *[TopUp(ANN, UNIT, f"INV-{number}") for number in range(500)])
    endless = "WITH RECURSIVE r (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT sum(i) + ?1 FROM r"
    statements = {"holds": endless, "merchant_ids": "SELECT merchant_id FROM merchant"}

    async def read() -> None:
        async with stores.connector.snapshot() as reading:
            monkeypatch.setattr(snapshot, "_SQL", statements)
            await reading.holds(ANN)

    task = asyncio.create_task(read())
    await asyncio.sleep(0.05)
    monkeypatch.undo()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, WAIT_S)
    await stores.connector.close()
    # Nobody is left who would keep the log.
    assert ["farebox.db"] == [path.name for path in path_of(stores).parent.iterdir()]


async def test_an_error_while_a_snapshot_reads_is_told_in_the_stores_own_words(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stores.connector.snapshot() as reading:
        monkeypatch.setattr(snapshot, "_SQL", {"holds": "SELECT ?1 FROM nowhere"})
        with pytest.raises(StorageError, match="no such table"):
            await reading.holds(ANN)


async def test_a_book_that_cannot_be_read_keeps_no_other_from_being_read_at_once(stores: Stores) -> None:
    await add_merchant(stores, BEN)
    await do(stores, TopUp(ANN, UNIT, "INV-1"), TopUp(BEN, UNIT, "INV-2"), TopUp(BEN, UNIT, "INV-3"))
    stranger = connect(stores)
    stranger.execute("UPDATE transfer SET note = CAST(x'ff' AS TEXT) WHERE merchant_id = ?", (ANN,))
    stranger.close()
    async with stores.connector.snapshot() as reading:
        found = await reading.books([ANN, BEN])
        assert [BEN] == [*found]
        assert (2, [1, 2]) == (found[BEN].account.seq, [row[1] for row in found[BEN].transfers])


async def test_a_snapshot_of_a_database_without_a_schema_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    with pytest.raises(StorageError, match="no such table"):
        async with Stores.over(SqliteConnector(tmp_path / "empty.db")).connector.snapshot():
            pytest.fail("there is nothing to see")


async def test_what_a_killed_process_left_in_the_log_is_on_the_disk_before_it_is_told(
    stores: Stores, tmp_path: Path
) -> None:
    """It may have died before the disk had it, and then a power cut would take what a retry had been told."""
    await do(stores, charge(1, "key"))
    left, disk = tmp_path / "left.db", tmp_path / "disk.db"
    for suffix in ("", "-wal"):
        left.with_name(f"left.db{suffix}").write_bytes(
            path_of(stores).with_name(f"{path_of(stores).name}{suffix}").read_bytes()
        )
    survivor = Stores.over(SqliteConnector(left))
    await survivor.connector.open()
    # The rows in the file itself were synced, first in the log and then here.
    disk.write_bytes(left.read_bytes())
    assert (await do(survivor, charge(1, "key")))[0].is_replay
    await survivor.connector.close()
    copy = Stores.over(SqliteConnector(disk))
    await copy.connector.open()
    assert await account_of(stores) == await account_of(copy)
    await copy.connector.close()


# Backups.


async def test_a_backup_of_a_database_in_use_is_whole(stores: Stores, tmp_path: Path) -> None:
    is_over = False

    async def spend() -> None:
        number = 0
        while not is_over:
            number += 1
            await do(stores, charge(1, f"key {number}"), TopUp(ANN, UNIT, f"INV-{number}"))

    spending = asyncio.create_task(spend())
    await asyncio.sleep(0.05)
    seq = (await account_of(stores)).seq
    await stores.connector.backup(tmp_path / "copy.db")
    is_over = True
    await spending
    copy = Stores.over(SqliteConnector(tmp_path / "copy.db"))
    await copy.connector.open()
    assert seq <= (await account_of(copy)).seq <= (await account_of(stores)).seq
    assert [] == await faults(copy)
    assert "wal" == writer_of(copy).pragma("journal_mode")
    await do(copy, TopUp(ANN, UNIT, "into the copy"))
    await copy.connector.close()
    assert [] == await faults(stores)


async def test_writers_do_not_make_a_backup_begin_anew(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If they did, a backup of a busy ledger would never end."""
    one_by_one = SqliteConnector(path_of(stores), SqliteLimits(backup_step_pages=1))
    stranger = connect(stores)
    backup_class = apsw.Connection.backup
    steps = 0

    class Watched:
        def __init__(self, backup: Any) -> None:
            self._backup = backup

        def __enter__(self) -> "Watched":
            self._backup.__enter__()
            return self

        def __exit__(self, *details: Any) -> None:
            self._backup.__exit__(*details)

        @property
        def done(self) -> bool:
            return bool(self._backup.done)

        def step(self, pages: int) -> None:
            nonlocal steps
            steps += 1
            self._backup.step(pages)
            stranger.execute(f"UPDATE merchant SET name = 'Name {steps}'")
            assert steps < 1000, "it begins anew each time"

    class Connection(apsw.Connection):
        def backup(self, *arguments: Any) -> Any:
            return Watched(backup_class(self, *arguments))

    monkeypatch.setattr(apsw, "Connection", Connection)
    await one_by_one.backup(tmp_path / "copy.db")
    copy = Stores.over(SqliteConnector(tmp_path / "copy.db"))
    await copy.connector.open()
    assert Merchant(ANN, "Acme", NOW) == await copy.merchants.find(ANN)
    assert steps > 10
    await copy.connector.close()
    stranger.close()


async def test_a_backup_never_writes_over_a_file(stores: Stores, tmp_path: Path) -> None:
    (tmp_path / "there.db").write_text("precious")
    for path in (tmp_path / "there.db", path_of(stores)):
        with pytest.raises(AlreadyExists, match="exists already"):
            await stores.connector.backup(path)
    assert "precious" == (tmp_path / "there.db").read_text()
    assert 50 == await wallet(stores)


async def test_a_backup_into_no_folder_says_so(stores: Stores, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="can't be written"):
        await stores.connector.backup(tmp_path / "missing" / "copy.db")


async def test_a_backup_of_a_missing_database_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        await Stores.over(SqliteConnector(tmp_path / "missing.db")).connector.backup(tmp_path / "copy.db")
    assert [] == list(tmp_path.iterdir())


async def test_a_backup_that_fails_leaves_no_half_copy(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Connection(apsw.Connection):
        def backup(self, *_: object) -> apsw.Backup:
            raise apsw.FullError("database or disk is full")

    monkeypatch.setattr(apsw, "Connection", Connection)
    with pytest.raises(StoreUnavailable, match="full"):
        await stores.connector.backup(tmp_path / "copy.db")
    monkeypatch.undo()
    assert not (tmp_path / "copy.db").exists()
    await stores.connector.backup(tmp_path / "copy.db")
