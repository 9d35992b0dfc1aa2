"""The PostgreSQL engine: many processes and machines on one ledger, accounts locked row by row in sorted order.

A small batch of plain charges is two round trips, without a lock before the second, as unlocked.py tells. Any other
is four: BEGIN with a lock on the accounts, load all that it needs, write transfers and accounts, COMMIT. A large one
writes transfers and accounts apart. Holds and alerts add one each, given credit, budgets, and what is missing or owed
one or two each, prices that are rules three at most, and moves by hand a few. Under the lock, the load is a statement
of its own: in READ COMMITTED a statement sees the other tables as of its start, so one that had waited for a lock would
miss what the holder of the lock has just committed, and a retry of it would be charged again.

Plans don't depend on what the planner knows: sessions plan each statement once (force_generic_plan), prefer indexes to
reading whole tables, and the statements leave no choice of index where a wrong one would walk a merchant's history.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from farebox.core.audit_log import AuditEntry
from farebox.core.state import BatchState, Decision, MoreGrantsNeeded, ReadSet
from farebox.storage import migrate, sql
from farebox.storage.batch_grants import more_merchants
from farebox.storage.batch_steps import BatchSteps
from farebox.storage.interface import (
    CommitUnknown,
    Decide,
    Fetch,
    GroupsChanged,
    LedgerMoved,
    Snapshot,
    StorageError,
)
from farebox.storage.last_committed import LastCommitted
from farebox.storage.ledger_move import MIGRATION, READ_STATE, check_served
from farebox.storage.postgres.batch import (
    apply,
    as_columns,
    insert_audit_entry,
    load,
    load_more_grants,
    load_other_keys,
    must_last,
)
from farebox.storage.postgres.errors import LostRace, is_not_supported, translated, translation
from farebox.storage.postgres.hosts import Hosts
from farebox.storage.postgres.identity import DatabaseIdentity
from farebox.storage.postgres.limits import LIMITS, PostgresLimits
from farebox.storage.postgres.pool import Connection, Pool, own_connection
from farebox.storage.postgres.schema import applied_migrations, checked_version, migrate_one, spread
from farebox.storage.postgres.shards import (
    CLAIMS,
    ShardMap,
    claim,
    read_shard_map,
    shaped,
    within_shard,
)
from farebox.storage.postgres.snapshot import open_snapshot
from farebox.storage.postgres.transaction import BEGIN, run_transaction
from farebox.storage.postgres.unlocked import Chances, is_plain, load_unlocked, write_unlocked

_SQL: Final = sql.statements("postgres")
_CITUS: Final = sql.statements("citus")
_Result = TypeVar("_Result")


class PostgresConnector:
    """A `Connector` to one PostgreSQL database."""

    def __init__(self, url: str, limits: PostgresLimits = LIMITS, *, is_copy_allowed: bool = False) -> None:
        """Name the database; nothing is connected yet. The URL is asyncpg's: TLS and several hosts stand in it.

        `is_copy_allowed`: it may be a copy that is not finished.
        """
        self._limits = limits
        self._is_copy_allowed = is_copy_allowed
        self._is_move_told = False
        self._moved: LedgerMoved | None = None
        self._last_committed = LastCommitted()
        self._identity = DatabaseIdentity(self._last_committed, self._shaped)
        self._hosts = Hosts(url, limits.connect_timeout_ms, self._check_connection)
        self._pool = Pool(self._hosts, limits)
        self._version = ""
        self._shards: ShardMap | None = None
        self._chances = Chances()
        self._unsettled: set[int] = set()

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
        with translated():
            await self._pool.open()
            try:
                async with self._pool.connection() as connection:
                    self._version = checked_version(connection)
                    shards = await read_shard_map(connection)
                    applied = await applied_migrations(connection)
                    migrate.check_current([name for name, _ in sql.migrations("postgres")], applied)
                    self._is_move_told = MIGRATION in applied and not self._is_copy_allowed
                    if self._is_move_told:
                        moves: list[Any] = await connection.fetch(READ_STATE)
                        check_served(moves)
                if shards is not None:
                    await self._go_on_sharded(shards)
            except BaseException:
                await self.close()
                raise

    async def close(self) -> None:
        """Finish what runs and disconnect."""
        await self._pool.close()
        self._identity.forget()
        self._last_committed.forget()
        self._moved = None

    async def migrate(self, now: int) -> list[str]:
        """Create the schema or bring it up to date.

        Raises:
            StorageError: the server is too old, or the database does not keep texts in UTF-8.
        """
        names: list[str] = []
        settings = {"lock_timeout": str(self._limits.migration_lock_timeout_ms), "statement_timeout": "0"}
        async with own_connection(self._hosts, self._limits, settings, command_timeout_ms=None) as connection:
            checked_version(connection)
            is_spread = await read_shard_map(connection) is not None
            migrations = dict(sql.migrations("citus" if is_spread else "postgres"))
            while (name := await migrate_one(connection, migrations, now, is_spread=is_spread)) is not None:
                names.append(name)
            await spread(connection)
        return names

    async def check(self) -> None:
        """See that a connection leads to the database that was opened, as it was left, and that it has not moved."""
        with translated():
            async with self._pool.connection() as connection:
                await self._check_connection(connection)
                found: list[Any] = await connection.fetch(READ_STATE) if self._is_move_told else []
        try:
            check_served(found)
        except LedgerMoved as error:
            self._moved = error
            raise

    async def check_writable(self) -> None:
        """Commit a write that changes nothing."""

        async def write(connection: Connection) -> None:
            await connection.execute(_SQL["write_nothing"])

        try:
            await run_transaction(self._pool, write, commit_timeout_ms=self._limits.commit_timeout_ms)
        except CommitUnknown as error:
            raise translation(error.__cause__ or error) from error

    def disk_free_bytes(self) -> int | None:
        """Know nothing of the server's disk."""
        return None

    def log_bytes(self) -> int | None:
        """Know nothing of the server's files."""
        return None

    def route(self, merchant_id: int) -> int:
        """Name the merchant's shard; without Citus, all merchants are in one group: one server commits any batch."""
        return 0 if self._shards is None else self._shards.shard_of(merchant_id)

    @property
    def batches_at_once(self) -> int:
        """Each has a back end of its own, which works while the program decides another; a shard commits one."""
        return self._limits.batches_at_once if self._shards is None else 1

    async def transact(self, reads: ReadSet, decide: Decide, steps: BatchSteps | None = None) -> Decision:
        """Run one batch in one transaction."""
        if self._shards is not None and not reads.merchant_ids:
            # Such a batch is in no shard, and meets nothing.
            return decide(BatchState())
        noted = steps or BatchSteps()
        if self._shards is None and not self._unsettled and self._chances.are_good(reads):
            decision = await self._transact_unlocked(reads, decide, noted)
            self._chances.learn(was_in_vain=decision is None)
            if decision is not None:
                return decision
            noted.loaded = noted.decided = noted.applied = 0
        await self._settle()
        return await self._transact_locked(reads, decide, noted)

    async def _transact_unlocked(self, reads: ReadSet, decide: Decide, noted: BatchSteps) -> Decision | None:
        """Run a batch without a lock, in two statements; None, with nothing changed, if that can't be."""
        noted.locked = noted.begun
        written: Sequence[int] = ()
        try:
            with translated():
                async with self._pool.connection() as connection:
                    found = await load_unlocked(connection, reads)
                    noted.loaded = time.monotonic_ns()
                    if found is None or self._last_committed.is_ahead_of(reads.merchant_ids, found[0].accounts):
                        return None
                    decision = decide(found[0])
                    noted.decided = noted.applied = time.monotonic_ns()
                    if is_plain(decision):
                        written = [account.merchant_id for account in decision.accounts]
                        if not await write_unlocked(connection, decision, found[1], self._limits.commit_timeout_ms):
                            return None
                    elif decision.changes_anything or must_last(decision):
                        return None
        except (LostRace, MoreGrantsNeeded):
            return None
        except CommitUnknown:
            self._unsettled.update(written)
            raise
        noted.committed = time.monotonic_ns()
        self._last_committed.note(decision)
        return decision

    async def _settle(self) -> None:
        """Move the versions of accounts that a statement of unknown fate was to write.

        It may be on its way to the server still, and held no lock before. After this it writes nothing any more.
        """
        if not self._unsettled:
            return
        merchant_ids = sorted(self._unsettled)

        async def touch(connection: Connection) -> None:
            await connection.fetch(_SQL["touch_accounts"], merchant_ids)

        await run_transaction(
            self._pool, touch, commit_timeout_ms=self._limits.commit_timeout_ms, begin=_begun_with(merchant_ids)
        )
        self._unsettled.difference_update(merchant_ids)

    async def _transact_locked(self, reads: ReadSet, decide: Decide, noted: BatchSteps) -> Decision:
        """Run a batch with its accounts locked from before it is loaded until COMMIT."""

        async def batch(lent: Connection) -> Decision:
            noted.locked = time.monotonic_ns()
            connection = lent if self._shards is None else within_shard(lent, reads.merchant_ids)
            state = await load(connection, reads)
            if self._shards is not None:
                await load_other_keys(lent, reads, state)
            noted.loaded = time.monotonic_ns()
            self._last_committed.check(reads.merchant_ids, state.accounts)
            decision = await _decided(connection, reads, state, decide)
            noted.decided = time.monotonic_ns()
            if decision.changes_anything:
                await apply(connection, state, decision, is_sharded=self._shards is not None)
            noted.applied = time.monotonic_ns()
            return decision

        try:
            decision = await run_transaction(
                self._pool,
                batch,
                commit_timeout_ms=self._limits.commit_timeout_ms,
                is_change=must_last,
                begin=_begun_with(reads.merchant_ids),
            )
        except StorageError as error:
            await self._learn_of(error)
            raise
        noted.committed = time.monotonic_ns()
        self._last_committed.note(decision)
        return decision

    async def balances(self, keys: Sequence[tuple[int, bytes]], now: int) -> Mapping[bytes, int]:
        """Read the available balance behind each merchant's API key."""
        if self._shards is None:
            return {row[0]: row[1] for row in await self.fetch(_SQL["balances"], *as_columns(keys, 2), now)}
        try:
            return await self._balances_by_shard(self._shards, keys, now)
        except GroupsChanged:
            return await self._balances_by_shard(self._shards, keys, now)

    async def _balances_by_shard(
        self, shards: ShardMap, keys: Sequence[tuple[int, bytes]], now: int
    ) -> Mapping[bytes, int]:
        found: dict[bytes, int] = {}
        for group in shards.grouped(keys):
            merchant_ids, digests = as_columns(group, 2)
            rows = await self.fetch(_CITUS["balances"], merchant_ids, digests, now, merchant_ids)
            found.update((row[0], row[1]) for row in rows)
        return found

    async def fetch(self, statement: str, *values: Any) -> Sequence[Sequence[Any]]:
        """Run one statement that changes nothing."""
        if self._moved is not None:
            raise LedgerMoved(str(self._moved))
        try:
            with translated():
                async with self._pool.connection() as connection:
                    found: list[Any] = await connection.fetch(self._shaped(statement), *values)
                    return found
        except StorageError as error:
            await self._learn_of(error)
            raise

    async def run_in_transaction(
        self, work: Callable[[Fetch], Awaitable[_Result]], audit_entry: AuditEntry | None = None
    ) -> _Result:
        """Run a work's statements in one transaction."""

        async def run(connection: Connection) -> _Result:
            async def fetch(statement: str, *values: Any) -> Sequence[Sequence[Any]]:
                if self._shards is not None and statement in CLAIMS:
                    return await claim(connection, self._shards, CLAIMS[statement], *values)
                found: list[Any] = await connection.fetch(self._shaped(statement), *values)
                return found

            result = await work(fetch)
            if audit_entry is not None:
                await insert_audit_entry(connection, audit_entry)
            return result

        try:
            return await run_transaction(self._pool, run, commit_timeout_ms=self._limits.commit_timeout_ms)
        except StorageError as error:
            await self._learn_of(error)
            raise

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        """Read the whole ledger as of one moment."""
        return open_snapshot(self._hosts, self._limits, self._shards)

    async def backup(self, path: Path, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Refuse: the server has better tools.

        Raises:
            StorageError: always; the message says how.
        """
        raise StorageError(
            "PostgreSQL is backed up with its own tools, while in use: `pg_dump --format=custom` copies this database; "
            "`pg_basebackup`, with WAL archiving, a server that must be restorable to any moment"
        )

    async def _go_on_sharded(self, shards: ShardMap) -> None:
        """Connect anew, with the settings that Citus needs."""
        await self._pool.close()
        self._shards = shards
        self._limits = replace(self._limits, is_sharded=True)
        self._pool = Pool(self._hosts, self._limits)
        await self._pool.open()

    async def _learn_of(self, error: StorageError) -> None:
        """Read how tables are divided now if Citus refused what went by how they were: a shard was split, say.

        Raises:
            GroupsChanged: it did. The same again goes by the new shards.
        """
        if self._shards is None or not is_not_supported(error):
            return
        with translated():
            async with self._pool.connection() as connection:
                self._shards = await read_shard_map(connection) or self._shards
        raise GroupsChanged("PostgreSQL: Citus has divided the tables anew") from error

    def _shaped(self, statement: str) -> str:
        return statement if self._shards is None else shaped(statement)

    async def _check_connection(self, connection: Connection) -> None:
        """See that a connection leads to the right database; the first to one just promoted ends those made before."""
        timeline = self._identity.timeline
        await self._identity.check(connection)
        if timeline is not None and timeline != self._identity.timeline:
            self._pool.renew()


def _begun_with(merchant_ids: Sequence[int]) -> str:
    """Write what begins a transaction with a lock on these accounts."""
    return f"{BEGIN}; EXECUTE lock_accounts('{{{','.join(map(str, merchant_ids))}}}')"


async def _decided(connection: Connection, reads: ReadSet, state: BatchState, decide: Decide) -> Decision:
    """Decide, again with more grants as long as `decide` asks for them."""
    more: frozenset[int] = frozenset()
    while True:
        try:
            return decide(state)
        except MoreGrantsNeeded as error:
            more = more_merchants(error, more, reads)
            await load_more_grants(connection, reads, state, more)
