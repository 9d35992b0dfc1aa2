"""The SQLite engine: embedded, WAL, synchronous=FULL, one writer connection per process.

Statements run on the event loop's thread, where each takes microseconds; handing single statements to a thread would
cost more in switching than it saves. COMMIT, which waits for the disk, runs in a thread of its own, so requests go on
being read while it does. Other processes may use the same file: every write starts with BEGIN IMMEDIATE.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw
import msgspec

from farebox.core.accounts import Account, Kind
from farebox.core.approvals import Approval
from farebox.core.audit_log import AuditEntry
from farebox.core.holds import Hold
from farebox.core.ids import SEQ_MAX
from farebox.core.pricing import Price
from farebox.core.state import Alert, BatchState, Decision, KeyRecord, ReadSet
from farebox.core.transfers import Transfer
from farebox.storage import migrate, rows, sql
from farebox.storage.interface import (
    AlreadyExists,
    CommitUnknown,
    Decide,
    Fetch,
    NotFound,
    Snapshot,
    StorageError,
    StoreUnavailable,
)

BUSY_TIMEOUT_SECONDS: Final = 10.0
"""How long a write waits for another process to finish its own before it is refused."""

_BUSY_PAUSE_SECONDS: Final = 0.002
_READER_BUSY_TIMEOUT_MS: Final = 2_000
_CACHE_KIB: Final = 32 * 1024
_STATEMENTS_KEPT: Final = 1_000
"""How many places apsw has for compiled statements. Each row that a statement is run for takes another one, so this
many rows may lie between two uses of a statement before it is compiled anew."""

_WAL_AUTOCHECKPOINT_PAGES: Final = 16_000
"""How long the log grows before a COMMIT moves it into the database file. A page that changed many times meanwhile, as
those of the accounts do, is moved once. After a crash, 64 MB take less than a tenth of a second to be read again."""

_SNAPSHOT_CHUNK_ROWS: Final = 5_000
_BACKUP_STEP_PAGES: Final = 512

_UNAVAILABLE: Final = (
    apsw.BusyError,
    apsw.LockedError,
    apsw.FullError,
    apsw.IOError,
    apsw.ReadOnlyError,
    apsw.CantOpenError,
    apsw.PermissionsError,
    apsw.AuthError,
    apsw.InterruptError,
)

_SQL: Final = sql.statements("sqlite")
_Result = TypeVar("_Result")


class SqliteStore:
    """A `Store` on one SQLite file."""

    def __init__(self, path: Path) -> None:
        """Name the file; nothing is opened yet."""
        self._path = path
        self._writer: apsw.Connection | None = None
        self._reader: apsw.Connection | None = None
        self._write_lock = asyncio.Lock()
        self._commit_thread = _thread("farebox-commit")

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
        with _translated():
            reader = _connect(self._path, busy_timeout_ms=_READER_BUSY_TIMEOUT_MS)
            try:
                migrate.check_current(known, _applied_migrations(reader))
                self._writer = _connect(self._path, busy_timeout_ms=0)
            except BaseException:
                reader.close()
                raise
        self._reader = reader
        # What a process that was killed had written, but not synced, is in the log, and a retry would find it there: it
        # must be as safe as what is new. A disk that takes no writes has its say when it is written to.
        with suppress(apsw.Error):
            self._writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    async def close(self) -> None:
        """Finish what runs and disconnect."""
        async with self._write_lock:
            for connection in (self._reader, self._writer):
                if connection is not None:
                    connection.close()
            self._reader = self._writer = None
            self._commit_thread.shutdown()
            # Should the store be opened again: no thread is started before there is something to commit.
            self._commit_thread = _thread("farebox-commit")

    async def migrate(self, now: int) -> list[str]:
        """Create the schema or bring it up to date."""
        migrations = dict(sql.migrations("sqlite"))
        with _translated():
            connection = _connect(self._path, busy_timeout_ms=int(BUSY_TIMEOUT_SECONDS * 1000), is_new_allowed=True)
        try:
            with _translated():
                connection.execute("BEGIN IMMEDIATE")
            try:
                with _translated():
                    connection.execute(migrate.MIGRATION_TABLE)
                    names = migrate.pending(list(migrations), _applied_migrations(connection))
                    for name in names:
                        connection.execute(migrations[name])
                        connection.execute("INSERT INTO farebox_migration VALUES (?, ?)", (name, now))
                    connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            return names
        finally:
            connection.close()

    def route(self, merchant_id: int) -> int:
        """All merchants are in one group: one file has one writer."""
        return 0

    async def transact(self, reads: ReadSet, decide: Decide) -> Decision:
        """Run one batch in one transaction."""
        async with self._transaction() as cursor:
            decision = decide(_load(cursor, reads))
            if decision.changes_anything:
                _apply(cursor, decision)
        return decision

    async def balances(self, keys: Sequence[tuple[int, bytes]], now: int) -> Mapping[bytes, int]:
        """Read the available balance behind each merchant's API key."""
        found: dict[bytes, int] = {}
        cursor = self._reading()
        # All in one read transaction: to begin one for each costs more than the look-up.
        with _translated(), cursor.connection:
            found.update(cursor.executemany(_SQL["balance"], [(merchant, digest, now) for merchant, digest in keys]))
        return found

    async def find_key(self, merchant_id: int | None, digest: bytes) -> KeyRecord | None:
        """Look an API key up."""
        if merchant_id is None:
            row = self._row("load_staff_key", digest)
        else:
            row = self._row("load_merchant_key", merchant_id, digest)
        return None if row is None else KeyRecord(*row[1:])

    async def account(self, merchant_id: int) -> Account | None:
        """Read an account as of now."""
        row = self._row("load_account", merchant_id)
        return None if row is None else rows.checked_account_from_row(row)

    async def merchant(self, merchant_id: int) -> rows.Merchant | None:
        """Read a merchant's name and the like."""
        row = self._row("merchant", merchant_id)
        return None if row is None else rows.Merchant(*row)

    async def merchants(self, after: int, limit: int) -> Sequence[tuple[rows.Merchant, Account]]:
        """List merchants in order of id."""
        found = self._rows("merchants", after, limit)
        return [(rows.Merchant(*row[:3]), rows.checked_account_from_row(row[3:])) for row in found]

    async def transfers(
        self, merchant_id: int, *, first_seq: int, last_seq: int, limit: int, newest_first: bool
    ) -> Sequence[Transfer]:
        """Read a stretch of a book."""
        name = "transfers_newest_first" if newest_first else "transfers_oldest_first"
        return [rows.transfer_from_row(row) for row in self._rows(name, merchant_id, first_seq, last_seq, limit)]

    async def find_transfers(
        self, merchant_id: int, *, first_seq: int, last_seq: int, wanted: rows.TransferFilter
    ) -> Sequence[Transfer]:
        """Read all wanted transfers of a stretch of a book, newest first."""
        values = (merchant_id, first_seq, last_seq, *rows.filter_to_values(wanted))
        return [rows.transfer_from_row(row) for row in self._rows("find_transfers", *values)]

    async def transfers_at(self, merchant_id: int, seqs: Sequence[int]) -> Mapping[int, Transfer]:
        """Read single transfers of a book by their seq."""
        with _translated():
            return _transfers_at(self._reading(), merchant_id, seqs)

    async def funding_after(self, merchant_id: int, first_seq: int) -> Sequence[Transfer]:
        """Read a book's top-ups, reversals and adjustments from a seq on."""
        return [rows.transfer_from_row(row) for row in self._rows("funding_after", merchant_id, first_seq)]

    async def due_holds(self, now: int, limit: int) -> Sequence[Hold]:
        """List open holds whose time is over."""
        return [rows.hold_from_row(row) for row in self._rows("due_holds", now, limit)]

    async def create_merchant(
        self, merchant: rows.Merchant, account: Account, key: rows.ApiKey, audit_entry: AuditEntry | None = None
    ) -> None:
        """Add a merchant, its empty account and its first API key."""
        async with self._transaction(audit_entry) as cursor:
            cursor.execute(_SQL["insert_merchant"], (merchant.merchant_id, merchant.name, merchant.created_at))
            cursor.execute(_SQL["insert_account"], rows.account_to_row(account))
            _insert_key(cursor, key)

    async def rename_merchant(self, merchant_id: int, name: str, audit_entry: AuditEntry | None = None) -> None:
        """Change a merchant's name."""
        await self._change(audit_entry, f"no merchant {merchant_id}", ("rename_merchant", (merchant_id, name)))

    async def add_user(self, user: rows.User, audit_entry: AuditEntry | None = None) -> None:
        """Register a person on a merchant's account."""
        async with self._transaction(audit_entry) as cursor:
            cursor.execute(_SQL["insert_user"], msgspec.structs.astuple(user))

    async def users(self, merchant_id: int) -> Sequence[rows.User]:
        """List the people registered on a merchant's account."""
        return [rows.User(*row) for row in self._rows("users", merchant_id)]

    async def create_key(self, key: rows.ApiKey, audit_entry: AuditEntry | None = None) -> None:
        """Add an API key."""
        async with self._transaction(audit_entry) as cursor:
            _insert_key(cursor, key)

    async def keys(self, merchant_id: int | None) -> Sequence[rows.ApiKey]:
        """List API keys."""
        found = self._rows("staff_keys") if merchant_id is None else self._rows("merchant_keys", merchant_id)
        return [rows.ApiKey(*row) for row in found]

    async def key(self, key_id: int) -> rows.ApiKey | None:
        """Find an API key of any kind by its id."""
        row = self._row("key", key_id)
        return None if row is None else rows.ApiKey(*row)

    async def expire_key(self, key_id: int, at: int, audit_entry: AuditEntry | None = None) -> None:
        """Let an API key end at a time, or earlier if it already was to."""
        attempts = [(name, (key_id, at)) for name in ("expire_merchant_key", "expire_staff_key")]
        await self._change(audit_entry, f"no key {key_id}", *attempts)

    async def revoke_key(self, key_id: int, at: int, audit_entry: AuditEntry | None = None) -> None:
        """Close an API key for ever."""
        await self._change(
            audit_entry, f"no key {key_id}", ("revoke_merchant_key", (key_id, at)), ("revoke_staff_key", (key_id, at))
        )

    async def rotate_key(
        self, key_id: int, *, successor: rows.ApiKey, expires_at: int, audit_entry: AuditEntry | None = None
    ) -> None:
        """Add a key's successor and let the old one expire."""
        async with self._transaction(audit_entry) as cursor:
            if not _changes(cursor, "expire_merchant_key", (key_id, expires_at)) and not _changes(
                cursor, "expire_staff_key", (key_id, expires_at)
            ):
                raise NotFound(f"no key {key_id}")
            _insert_key(cursor, successor)

    async def set_price(self, price: Price, created_at: int, audit_entry: AuditEntry | None = None) -> None:
        """Add a version of a price."""
        values = (price.price_id, price.request_type, price.unit_price, price.starts_at, created_at)
        async with self._transaction(audit_entry) as cursor:
            if price.merchant_id is None:
                cursor.execute(_SQL["insert_default_price"], values)
            else:
                cursor.execute(_SQL["insert_merchant_price"], (*values, price.merchant_id))

    async def prices(self, merchant_id: int | None) -> Sequence[Price]:
        """List every version of the default prices or of a merchant's own."""
        found = self._rows("default_prices") if merchant_id is None else self._rows("merchant_prices", merchant_id)
        return [Price(*row) for row in found]

    async def approval(self, merchant_id: int, number: int) -> Approval | None:
        """Read one request for approval."""
        row = self._row("approval", merchant_id, number)
        return None if row is None else Approval(*row)

    async def approvals(self, *, merchant_id: int | None, before: int, limit: int) -> Sequence[Approval]:
        """List requests for approval, newest first."""
        if merchant_id is None:
            found = self._rows("all_approvals", before, limit)
        else:
            found = self._rows("merchant_approvals", merchant_id, before, limit)
        return [Approval(*row) for row in found]

    async def audit_entries(
        self, *, merchant_id: int | None, before: tuple[int, int], limit: int
    ) -> Sequence[AuditEntry]:
        """List the audit log, newest first."""
        if merchant_id is None:
            found = self._rows("all_audit", *before, limit)
        else:
            found = self._rows("merchant_audit", merchant_id, *before, limit)
        return [rows.audit_from_row(row) for row in found]

    async def roll_up_usage(self, merchant_id: int, *, transfers_max: int) -> int:
        """Sum the next transfers of a book up into its usage."""
        async with self._transaction() as cursor:
            mark = cursor.execute(_SQL["rolled_up_seq"], (merchant_id,)).fetchone()
            account = cursor.execute(_SQL["load_account"], (merchant_id,)).fetchone()
            if account is None:
                raise NotFound("no such merchant")
            done = 0 if mark is None else mark[0]
            last = min(done + transfers_max, rows.account_from_row(account).seq)
            cursor.execute(_SQL["roll_up_usage"], (merchant_id, done + 1, last))
            cursor.execute(_SQL["set_rolled_up_seq"], (merchant_id, last))
        return last - done

    async def books_to_roll_up(self, after: int, *, transfers_min: int, limit: int) -> Sequence[int]:
        """List merchants whose books have many transfers not summed up yet."""
        return [row[0] for row in self._rows("books_to_roll_up", after, transfers_min, limit)]

    async def usage(
        self, merchant_id: int, *, first_quarter: int, last_quarter: int, offset_quarters: int, bucket_quarters: int
    ) -> Sequence[rows.Usage]:
        """Sum usage up into buckets."""
        values = (merchant_id, first_quarter, last_quarter, offset_quarters, bucket_quarters)
        return [rows.Usage(*row) for row in self._rows("usage", *values)]

    async def alerts(self, merchant_id: int, limit: int) -> Sequence[Alert]:
        """List a merchant's alerts, newest first."""
        return [Alert(*row) for row in self._rows("alerts", merchant_id, limit)]

    async def claim_mails(self, now: int, *, lease_until: int, limit: int) -> Sequence[rows.OutboxMail]:
        """Take mails that are due."""
        async with self._transaction() as cursor:
            claimed = cursor.execute(_SQL["claim_mails"], (now, lease_until, limit)).fetchall()
            found = cursor.executemany(_SQL["mail"], claimed).fetchall()
        return [rows.mail_from_row(row) for row in found]

    async def settle_mail(self, mail: rows.OutboxMail) -> None:
        """Write what became of a claimed mail."""
        place = (mail.alert.merchant_id, mail.alert.number, mail.user_id)
        values = (mail.state, mail.next_attempt_at, mail.sent_at, mail.last_error)
        await self._change(None, "no such mail", ("settle_mail", (*place, *values)))

    async def mails(self, *, merchant_id: int | None, limit: int) -> Sequence[rows.OutboxMail]:
        """List the outbox, newest first."""
        if merchant_id is None:
            found = self._rows("all_mails", limit)
        else:
            found = self._rows("merchant_mails", limit, merchant_id)
        return [rows.mail_from_row(row) for row in found]

    async def retry_mails(self, now: int) -> int:
        """Make every mail that is not sent due now."""
        async with self._transaction() as cursor:
            return _changes(cursor, "retry_mails", (now,))

    async def next_mail_at(self) -> int | None:
        """When the next mail falls due."""
        row = self._row("next_mail_at")
        return None if row is None else row[0]

    async def fetch(self, statement: str, *values: Any) -> Sequence[Sequence[Any]]:
        """Run one statement that changes nothing."""
        with _translated():
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
        return _snapshot(self._path)

    async def backup(self, path: Path) -> None:
        """Write a consistent copy of the database to a new file."""
        await asyncio.to_thread(_backup, self._path, path)

    def _reading(self) -> apsw.Cursor:
        if self._reader is None:
            raise StoreUnavailable("the database is not open")
        return self._reader.cursor()

    def _rows(self, name: str, *values: Any) -> list[Any]:
        with _translated():
            return self._reading().execute(_SQL[name], values).fetchall()

    def _row(self, name: str, *values: Any) -> Any:
        with _translated():
            return self._reading().execute(_SQL[name], values).fetchone()

    async def _change(
        self, audit_entry: AuditEntry | None, missing: str, *attempts: tuple[str, tuple[Any, ...]]
    ) -> None:
        """Run each statement until one changes a row; raise NotFound if none does."""
        async with self._transaction(audit_entry) as cursor:
            if not any(_changes(cursor, name, values) for name, values in attempts):
                raise NotFound(missing)

    @asynccontextmanager
    async def _transaction(self, audit_entry: AuditEntry | None = None) -> AsyncIterator[apsw.Cursor]:
        """Hold the database's write lock around a block, then COMMIT; any error in the block rolls back.

        An `audit_entry` for the audit log is written after it.
        """
        async with self._write_lock:
            if self._reader is None:
                raise StoreUnavailable("the database is not open")
            with _translated():
                if self._writer is None:
                    self._writer = _connect(self._path, busy_timeout_ms=0)
            connection = self._writer
            await _begin(connection.cursor())
            try:
                with _translated():
                    yield connection.cursor()
                    if audit_entry is not None:
                        connection.execute(_SQL["insert_audit_entry"], rows.audit_to_row(audit_entry))
            except BaseException:
                self._roll_back(connection)
                raise
            await self._commit(connection)

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
        """COMMIT in the commit thread, and see it through however often the caller is cancelled meanwhile."""
        commit = asyncio.get_running_loop().run_in_executor(self._commit_thread, connection.execute, "COMMIT")
        cancelled: asyncio.CancelledError | None = None
        while not commit.done():
            try:
                await asyncio.wait([commit])
            except asyncio.CancelledError as error:
                cancelled = error
        failure = commit.exception()
        if failure is not None:
            # The file may or may not hold the batch.
            self._discard(connection)
        if cancelled is not None:
            raise cancelled
        if failure is not None:
            raise CommitUnknown(f"SQLite failed during COMMIT: {failure}") from failure


