"""The SQLite engine: embedded, WAL, synchronous=FULL, one writer connection per process.

Statements run on the event loop's thread, where each takes microseconds; handing single statements to a thread would
cost more in switching than it saves. COMMIT, which waits for the disk, runs in a thread of its own, so requests go on
being read while it does. What moves the log into the file runs in a third one. Other processes may use the same file:
every write starts with BEGIN IMMEDIATE.
"""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from farebox.core.audit_log import AuditEntry
from farebox.core.state import BatchState, Decision, MoreGrantsNeeded, ReadSet
from farebox.storage import migrate, rows, sql
from farebox.storage.batch_grants import more_merchants
from farebox.storage.batch_steps import BatchSteps
from farebox.storage.interface import (
    CommitUnknown,
    Decide,
    Fetch,
    LedgerMoved,
    Snapshot,
    StorageError,
    StoreReplaced,
    StoreUnavailable,
)
from farebox.storage.last_committed import LastCommitted
from farebox.storage.ledger_move import MIGRATION, READ_STATE, check_served
from farebox.storage.sqlite.backup import backup
from farebox.storage.sqlite.batch import apply, load, load_grants
from farebox.storage.sqlite.checkpoints import Checkpoints
from farebox.storage.sqlite.commits import Commits
from farebox.storage.sqlite.connection import (
    LIMITS,
    READER_BUSY_TIMEOUT_MS,
    SqliteLimits,
    applied_migrations,
    apply_part,
    connect,
    leave_log_to,
    translated,
    translation,
)
from farebox.storage.sqlite.file import DatabaseFile
from farebox.storage.sqlite.snapshot import open_snapshot
from farebox.storage.upgrades import data_steps

_BUSY_PAUSE_SECONDS: Final = 0.002
_SQL: Final = sql.statements("sqlite")
_Result = TypeVar("_Result")


