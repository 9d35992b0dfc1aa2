"""The PostgreSQL engine: many processes and machines on one ledger, accounts locked row by row in sorted order.

A batch is six round trips whatever its size: BEGIN, lock and read the accounts, load all else, insert the transfers,
update the accounts, COMMIT. Holds and alerts add one each. The load is a statement of its own, after the lock: in READ
COMMITTED a statement sees the other tables as of its start, so one that had waited for a lock would miss what the
holder of the lock has just committed, and a retry of it would be charged again.

Plans don't depend on what the planner knows: sessions plan each statement once (force_generic_plan), prefer indexes to
reading whole tables, and the statements leave no choice of index where a wrong one would walk a merchant's history.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import msgspec
from asyncpg.pool import PoolConnectionProxy

from farebox.core.accounts import Account
from farebox.core.approvals import Approval
from farebox.core.audit_log import AuditEntry
from farebox.core.holds import Hold
from farebox.core.ids import SEQ_MAX
from farebox.core.pricing import Price
from farebox.core.state import Alert, BatchState, Decision, KeyRecord, Original, ReadSet
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

VERSION_MIN: Final = 14
CONNECTIONS_MAX: Final = 10
"""How many connections one process keeps at most, a snapshot's own not counted."""

CONNECT_TIMEOUT_SECONDS: Final = 10
"""How long a call waits for a connection, a new one or one that another call gives back. Hosts share it evenly."""

TRANSACTION_ATTEMPTS_MAX: Final = 5
"""How often a transaction is tried that loses a race before COMMIT."""

LOCK_TIMEOUT_MS: Final = 5_000
"""How long a statement waits for a row that another transaction has locked."""

STATEMENT_TIMEOUT_MS: Final = 10_000
"""How long a statement may take; the server cancels one that takes longer."""

SNAPSHOT_STATEMENT_TIMEOUT_MS: Final = 30_000
"""The same for a snapshot, which reads much at a time and holds up nobody."""

IDLE_IN_TRANSACTION_TIMEOUT_MS: Final = 15_000
"""How long a transaction may lie idle: a machine that died with locks in its hands holds them no longer than this."""

SNAPSHOT_IDLE_TIMEOUT_MS: Final = 600_000
"""How long a snapshot's reader may pause: it holds no lock, but keeps the server from clearing old rows away."""

MIGRATION_LOCK_TIMEOUT_MS: Final = 60_000
"""How long a migration waits for another one, and for the tables that it changes."""

COMMAND_TIMEOUT_SECONDS: Final = 15
"""How long the program waits for an answer when even the server's own time limits are not heard of: its machine may be
gone without a word, or whatever stands between."""

SNAPSHOT_COMMAND_TIMEOUT_SECONDS: Final = 40
"""The same for a snapshot."""

COMMIT_TIMEOUT_SECONDS: Final = 10
"""How long COMMIT may take before its fate counts as unknown. The connection is closed then, COMMIT is never cancelled:
a server whose COMMIT waits for a standby would stop waiting and take it for done."""

SMALL_BATCH_TRANSFERS_MAX: Final = 32
"""Up to so many transfers are written in one round trip with their accounts; COPY is cheaper for more."""

_ROLLBACK_TIMEOUT_SECONDS: Final = 5
_CLOSE_TIMEOUT_SECONDS: Final = 40
_SNAPSHOT_CHUNK_ROWS: Final = 5_000
_TAG_WIDTH: Final = 4
_CURRENCY_LETTERS: Final = 3
_MIGRATION_LOCK_KEY: Final = 0x_FA4E_B0C5
_BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"

_SESSION: Final = {
    "lock_timeout": str(LOCK_TIMEOUT_MS),
    "statement_timeout": str(STATEMENT_TIMEOUT_MS),
    "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_TIMEOUT_MS),
    # A plan that suits any values is made once, and never from what the tables happened to hold at the time.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    # Plans that are made costly above must not look worth compiling.
    "jit": "off",
}

# A stronger setting, remote_apply, is the operator's choice and stays; one that answers before the disk does can't.
_ENSURE_DURABILITY: Final = """
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local')
"""

_UNAVAILABLE_CLASSES: Final = ("08", "28", "3D", "53", "57", "58")
"""SQLSTATE classes: connection, login, no such database, too few resources, operator intervention, system error."""

_UNAVAILABLE: Final = frozenset(
    {
        asyncpg.ReadOnlySQLTransactionError.sqlstate,
        asyncpg.LockNotAvailableError.sqlstate,
        asyncpg.IdleInTransactionSessionTimeoutError.sqlstate,
    }
)
_LOST_RACES: Final = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    # A migration changed a table under a prepared statement, which asyncpg has forgotten now.
    asyncpg.InvalidCachedStatementError,
)

_SQL: Final = sql.statements("postgres")
_TRANSFER_COLUMNS: Final = rows.TRANSFER_COLUMNS.split(", ")

_Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
_Result = TypeVar("_Result")


class _LostRace(StoreUnavailable):
    """A transaction failed before COMMIT only because of others; the same again may succeed."""


class _PooledConnection(asyncpg.Connection):
    """A connection that knows which of the pool's generations it belongs to."""

    generation = 0


class _Hosts:
    """The hosts that a URL names: the one that let us in last is tried first, then the others."""

    def __init__(self, url: str) -> None:
        """Take asyncpg's URL apart: given several hosts, it would spend all its time on one that does not answer."""
        self._urls = deque(_single_host_urls(url))

    async def connect(self, *_: object, **options: Any) -> "asyncpg.Connection[asyncpg.Record]":
        """Connect to the first host that lets us in; with several hosts, to one that takes writes."""
        options["timeout"] = CONNECT_TIMEOUT_SECONDS / len(self._urls)
        failures: dict[str, Exception] = {}
        for url in list(self._urls):
            try:
                return await asyncpg.connect(url, **options)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
                failures[url.rpartition("@")[2].partition("/")[0]] = error
                if self._urls[0] is url:
                    self._urls.rotate(-1)
        if len(failures) == 1:
            raise failures.popitem()[1]
        raise ConnectionError("; ".join(f"{host}: {_first_line(error)}" for host, error in failures.items()))


def _single_host_urls(url: str) -> list[str]:
    """Split a URL with several hosts into one for each, which asks for writes unless it asks for anything else."""
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    if "," not in hosts:
        return [url]
    query = parts.query
    if "target_session_attrs=" not in query:
        query = f"{query}&target_session_attrs=read-write".lstrip("&")
    return [urlunsplit(parts._replace(netloc=f"{login}{at}{host}", query=query)) for host in hosts.split(",")]