def _connect(path: Path, *, busy_timeout_ms: int, is_new_allowed: bool = False) -> apsw.Connection:
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if is_new_allowed else 0)
    connection = apsw.Connection(str(path), flags=flags, statementcachesize=_STATEMENTS_KEPT)
    # The first look into a file may have to wait until another process has recovered it from a crash.
    connection.set_busy_timeout(max(busy_timeout_ms, _READER_BUSY_TIMEOUT_MS))
    # Plans suit any values. Else SQLite looks at those of some statements, and compiles them anew for each other value.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.pragma("foreign_keys", True)
    connection.pragma("cache_size", -_CACHE_KIB)
    connection.pragma("wal_autocheckpoint", _WAL_AUTOCHECKPOINT_PAGES)
    connection.set_busy_timeout(busy_timeout_ms)
    return connection


def _thread(name: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)


def _begin_reading(connection: apsw.Connection) -> None:
    """Begin a read transaction. It sees the moment of its first read, so there must be one."""
    connection.execute("BEGIN")
    connection.execute("SELECT 1 FROM merchant LIMIT 1").fetchall()


async def _begin(cursor: apsw.Cursor) -> None:
    """Take the write lock without holding up the event loop while another process has it."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            cursor.execute("BEGIN IMMEDIATE")
        except apsw.BusyError as error:
            if loop.time() >= deadline:
                raise StoreUnavailable("another process has kept the database locked") from error
            await asyncio.sleep(_BUSY_PAUSE_SECONDS)
        except apsw.Error as error:
            raise StoreUnavailable(f"the database takes no writes: {error}") from error
        else:
            return


@contextmanager
def _translated() -> Iterator[None]:
    """Wrap the driver's errors once, here at the edge."""
    try:
        yield
    except _UNAVAILABLE as error:
        raise StoreUnavailable(f"SQLite: {error}") from error
    except apsw.ConstraintError as error:
        if "FOREIGN KEY" in str(error):
            raise NotFound("no such merchant") from error
        if "UNIQUE" in str(error):
            raise AlreadyExists(f"there already: {error}") from error
        raise StorageError(f"SQLite: {error}") from error
    except apsw.Error as error:
        raise StorageError(f"SQLite: {error}") from error