class SqliteConnector:
    """A `Connector` to one SQLite file."""

    def __init__(self, path: Path, limits: SqliteLimits = LIMITS, *, is_copy_allowed: bool = False) -> None:
        """Name the file; nothing is opened yet. `is_copy_allowed`: it may be a copy that is not finished."""
        self._limits = limits
        self._is_copy_allowed = is_copy_allowed
        self._is_move_told = False
        self._path = path
        self._file = DatabaseFile(path)
        self._last_committed = LastCommitted()
        self._went_back: StoreReplaced | None = None
        self._writer: apsw.Connection | None = None
        self._reader: apsw.Connection | None = None
        self._write_lock = asyncio.Lock()
        self._commits = Commits()
        self._checkpoints = Checkpoints(path, limits, self._file, self._transaction)

    @property
    def dialect(self) -> str:
        """How this engine writes SQL."""
        return "sqlite"

    @property
    def engine(self) -> str:
        """The engine's name and version, for people."""
        return f"SQLite {apsw.sqlite_lib_version()}"

    async def open(self) -> None:
        """Connect and check the schema."""
        await self.close()
        known = [name for name, _ in sql.migrations("sqlite")]
        if not self._path.exists():
            migrate.check_current(known, [])
        with translated():
            reader = connect(self._path, busy_timeout_ms=READER_BUSY_TIMEOUT_MS)
            try:
                applied = applied_migrations(reader)
                migrate.check_current(known, applied)
                self._is_move_told = MIGRATION in applied and not self._is_copy_allowed
                if self._is_move_told:
                    check_served(reader.execute(READ_STATE).fetchall())
                self._file.open(reader)
                self._writer = self._connect_writer()
            except BaseException:
                reader.close()
                self._file.close()
                raise
        self._reader = reader
        # What a process that was killed had written, but not synced, is in the log, and a retry would find it there: it
        # must be as safe as what is new. A disk that takes no writes has its say when it is written to.
        with suppress(apsw.Error):
            self._writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    async def close(self) -> None:
        """Finish what runs and disconnect."""
        await self._checkpoints.close()
        async with self._write_lock:
            is_log_kept = self._file.is_log_foreign()
            for connection in (self._reader, self._writer):
                if connection is not None:
                    # The last one would move the log into a file that it is not of.
                    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, is_log_kept)
                    connection.close()
            self._reader = self._writer = None
            self._file.close()
            self._last_committed.forget()
            self._went_back = None
            self._commits.close()

    async def migrate(self, now: int) -> list[str]:
        """Create the schema or bring it up to date."""
        migrations = dict(sql.migrations("sqlite"))
        with translated():
            connection = connect(self._path, busy_timeout_ms=self._limits.busy_timeout_ms, is_new_allowed=True)
        try:
            with translated():
                connection.execute("BEGIN IMMEDIATE")
            try:
                with translated():
                    connection.execute(migrate.MIGRATION_TABLE)
                    names = migrate.pending(list(migrations), applied_migrations(connection))
                    for name in names:
                        for part in data_steps.parts(name, migrations[name]):
                            apply_part(connection, part, now)
                        connection.execute("INSERT INTO farebox_migration VALUES (?, ?)", (name, now))
                    connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            return names
        finally:
            connection.close()

    async def check(self) -> None:
        """See that the file at the path is the one that was opened, and that the ledger has not moved."""
        reader = self._check(self._file.check)
        if not self._is_move_told:
            return
        with translated():
            found = reader.execute(READ_STATE).fetchall()
        try:
            check_served(found)
        except LedgerMoved as error:
            self._went_back = error
            raise

    async def check_writable(self) -> None:
        """Commit a write that changes nothing."""
        try:
            async with self._transaction() as cursor:
                cursor.execute(_SQL["write_nothing"])
        except CommitUnknown as error:
            cause = error.__cause__
            raise (translation(cause) if isinstance(cause, apsw.Error) else StoreUnavailable(str(error))) from error

    def disk_free_bytes(self) -> int | None:
        """Tell how much room is left on the file's disk; None if it can't be told."""
        try:
            return shutil.disk_usage(self._path.parent).free
        except OSError:
            return None

    def log_bytes(self) -> int | None:
        """Tell how large the log beside the file is."""
        try:
            return self._path.with_name(f"{self._path.name}-wal").stat().st_size
        except OSError:
            return None

    def route(self, merchant_id: int) -> int:
        """All merchants are in one group: one file has one writer."""
        return 0

    @property
    def batches_at_once(self) -> int:
        """One: the others would wait for its lock."""
        return 1

    async def transact(self, reads: ReadSet, decide: Decide, steps: BatchSteps | None = None) -> Decision:
        """Run one batch in one transaction."""
        steps = steps or BatchSteps()
        async with self._transaction() as cursor:
            steps.locked = time.monotonic_ns()
            state = load(cursor, reads)
            steps.loaded = time.monotonic_ns()
            try:
                self._last_committed.check(reads.merchant_ids, state.accounts)
            except StoreReplaced as error:
                self._went_back = error
                raise
            decision = _decided(cursor, reads, state, decide)
            steps.decided = time.monotonic_ns()
            if decision.changes_anything:
                apply(cursor, state, decision)
            steps.applied = time.monotonic_ns()
        steps.committed = time.monotonic_ns()
        self._last_committed.note(decision)
        return decision

    async def balances(self, keys: Sequence[tuple[int, bytes]], now: int) -> Mapping[bytes, int]:
        """Read the available balance behind each merchant's API key."""
        found: dict[bytes, int] = {}
        cursor = self._reading()
        # All in one read transaction: to begin one for each costs more than the look-up.
        with translated(), cursor.connection:
            found.update(cursor.executemany(_SQL["balance"], [(merchant, digest, now) for merchant, digest in keys]))
        return found

    async def fetch(self, statement: str, *values: Any) -> Sequence[Sequence[Any]]:
        """Run one statement that changes nothing."""
        with translated():
            return self._reading().execute(statement, values).fetchall()

    async def run_in_transaction(
        self, work: Callable[[Fetch], Awaitable[_Result]], audit_entry: AuditEntry | None = None
    ) -> _Result:
        """Run a work's statements in one transaction."""
        async with self._transaction(audit_entry) as cursor:

            async def fetch(statement: str, *values: Any) -> Sequence[Sequence[Any]]:
                return cursor.execute(statement, values).fetchall()

            return await work(fetch)

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        """Read the whole ledger as of one moment."""
        self._check_if_open()
        return open_snapshot(self._path, self._limits.snapshot_chunk_rows)

    async def backup(self, path: Path, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Write a consistent copy of the database to a new file."""
        self._check_if_open()
        await asyncio.to_thread(backup, self._path, path, self._limits.backup_step_pages, on_progress)

    def _check(self, look: Callable[[], None]) -> apsw.Connection:
        """See that the database is open, and, as `look` does, what it was when it was opened.

        Returns:
            The connection for reads.

        Raises:
            StoreReplaced: it is not what it was.
        """
        if self._reader is None:
            raise StoreUnavailable("the database is not open")
        if self._went_back is not None:
            raise type(self._went_back)(str(self._went_back))
        look()
        return self._reader

    def _check_if_open(self) -> None:
        """See the same, for a connection of its own, which needs none that is open."""
        if self._reader is not None:
            self._check(self._file.check)

    def _connect_writer(self) -> apsw.Connection:
        writer = connect(self._path, busy_timeout_ms=0)
        try:
            self._file.check_connection(writer)
            leave_log_to(writer, self._checkpoints.committed, self._limits.log_frames_max)
        except BaseException:
            writer.close()
            raise
        return writer

    def _reading(self) -> apsw.Cursor:
        return self._check(self._file.check_file_and_log).cursor()

    @asynccontextmanager
    async def _transaction(self, audit_entry: AuditEntry | None = None) -> AsyncIterator[apsw.Cursor]:
        """Hold the database's write lock around a block, then COMMIT; any error in the block rolls back.

        An `audit_entry` for the audit log is written after it.
        """
        async with self._write_lock:
            self._check(self._file.check_file_and_log)
            with translated():
                if self._writer is None:
                    self._writer = self._connect_writer()
            connection = self._writer
            await _begin(connection.cursor(), self._limits.busy_timeout_ms)
            try:
                self._check(self._file.check)
                with translated():
                    yield connection.cursor()
                    if audit_entry is not None:
                        connection.execute(_SQL["insert_audit_entry"], rows.audit_to_row(audit_entry))
            except BaseException as error:
                self._roll_back(connection)
                if isinstance(error, LedgerMoved):
                    # The balances here are not true any more.
                    self._went_back = error
                raise
            await self._commit(connection)
            try:
                self._check(self._file.check_committed)
            except StorageError as error:
                raise CommitUnknown(f"COMMIT went into a file that is not the database any more: {error}") from error
            self._checkpoints.begin_if_due()

    def _roll_back(self, connection: apsw.Connection) -> None:
        """End the transaction after an error, which is on its way to the caller."""
        try:
            # SQLite has rolled back by itself after some errors, such as a full disk.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except apsw.Error:
            self._discard(connection)

    def _discard(self, connection: apsw.Connection) -> None:
        """Give up a connection in an unknown state; the next transaction begins on a fresh one, on what is true."""
        self._writer = None
        with suppress(apsw.Error):
            connection.close(force=True)

    async def _commit(self, connection: apsw.Connection) -> None:
        """COMMIT, and see it through however often the caller is cancelled meanwhile."""
        commit = self._commits.begin(connection)
        try:
            await commit.see_through()
        finally:
            if commit.failure is not None:
                # The file may or may not hold the batch.
                self._discard(connection)
        if commit.failure is not None:
            raise CommitUnknown(f"SQLite failed during COMMIT: {commit.failure}") from commit.failure


def _decided(cursor: apsw.Cursor, reads: ReadSet, state: BatchState, decide: Decide) -> Decision:
    """Decide, again with more grants as long as `decide` asks for them."""
    more: frozenset[int] = frozenset()
    while True:
        try:
            return decide(state)
        except MoreGrantsNeeded as error:
            more = more_merchants(error, more, reads)
            load_grants(cursor, reads, state, more)


async def _begin(cursor: apsw.Cursor, timeout_ms: int) -> None:
    """Take the write lock without holding up the event loop while another process has it."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_ms / 1000
    while True:
        try:
            cursor.execute("BEGIN IMMEDIATE")
        except apsw.BusyError as error:
            if loop.time() >= deadline:
                raise StoreUnavailable("another process has kept the database locked") from error
            await asyncio.sleep(_BUSY_PAUSE_SECONDS)
        except apsw.Error as error:
            raise type(translation(error))(f"the database takes no writes: {error}") from error
        else:
            return