class PostgresStore:
    """A `Store` on one PostgreSQL database."""

    def __init__(self, url: str) -> None:
        """Name the database; nothing is connected yet. The URL is asyncpg's: TLS and several hosts stand in it."""
        self._hosts = _Hosts(url)
        self._generation = 0
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._version = ""

    @property
    def dialect(self) -> str:
        """How this engine writes SQL."""
        return "postgres"

    @property
    def engine(self) -> str:
        """The engine's name and, once it is open, its version, for people."""
        return f"PostgreSQL {self._version}".rstrip()

    async def open(self) -> None:
        """Connect and check the schema.

        Raises:
            StorageError: the server is too old, or the database does not keep texts in UTF-8.
        """
        await self.close()
        # No connection is kept open for its own sake: one that is missing is made when it is needed.
        pool = asyncpg.create_pool(
            connect=self._hosts.connect,
            connection_class=_PooledConnection,
            min_size=0,
            max_size=CONNECTIONS_MAX,
            command_timeout=COMMAND_TIMEOUT_SECONDS,
            max_cached_statement_lifetime=0,
            server_settings=_SESSION,
            init=self._set_up,
            reset=_leave_as_it_is,
        )
        with _translated():
            await pool
            self._pool = pool
            try:
                async with self._connection() as connection:
                    self._version = _checked_version(connection)
                    applied = await _applied_migrations(connection)
                migrate.check_current([name for name, _ in sql.migrations("postgres")], applied)
            except BaseException:
                self._pool = None
                pool.terminate()
                raise

    async def close(self) -> None:
        """Finish what runs and disconnect."""
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                async with asyncio.timeout(_CLOSE_TIMEOUT_SECONDS):
                    await pool.close()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                # A server that can't be told good-bye is gone already.
                pool.terminate()

    async def migrate(self, now: int) -> list[str]:
        """Create the schema or bring it up to date.

        Raises:
            StorageError: the server is too old, or the database does not keep texts in UTF-8.
        """
        migrations = dict(sql.migrations("postgres"))
        names: list[str] = []
        limits = {"lock_timeout": str(MIGRATION_LOCK_TIMEOUT_MS), "statement_timeout": "0"}
        async with _own_connection(self._hosts, limits, command_timeout_seconds=None) as connection:
            _checked_version(connection)
            while (name := await _migrate_one(connection, migrations, now)) is not None:
                names.append(name)
        return names

    def route(self, merchant_id: int) -> int:
        """All merchants are in one group: one server commits any batch at once."""
        return 0

    async def transact(self, reads: ReadSet, decide: Decide) -> Decision:
        """Run one batch in one transaction."""

        async def batch(connection: _Connection) -> Decision:
            decision = decide(await _load(connection, reads))
            if decision.changes_anything:
                await _apply(connection, decision)
            return decision

        begin = f"{_BEGIN}; EXECUTE lock_accounts('{{{','.join(map(str, reads.merchant_ids))}}}')"
        return await self._transaction(batch, _must_last, begin=begin)

    async def balances(self, keys: Sequence[tuple[int, bytes]], now: int) -> Mapping[bytes, int]:
        """Read the available balance behind each merchant's API key."""
        return {row[0]: row[1] for row in await self._rows("balances", *_columns(keys, 2), now)}

    async def find_key(self, merchant_id: int | None, digest: bytes) -> KeyRecord | None:
        """Look an API key up."""
        if merchant_id is None:
            row = await self._row("find_staff_key", digest)
        else:
            row = await self._row("find_merchant_key", merchant_id, digest)
        return None if row is None else KeyRecord(*row)

    async def account(self, merchant_id: int) -> Account | None:
        """Read an account as of now."""
        row = await self._row("account", merchant_id)
        return None if row is None else rows.checked_account_from_row(row)

    async def merchant(self, merchant_id: int) -> rows.Merchant | None:
        """Read a merchant's name and the like."""
        row = await self._row("merchant", merchant_id)
        return None if row is None else rows.Merchant(*row)

    async def merchants(self, after: int, limit: int) -> Sequence[tuple[rows.Merchant, Account]]:
        """List merchants in order of id."""
        found = await self._rows("merchants", after, limit)
        return [(rows.Merchant(*row[:3]), rows.checked_account_from_row(row[3:])) for row in found]

    async def transfers(
        self, merchant_id: int, *, first_seq: int, last_seq: int, limit: int, newest_first: bool
    ) -> Sequence[Transfer]:
        """Read a stretch of a book."""
        name = "transfers_newest_first" if newest_first else "transfers_oldest_first"
        return [rows.transfer_from_row(row) for row in await self._rows(name, merchant_id, first_seq, last_seq, limit)]

    async def find_transfers(
        self, merchant_id: int, *, first_seq: int, last_seq: int, wanted: rows.TransferFilter
    ) -> Sequence[Transfer]:
        """Read all wanted transfers of a stretch of a book, newest first."""
        values = (merchant_id, first_seq, last_seq, *rows.filter_to_values(wanted))
        return [rows.transfer_from_row(row) for row in await self._rows("find_transfers", *values)]

    async def transfers_at(self, merchant_id: int, seqs: Sequence[int]) -> Mapping[int, Transfer]:
        """Read single transfers of a book by their seq."""
        found = map(rows.transfer_from_row, await self._rows("transfers_at", merchant_id, seqs))
        return {transfer.seq: transfer for transfer in found}

    async def funding_after(self, merchant_id: int, first_seq: int) -> Sequence[Transfer]:
        """Read a book's top-ups, reversals and adjustments from a seq on."""
        return [rows.transfer_from_row(row) for row in await self._rows("funding_after", merchant_id, first_seq)]

    async def due_holds(self, now: int, limit: int) -> Sequence[Hold]:
        """List open holds whose time is over."""
        return [rows.hold_from_row(row) for row in await self._rows("due_holds", now, limit)]

    async def create_merchant(
        self, merchant: rows.Merchant, account: Account, key: rows.ApiKey, audit_entry: AuditEntry | None = None
    ) -> None:
        """Add a merchant, its empty account and its first API key."""

        async def create(connection: _Connection) -> None:
            values = (merchant.merchant_id, merchant.name, merchant.created_at)
            await connection.execute(_SQL["insert_merchant"], *values)
            await connection.execute(_SQL["insert_account"], *rows.account_to_row(account))
            await _insert_key(connection, key)
            await _insert_audit_entry(connection, audit_entry)

        await self._transaction(create)

    async def rename_merchant(self, merchant_id: int, name: str, audit_entry: AuditEntry | None = None) -> None:
        """Change a merchant's name."""
        await self._change(audit_entry, f"no merchant {merchant_id}", ("rename_merchant", (merchant_id, name)))

    async def add_user(self, user: rows.User, audit_entry: AuditEntry | None = None) -> None:
        """Register a person on a merchant's account."""
        await self._change(audit_entry, "no such merchant", ("insert_user", msgspec.structs.astuple(user)))

    async def users(self, merchant_id: int) -> Sequence[rows.User]:
        """List the people registered on a merchant's account."""
        return [rows.User(*row) for row in await self._rows("users", merchant_id)]

    async def create_key(self, key: rows.ApiKey, audit_entry: AuditEntry | None = None) -> None:
        """Add an API key."""

        async def create(connection: _Connection) -> None:
            await _insert_key(connection, key)
            await _insert_audit_entry(connection, audit_entry)

        await self._transaction(create)

    async def keys(self, merchant_id: int | None) -> Sequence[rows.ApiKey]:
        """List API keys."""
        if merchant_id is None:
            found = await self._rows("staff_keys")
        else:
            found = await self._rows("merchant_keys", merchant_id)
        return [rows.ApiKey(*row) for row in found]

    async def key(self, key_id: int) -> rows.ApiKey | None:
        """Find an API key of any kind by its id."""
        row = await self._row("key", key_id)
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

        async def rotate(connection: _Connection) -> None:
            if not await _changes(connection, "expire_merchant_key", key_id, expires_at) and not await _changes(
                connection, "expire_staff_key", key_id, expires_at
            ):
                raise NotFound(f"no key {key_id}")
            await _insert_key(connection, successor)
            await _insert_audit_entry(connection, audit_entry)

        await self._transaction(rotate)

    async def set_price(self, price: Price, created_at: int, audit_entry: AuditEntry | None = None) -> None:
        """Add a version of a price."""
        values = (price.price_id, price.request_type, price.unit_price, price.starts_at, created_at)
        if price.merchant_id is None:
            await self._change(audit_entry, "no such price", ("insert_default_price", values))
        else:
            await self._change(audit_entry, "no such merchant", ("insert_merchant_price", (*values, price.merchant_id)))

    async def prices(self, merchant_id: int | None) -> Sequence[Price]:
        """List every version of the default prices or of a merchant's own."""
        if merchant_id is None:
            found = await self._rows("default_prices")
        else:
            found = await self._rows("merchant_prices", merchant_id)
        return [Price(*row) for row in found]

    async def approval(self, merchant_id: int, number: int) -> Approval | None:
        """Read one request for approval."""
        row = await self._row("approval", merchant_id, number)
        return None if row is None else Approval(*row)

    async def approvals(self, *, merchant_id: int | None, before: int, limit: int) -> Sequence[Approval]:
        """List requests for approval, newest first."""
        if merchant_id is None:
            found = await self._rows("all_approvals", before, limit)
        else:
            found = await self._rows("merchant_approvals", merchant_id, before, limit)
        return [Approval(*row) for row in found]

    async def audit_entries(
        self, *, merchant_id: int | None, before: tuple[int, int], limit: int
    ) -> Sequence[AuditEntry]:
        """List the audit log, newest first."""
        if merchant_id is None:
            found = await self._rows("all_audit", *before, limit)
        else:
            found = await self._rows("merchant_audit", merchant_id, *before, limit)
        return [rows.audit_from_row(row) for row in found]

    async def roll_up_usage(self, merchant_id: int, *, transfers_max: int) -> int:
        """Sum the next transfers of a book up into its usage; the mark is locked meanwhile, the account is not."""

        async def sum_up(connection: _Connection) -> int:
            await connection.execute(_SQL["ensure_rolled_up_seq"], merchant_id)
            done: int = await connection.fetchval(_SQL["rolled_up_seq"], merchant_id)
            found: list[Any] = await connection.fetch(_SQL["account"], merchant_id)
            if not found:
                raise NotFound("no such merchant")
            last = min(done + transfers_max, rows.account_from_row(found[0]).seq)
            await connection.execute(_SQL["roll_up_usage"], merchant_id, done + 1, last)
            await connection.execute(_SQL["set_rolled_up_seq"], merchant_id, last)
            return last - done

        return await self._transaction(sum_up)

    async def books_to_roll_up(self, after: int, *, transfers_min: int, limit: int) -> Sequence[int]:
        """List merchants whose books have many transfers not summed up yet."""
        return [row[0] for row in await self._rows("books_to_roll_up", after, transfers_min, limit)]

    async def usage(
        self, merchant_id: int, *, first_quarter: int, last_quarter: int, offset_quarters: int, bucket_quarters: int
    ) -> Sequence[rows.Usage]:
        """Sum usage up into buckets."""
        values = (merchant_id, first_quarter, last_quarter, offset_quarters, bucket_quarters)
        return [rows.Usage(*row) for row in await self._rows("usage", *values)]

    async def alerts(self, merchant_id: int, limit: int) -> Sequence[Alert]:
        """List a merchant's alerts, newest first."""
        return [Alert(*row) for row in await self._rows("alerts", merchant_id, limit)]

    async def claim_mails(self, now: int, *, lease_until: int, limit: int) -> Sequence[rows.OutboxMail]:
        """Take mails that are due."""

        async def claim(connection: _Connection) -> list[Any]:
            return await connection.fetch(_SQL["claim_mails"], now, lease_until, limit)

        return [rows.mail_from_row(row) for row in await self._transaction(claim)]

    async def settle_mail(self, mail: rows.OutboxMail) -> None:
        """Write what became of a claimed mail."""
        place = (mail.alert.merchant_id, mail.alert.number, mail.user_id)
        values = (mail.state, mail.next_attempt_at, mail.sent_at, mail.last_error)
        await self._change(None, "no such mail", ("settle_mail", (*place, *values)))

    async def mails(self, *, merchant_id: int | None, limit: int) -> Sequence[rows.OutboxMail]:
        """List the outbox, newest first."""
        if merchant_id is None:
            found = await self._rows("all_mails", limit)
        else:
            found = await self._rows("merchant_mails", limit, merchant_id)
        return [rows.mail_from_row(row) for row in found]

    async def retry_mails(self, now: int) -> int:
        """Make every mail that is not sent due now."""
        return await self._transaction(lambda connection: _changes(connection, "retry_mails", now))

    async def next_mail_at(self) -> int | None:
        """When the next mail falls due."""
        row = await self._row("next_mail_at")
        return None if row is None else row[0]

    async def fetch(self, statement: str, *values: Any) -> Sequence[Sequence[Any]]:
        """Run one statement that changes nothing."""
        with _translated():
            async with self._connection() as connection:
                return [tuple(row) for row in await connection.fetch(statement, *values)]

    async def run_in_transaction(
        self, work: Callable[[Fetch], Awaitable[_Result]], audit_entry: AuditEntry | None = None
    ) -> _Result:
        """Run a work's statements in one transaction."""

        async def run(connection: _Connection) -> _Result:
            async def fetch(statement: str, *values: Any) -> Sequence[Sequence[Any]]:
                return [tuple(row) for row in await connection.fetch(statement, *values)]

            result = await work(fetch)
            await _insert_audit_entry(connection, audit_entry)
            return result

        return await self._transaction(run)

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        """Read the whole ledger as of one moment."""
        return _snapshot(self._hosts)

    async def backup(self, path: Path) -> None:
        """Refuse: the server has better tools.

        Raises:
            StorageError: always; the message says how.
        """
        raise StorageError(
            "PostgreSQL is backed up with its own tools, while in use: `pg_dump --format=custom` copies this database; "
            "`pg_basebackup`, with WAL archiving, a server that must be restorable to any moment"
        )

    async def _rows(self, name: str, *values: Any) -> list[Any]:
        with _translated():
            async with self._connection() as connection:
                return await connection.fetch(_SQL[name], *values)

    async def _row(self, name: str, *values: Any) -> Any:
        found = await self._rows(name, *values)
        return found[0] if found else None

    async def _change(
        self, audit_entry: AuditEntry | None, missing: str, *attempts: tuple[str, tuple[Any, ...]]
    ) -> None:
        """Run each statement until one changes a row; raise NotFound if none does."""

        async def change(connection: _Connection) -> None:
            for name, values in attempts:
                if await _changes(connection, name, *values):
                    await _insert_audit_entry(connection, audit_entry)
                    return
            raise NotFound(missing)

        await self._transaction(change)

    async def _transaction(
        self,
        work: Callable[[_Connection], Awaitable[_Result]],
        is_change: Callable[[_Result], bool] = lambda _: True,
        begin: str = _BEGIN,
    ) -> _Result:
        """Run `work` in a transaction that `begin` begins and COMMIT, or roll back if its result is no change.

        Any error rolls back. `work` runs again if the transaction loses a race before COMMIT.
        """
        for _ in range(TRANSACTION_ATTEMPTS_MAX - 1):
            try:
                return await self._attempt(work, is_change, begin)
            except _LostRace:
                continue
        return await self._attempt(work, is_change, begin)

    async def _attempt(
        self, work: Callable[[_Connection], Awaitable[_Result]], is_change: Callable[[_Result], bool], begin: str
    ) -> _Result:
        with _translated():
            async with self._connection() as connection:
                await connection.execute(begin)
                result = await work(connection)
                if is_change(result):
                    await _commit(connection)
                else:
                    # COMMIT would wait for the disk, to write no more than that rows were locked.
                    await connection.execute("ROLLBACK")
                return result

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator["PoolConnectionProxy[asyncpg.Record]"]:
        """Lend a connection; what an error leaves behind is rolled back, or the connection is closed."""
        pool = self._pool
        if pool is None:
            raise StoreUnavailable("the database is not open")
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
            connection = await self._acquire(pool)
        generation = connection.generation
        try:
            yield connection
        except (CommitUnknown, OSError, asyncpg.InternalClientError, asyncpg.ReadOnlySQLTransactionError) as error:
            # One that fell silent or was confused is not to be trusted again.
            _discard(connection)
            if generation == self._generation and _leads_nowhere(error):
                self._generation += 1
            raise
        except Exception:
            await _roll_back(connection)
            raise
        except BaseException:
            _discard(connection)
            raise
        finally:
            # A success stays one, even if the connection breaks as it is given back; the pool replaces it.
            with suppress(Exception):
                await pool.release(connection)

    async def _acquire(self, pool: "asyncpg.Pool[asyncpg.Record]") -> Any:
        """Take a connection of the present generation from the pool."""
        while True:
            connection: Any = await pool.acquire()
            if connection.generation == self._generation:
                return connection
            _discard(connection)

    async def _set_up(self, connection: Any) -> None:
        """Ensure that COMMIT means durable, and prepare what begins a batch, unless there is no schema yet."""
        connection.generation = self._generation
        await connection.execute(_ENSURE_DURABILITY)
        with suppress(asyncpg.UndefinedTableError):
            await connection.execute(f"PREPARE lock_accounts AS {_SQL['lock_accounts']}")