def _applied_migrations(connection: apsw.Connection) -> list[str]:
    if not connection.table_exists("main", "farebox_migration"):
        return []
    return [name for (name,) in connection.execute("SELECT name FROM farebox_migration ORDER BY name")]


def _load(cursor: apsw.Cursor, reads: ReadSet) -> BatchState:
    """Read what a batch needs, each kind of row in one pass over its sorted keys."""
    many = cursor.executemany
    now = reads.now
    state = BatchState()
    found = many(_SQL["load_account"], [(merchant_id,) for merchant_id in reads.merchant_ids])
    state.accounts = {row[0]: rows.checked_account_from_row(row) for row in found}
    keys = {row[0]: KeyRecord(*row[1:]) for row in many(_SQL["load_staff_key"], [(it,) for it in reads.staff_digests])}
    if reads.merchant_digests:
        keys |= {row[0]: KeyRecord(*row[1:]) for row in many(_SQL["load_merchant_key"], reads.merchant_digests)}
    state.keys = keys
    if reads.request_types:
        found = many(_SQL["load_default_price"], [(name, now) for name in reads.request_types])
        state.default_prices = {row[1]: Price(*row) for row in found}
        found = many(_SQL["load_merchant_price"], [(*pair, now) for pair in reads.merchant_types])
        state.merchant_prices = {(row[4], row[1]): Price(*row) for row in found}
    found = many(_SQL["load_replay"], reads.idempotency_keys)
    state.replays = {(row[0], row[4]): rows.transfer_from_row(row) for row in found}
    replayed_holds = [(item.merchant_id, item.seq) for item in state.replays.values() if item.kind == Kind.HOLD]
    if reads.holds or replayed_holds:
        found = many(_SQL["load_hold"], sorted({*reads.holds, *replayed_holds}))
        state.holds = {(row[0], row[1]): rows.checked_hold_from_row(row) for row in found}
    if reads.originals:
        found = many(_SQL["load_original"], reads.originals)
        state.originals = {(row[0], row[1]): rows.original_from_row(row) for row in found}
    if reads.approvals or reads.approval_keys:
        by_number, by_key = many(_SQL["approval"], reads.approvals), reads.approval_keys
        state.approvals = [Approval(*row) for row in (*by_number, *many(_SQL["approval_of_key"], by_key))]
    return state


def _apply(cursor: apsw.Cursor, decision: Decision) -> None:
    """Write a decision's rows; the transaction is the caller's."""
    many = cursor.executemany
    many(_SQL["insert_transfer"], map(rows.transfer_to_row, decision.transfers))
    many(_SQL["update_account"], map(rows.account_to_row, decision.accounts))
    if decision.new_holds:
        many(_SQL["insert_hold"], map(rows.hold_to_row, decision.new_holds))
    if decision.changed_holds:
        many(_SQL["update_hold"], map(rows.hold_to_row, decision.changed_holds))
    if decision.alerts:
        many(_SQL["insert_alert"], map(rows.alert_to_row, decision.alerts))
        many(_SQL["insert_mails"], [(item.merchant_id, item.number, item.fired_at) for item in decision.alerts])
    if decision.audit_entries:
        many(_SQL["insert_audit_entry"], map(rows.audit_to_row, decision.audit_entries))
    if decision.new_approvals:
        many(_SQL["insert_approval"], map(rows.approval_to_row, decision.new_approvals))
    if decision.changed_approvals:
        many(_SQL["close_approval"], map(rows.approval_to_closing, decision.changed_approvals))


def _insert_key(cursor: apsw.Cursor, key: rows.ApiKey) -> None:
    times = (key.created_at, key.expires_at, key.revoked_at)
    if key.merchant_id is None:
        cursor.execute(_SQL["insert_staff_key"], (key.digest, key.key_id, key.kind, key.name, key.hint, *times))
    else:
        cursor.execute(_SQL["insert_merchant_key"], (key.merchant_id, key.digest, key.key_id, key.hint, *times))