def _leads_nowhere(error: BaseException) -> bool:
    """Whether a connection fell silent or takes no writes: the others, made before, lead to the same place.

    Each would cost a call its whole time limit to find that out. A new one may find the server's successor.
    """
    is_silent = isinstance(error, TimeoutError) or isinstance(error.__cause__, TimeoutError)
    return is_silent or isinstance(error, asyncpg.ReadOnlySQLTransactionError)


def _must_last(decision: Decision) -> bool:
    """Whether a batch tells of anything done, be it by an earlier one: COMMIT then waits until the log is safe.

    Rows that were found may not be safe yet. A primary that was killed while its COMMIT waited for a synchronous
    standby shows the transaction when it is back, without having told the standby.
    """
    return decision.changes_anything or any(outcome.is_ok for outcome in decision.outcomes)


async def _leave_as_it_is(_: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Skip asyncpg's own reset, a round trip that would undo the durability ensured above, and nothing else."""


def _checked_version(connection: _Connection) -> str:
    """Return the server's version if Farebox can work with it, and with how the database keeps texts."""
    version = connection.get_server_version()
    if version.major < VERSION_MIN:
        raise StorageError(f"PostgreSQL {VERSION_MIN} or newer is needed; this is {version.major}.{version.micro}")
    encoding = connection.get_settings().server_encoding
    if encoding != "UTF8":
        raise StorageError(f"the database keeps texts in {encoding}; create one with ENCODING 'UTF8'")
    return f"{version.major}.{version.micro}"


async def _applied_migrations(connection: _Connection) -> list[str]:
    if await connection.fetchval("SELECT to_regclass('farebox_migration')") is None:
        return []
    return [row[0] for row in await connection.fetch("SELECT name FROM farebox_migration ORDER BY name")]


async def _migrate_one(connection: _Connection, migrations: Mapping[str, str], now: int) -> str | None:
    """Apply the first migration that is missing, in a transaction that keeps other runs out; None if none is."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _MIGRATION_LOCK_KEY)
        await connection.execute(migrate.MIGRATION_TABLE)
        pending = migrate.pending(list(migrations), await _applied_migrations(connection))
        if not pending:
            return None
        await connection.execute(migrations[pending[0]])
        await connection.execute("INSERT INTO farebox_migration VALUES ($1, $2)", pending[0], now)
        return pending[0]


async def _commit(connection: _Connection) -> None:
    """COMMIT, and see it through even if the caller goes away.

    Raises:
        CommitUnknown: on any error whatever, or if no answer comes in time.
    """
    # The driver's own time limit would cancel the COMMIT, so it is put where it can't be reached.
    commit = asyncio.ensure_future(connection.execute("COMMIT", timeout=2 * COMMIT_TIMEOUT_SECONDS))
    deadline = asyncio.get_running_loop().time() + COMMIT_TIMEOUT_SECONDS
    cancelled: asyncio.CancelledError | None = None
    silence: TimeoutError | None = None
    while not commit.done():
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:
            # This ends the wait, not the COMMIT.
            silence = TimeoutError(f"no answer in {COMMIT_TIMEOUT_SECONDS} seconds")
            _discard(connection)
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
        raise CommitUnknown(f"PostgreSQL failed during COMMIT: {_first_line(failure)}") from failure
    if commit.result() != "COMMIT":
        raise StorageError("PostgreSQL had given the transaction up before COMMIT")


async def _roll_back(connection: _Connection) -> None:
    """End the transaction after an error, which is on its way to the caller; a connection that can't is closed."""
    try:
        if connection.is_in_transaction():
            await connection.execute("ROLLBACK", timeout=_ROLLBACK_TIMEOUT_SECONDS)
    except Exception:
        _discard(connection)
    except BaseException:
        _discard(connection)
        raise


def _discard(connection: _Connection) -> None:
    """Close a connection at once; the server rolls back what it had begun."""
    # One that broke was taken back by its pool already.
    with suppress(asyncpg.InterfaceError):
        connection.terminate()


@contextmanager
def _translated() -> Iterator[None]:
    """Wrap the driver's errors once, here at the edge."""
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        raise _translation(error) from error


def _translation(error: Exception) -> StorageError:
    text = f"PostgreSQL: {_first_line(error)}"
    if isinstance(error, _LOST_RACES):
        return _LostRace(text)
    if isinstance(error, asyncpg.ForeignKeyViolationError):
        return NotFound("no such merchant")
    if isinstance(error, asyncpg.UniqueViolationError):
        return AlreadyExists(f"there already: {error.constraint_name}")
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        is_unavailable = state in _UNAVAILABLE or state.startswith(_UNAVAILABLE_CLASSES)
    else:
        # A ValueError is about a value or a setting; all else that asyncpg itself has to say is about the connection.
        is_unavailable = not isinstance(error, ValueError)
    return StoreUnavailable(text) if is_unavailable else StorageError(text)


def _first_line(error: BaseException) -> str:
    """Say what went wrong, without the lines that follow: those show rows."""
    return str(error).partition("\n")[0] or type(error).__name__


async def _load(connection: _Connection, reads: ReadSet) -> BatchState:
    """Read all that a batch needs in one statement; its accounts are locked."""
    state = BatchState()
    found: list[Any] = await connection.fetch(
        _SQL["load"],
        reads.now,
        reads.staff_digests,
        *_columns(reads.merchant_digests, 2),
        reads.request_types,
        *_columns(reads.merchant_types, 2),
        *_columns(reads.idempotency_keys, 2),
        *_columns(reads.holds, 2),
        *_columns(reads.originals, 2),
        reads.merchant_ids,
    )
    accounts: dict[int, Account] = {}
    keys: dict[bytes, KeyRecord] = {}
    default_prices: dict[str, Price] = {}
    merchant_prices: dict[tuple[int, str], Price] = {}
    replays: dict[tuple[int, str], Transfer] = {}
    holds: dict[tuple[int, int], Hold] = {}
    originals: dict[tuple[int, int], Original] = {}
    for row in found:
        what, name, digest, numbers = row[:_TAG_WIDTH]
        if what == "account":
            merchant_id, *balances, is_frozen, seq, last_at, alerts_count = numbers
            currency, thresholds = name[:_CURRENCY_LETTERS], name[_CURRENCY_LETTERS:]
            account_row = (merchant_id, currency, *balances, is_frozen, seq, digest, last_at, alerts_count, thresholds)
            accounts[merchant_id] = rows.checked_account_from_row(account_row)
        elif what == "key":
            values = (*numbers, name)
            keys[digest] = KeyRecord(*values)
        elif what == "price":
            price_id, unit_price, starts_at, merchant_id = numbers
            price = Price(price_id, name, unit_price, starts_at, merchant_id)
            if merchant_id is None:
                default_prices[name] = price
            else:
                merchant_prices[merchant_id, name] = price
        elif what == "hold":
            hold = rows.checked_hold_from_row((*numbers, name))
            holds[hold.merchant_id, hold.seq] = hold
        else:
            transfer = rows.transfer_from_row(row[_TAG_WIDTH:])
            if what == "replay":
                replays[transfer.merchant_id, transfer.idempotency_key] = transfer
            else:
                originals[transfer.merchant_id, transfer.seq] = Original(transfer, numbers[0])
    if reads.approvals or reads.approval_keys:
        # Asked for by people, and rarely: nothing that a charge should pay for.
        by_number = [await connection.fetch(_SQL["approval"], *place) for place in reads.approvals]
        by_key = [await connection.fetch(_SQL["approval_of_key"], *place) for place in reads.approval_keys]
        state.approvals = [Approval(*row) for found in (*by_number, *by_key) for row in found]
    state.accounts, state.keys, state.default_prices, state.merchant_prices = (
        accounts,
        keys,
        default_prices,
        merchant_prices,
    )
    state.replays, state.holds, state.originals = replays, holds, originals
    return state


async def _apply(connection: _Connection, decision: Decision) -> None:
    """Write a decision's rows; the transaction is the caller's."""
    if 0 < len(decision.transfers) <= SMALL_BATCH_TRANSFERS_MAX:
        accounts = zip(*map(rows.account_to_row, decision.accounts), strict=True)
        transfers = zip(*map(rows.transfer_to_row, decision.transfers), strict=True)
        await connection.fetch(_SQL["write_small_batch"], *accounts, *transfers)
    else:
        if decision.transfers:
            # COPY takes half the time of an INSERT from arrays, and a fifth of this process's own.
            records = map(rows.transfer_to_row, decision.transfers)
            await connection.copy_records_to_table("transfer", records=records, columns=_TRANSFER_COLUMNS)
        if decision.accounts:
            await _write(connection, "update_accounts", map(rows.account_to_row, decision.accounts))
    if decision.new_holds:
        await _write(connection, "insert_holds", map(rows.hold_to_row, decision.new_holds))
    if decision.changed_holds:
        await _write(connection, "update_holds", map(rows.hold_to_row, decision.changed_holds))
    if decision.alerts:
        await _write(connection, "insert_alerts", map(rows.alert_to_row, decision.alerts))
    for audit_entry in decision.audit_entries:
        await _insert_audit_entry(connection, audit_entry)
    for approval in decision.new_approvals:
        await connection.execute(_SQL["insert_approval"], *rows.approval_to_row(approval))
    for approval in decision.changed_approvals:
        await connection.execute(_SQL["close_approval"], *rows.approval_to_closing(approval))


async def _write(connection: _Connection, name: str, new_rows: Iterable[tuple[Any, ...]]) -> None:
    """Run a statement that takes its rows, at least one, as columns."""
    await connection.fetch(_SQL[name], *zip(*new_rows, strict=True))


def _columns(pairs: Sequence[tuple[Any, ...]], width: int) -> list[tuple[Any, ...]]:
    """Turn rows into as many columns as `width` says, empty ones if there is no row."""
    return list(zip(*pairs, strict=True)) or [()] * width


async def _insert_audit_entry(connection: _Connection, audit_entry: AuditEntry | None) -> None:
    if audit_entry is not None:
        await connection.execute(_SQL["insert_audit_entry"], *rows.audit_to_row(audit_entry))


async def _insert_key(connection: _Connection, key: rows.ApiKey) -> None:
    times = (key.created_at, key.expires_at, key.revoked_at)
    if key.merchant_id is None:
        values = (key.digest, key.key_id, key.kind, key.name, key.hint, *times)
        await connection.execute(_SQL["insert_staff_key"], *values)
    else:
        await connection.execute(_SQL["insert_merchant_key"], key.merchant_id, key.digest, key.key_id, key.hint, *times)


async def _changes(connection: _Connection, name: str, *values: Any) -> int:
    """Run a statement and return how many rows it changed."""
    status = await connection.execute(_SQL[name], *values)
    return int(status.rpartition(" ")[2])


@asynccontextmanager
async def _own_connection(
    hosts: _Hosts, settings: Mapping[str, str], *, command_timeout_seconds: int | None
) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Connect outside the pool, with other time limits."""
    with _translated():
        connection = await hosts.connect(
            command_timeout=command_timeout_seconds, server_settings={**_SESSION, **settings}
        )
        try:
            yield connection
        finally:
            # The server ends what is left of a transaction; one that does not answer any more does so by itself.
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=_ROLLBACK_TIMEOUT_SECONDS)


class _PostgresSnapshot:
    """A REPEATABLE READ transaction on a connection of its own: it sees one moment and holds up nobody."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection

    async def merchant_ids(self) -> list[int]:
        """List every merchant, in order."""
        return [row[0] for row in await self._rows("merchant_ids")]

    async def books(self, merchant_ids: Sequence[int]) -> Mapping[int, rows.BookRows]:
        """Read short books at once, in three statements."""
        accounts = {row[0]: row for row in await self._rows("accounts_of", merchant_ids)}
        transfers = _by_merchant(await self._rows("transfers_of", merchant_ids, rows.BOOK_TRANSFERS_MAX + 1))
        holds = _by_merchant(await self._rows("holds_of", merchant_ids, rows.BOOK_TRANSFERS_MAX + 1))
        found = {}
        for number in merchant_ids:
            if max(len(transfers[number]), len(holds[number])) <= rows.BOOK_TRANSFERS_MAX:
                book = rows.book_from_rows(accounts.get(number), transfers[number], holds[number])
                if book is not None:
                    found[number] = book
        return found

    async def account(self, merchant_id: int) -> Account | None:
        """Read a merchant's account, unchecked."""
        found = await self._rows("account", merchant_id)
        return rows.account_from_row(found[0]) if found else None

    async def transfers(self, merchant_id: int) -> AsyncIterator[Sequence[Transfer]]:
        """Read a merchant's whole book in order of seq, in chunks.

        Each chunk is a stretch of the index. A cursor for each of many books would stay with the server to the end.
        """
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
        found = map(rows.transfer_from_row, await self._rows("transfers_at", merchant_id, seqs))
        return {transfer.seq: transfer for transfer in found}

    async def holds(self, merchant_id: int) -> Sequence[Hold]:
        """Read all of a merchant's holds, unchecked."""
        return [rows.hold_from_row(row) for row in await self._rows("holds", merchant_id)]

    async def _rows(self, name: str, *values: Any) -> list[Any]:
        with _translated():
            return await self._connection.fetch(_SQL[name], *values)


def _by_merchant(found: Iterable[Any]) -> defaultdict[int, list[Any]]:
    """Sort rows that begin with a merchant's number by merchant."""
    sorted_rows: defaultdict[int, list[Any]] = defaultdict(list)
    for row in found:
        sorted_rows[row[0]].append(row)
    return sorted_rows


@asynccontextmanager
async def _snapshot(hosts: _Hosts) -> AsyncIterator[_PostgresSnapshot]:
    limits = {
        "idle_in_transaction_session_timeout": str(SNAPSHOT_IDLE_TIMEOUT_MS),
        "statement_timeout": str(SNAPSHOT_STATEMENT_TIMEOUT_MS),
    }
    async with _own_connection(hosts, limits, command_timeout_seconds=SNAPSHOT_COMMAND_TIMEOUT_SECONDS) as connection:
        # The moment is that of the first read, so there must be one.
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1")
        yield _PostgresSnapshot(connection)