def _changes(cursor: apsw.Cursor, name: str, values: tuple[Any, ...]) -> int:
    cursor.execute(_SQL[name], values)
    return cursor.connection.changes()


def _transfers_at(cursor: apsw.Cursor, merchant_id: int, seqs: Sequence[int]) -> dict[int, Transfer]:
    found = cursor.executemany(_SQL["load_transfer"], [(merchant_id, seq) for seq in seqs])
    return {row[1]: rows.transfer_from_row(row) for row in found}


class _SqliteSnapshot:
    """A read transaction on a connection and thread of its own, so that a long read holds nobody up."""

    def __init__(self, connection: apsw.Connection, thread: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._thread = thread

    async def merchant_ids(self) -> list[int]:
        """List every merchant, in order."""
        return [row[0] for row in await self._rows("merchant_ids")]

    async def books(self, merchant_ids: Sequence[int]) -> Mapping[int, rows.BookRows]:
        """Read short books at once, in one visit to the thread."""
        return await self._run(lambda: _books(self._connection.cursor(), merchant_ids))

    async def account(self, merchant_id: int) -> Account | None:
        """Read a merchant's account, unchecked."""
        found = await self._rows("load_account", merchant_id)
        return rows.account_from_row(found[0]) if found else None

    async def transfers(self, merchant_id: int) -> AsyncIterator[Sequence[Transfer]]:
        """Read a merchant's whole book in order of seq, in chunks."""
        after = 0
        while True:
            found = await self._rows("transfers_oldest_first", merchant_id, after + 1, SEQ_MAX, _SNAPSHOT_CHUNK_ROWS)
            if found:
                yield [rows.transfer_from_row(row) for row in found]
            if len(found) < _SNAPSHOT_CHUNK_ROWS:
                return
            after = found[-1][1]

    async def transfers_at(self, merchant_id: int, seqs: Sequence[int]) -> Mapping[int, Transfer]:
        """Read single transfers of a book by their seq."""
        if not seqs:
            return {}
        return await self._run(lambda: _transfers_at(self._connection.cursor(), merchant_id, seqs))

    async def holds(self, merchant_id: int) -> Sequence[Hold]:
        """Read all of a merchant's holds, unchecked."""
        return [rows.hold_from_row(row) for row in await self._rows("holds", merchant_id)]

    async def _rows(self, name: str, *values: Any) -> list[Any]:
        return await self._run(lambda: self._connection.cursor().execute(_SQL[name], values).fetchall())

    async def _run(self, read: Callable[[], _Result]) -> _Result:
        with _translated():
            return await asyncio.get_running_loop().run_in_executor(self._thread, read)


@asynccontextmanager
async def _snapshot(path: Path) -> AsyncIterator[_SqliteSnapshot]:
    with _translated():
        connection = _connect(path, busy_timeout_ms=_READER_BUSY_TIMEOUT_MS)
    thread = _thread("farebox-snapshot")
    try:
        with _translated():
            _begin_reading(connection)
        yield _SqliteSnapshot(connection, thread)
    finally:
        # A read whose caller went away still runs, and the connection can't be closed under it.
        connection.interrupt()
        thread.shutdown(cancel_futures=True)
        connection.close()


def _books(cursor: apsw.Cursor, merchant_ids: Sequence[int]) -> dict[int, rows.BookRows]:
    found = {}
    for number in merchant_ids:
        stretch = (number, 1, SEQ_MAX, rows.BOOK_TRANSFERS_MAX + 1)
        # Texts that are none can't even be fetched.
        with suppress(UnicodeDecodeError):
            transfers = cursor.execute(_SQL["transfers_oldest_first"], stretch).fetchall()
            if len(transfers) <= rows.BOOK_TRANSFERS_MAX:
                account = cursor.execute(_SQL["load_account"], (number,)).fetchone()
                holds = cursor.execute(_SQL["holds"], (number,)).fetchall()
                book = rows.book_from_rows(account, transfers, holds)
                if book is not None:
                    found[number] = book
    return found


def _backup(source_path: Path, target_path: Path) -> None:
    """Copy page by page from one read transaction, so that writers are not held up and the copy never starts anew."""
    with _translated(), closing(_connect(source_path, busy_timeout_ms=_READER_BUSY_TIMEOUT_MS)) as source:
        _begin_reading(source)
        try:
            target_path.touch(exist_ok=False)
        except FileExistsError as error:
            raise AlreadyExists(f"{target_path} exists already") from error
        except OSError as error:
            raise StorageError(f"the copy can't be written: {error}") from error
        try:
            with closing(apsw.Connection(str(target_path))) as target:
                with target.backup("main", source, "main") as backup:
                    while not backup.done:
                        backup.step(_BACKUP_STEP_PAGES)
                target.pragma("journal_mode", "wal")
        except BaseException:
            # Half a copy must not be taken for one.
            target_path.unlink()
            raise
