"""The Store protocol: what an engine promises. Its docstrings are the contract; one test suite checks every engine.

Times are microseconds since 1970, amounts micros, both from the caller: a store asks no clock and makes no ids.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from farebox.core.accounts import Account
from farebox.core.approvals import Approval
from farebox.core.audit_log import AuditEntry
from farebox.core.holds import Hold
from farebox.core.pricing import Price
from farebox.core.state import Alert, BatchState, Decision, KeyRecord, ReadSet
from farebox.core.transfers import Transfer
from farebox.storage.rows import ApiKey, BookRows, Merchant, OutboxMail, TransferFilter, Usage, User

Decide = Callable[[BatchState], Decision]

_Result = TypeVar("_Result")


class Fetch(Protocol):
    """Runs one statement and returns its rows, none for one that returns none."""

    async def __call__(self, statement: str, *values: Any) -> Sequence[Sequence[Any]]:
        """Run it."""
        ...


class StorageError(Exception):
    """The database did not do what was asked of it."""


class StoreUnavailable(StorageError):
    """The database can't be reached or can't take writes (stopped, full, read-only, locked); nothing was committed."""


class CommitUnknown(StorageError):
    """An error came while COMMIT ran: the batch may or may not be in the ledger. Look its keys up."""


class AlreadyExists(StorageError):
    """A row with this key is there already; nothing was changed."""


class NotFound(StorageError):
    """The row that was named is not there; nothing was changed."""


class SchemaMismatch(StorageError):
    """The database's schema is not the one this program knows; the message says what to do."""


class Snapshot(Protocol):
    """The whole ledger as of one moment, whatever is committed meanwhile."""

    async def merchant_ids(self) -> list[int]:
        """List every merchant, in order."""
        ...

    async def books(self, merchant_ids: Sequence[int]) -> Mapping[int, BookRows]:
        """Read the short ones of these merchants' books at once, unchecked as in the methods below.

        A book of more than BOOK_TRANSFERS_MAX transfers, one without an account and one with a row that can't be read
        is absent.
        """
        ...

    async def account(self, merchant_id: int) -> Account | None:
        """Read a merchant's account, unchecked: finding what is wrong with it is the reader's business."""
        ...

    def transfers(self, merchant_id: int) -> AsyncIterator[Sequence[Transfer]]:
        """Read a merchant's whole book in order of seq, in chunks, with flat memory."""
        ...

    async def transfers_at(self, merchant_id: int, seqs: Sequence[int]) -> Mapping[int, Transfer]:
        """Read single transfers of a book by their seq; what does not exist is absent."""
        ...

    async def holds(self, merchant_id: int) -> Sequence[Hold]:
        """Read all of a merchant's holds, unchecked, in order of seq."""
        ...


class Runner(Protocol):
    """Runs the statements that are written once for both engines; errors are those of Store."""

    @property
    def dialect(self) -> str:
        """How this engine writes SQL: "sqlite" or "postgres"."""
        ...

    async def fetch(self, statement: str, *values: Any) -> Sequence[Sequence[Any]]:
        """Run one statement that changes nothing and return its rows."""
        ...

    async def run_in_transaction(
        self, work: Callable[[Fetch], Awaitable[_Result]], audit_entry: AuditEntry | None = None
    ) -> _Result:
        """Run a work's statements and write `audit_entry` in one transaction, then COMMIT.

        Any error of the work rolls back. It may be called again if the engine lost a race.

        Raises:
            AlreadyExists: a row with this key is there already.
            NotFound: a row names another that is not there.
        """
        ...


class Store(Protocol):
    """One database. Every method may raise StoreUnavailable, having changed nothing.

    A method that sets something up takes the `audit_entry` of it, written in the same transaction; None for what
    Farebox does by itself. An entry that is there already is left as it is.

    Safe to use from many tasks of one event loop, beside other processes on the same database.
    """

    @property
    def engine(self) -> str:
        """The engine's name and version, for people."""
        ...

    async def open(self) -> None:
        """Connect and check the schema.

        Raises:
            SchemaMismatch: the database is empty, older or newer than this program; the message says what to do.
        """
        ...

    async def close(self) -> None:
        """Finish what runs and disconnect. Safe to repeat."""
        ...

    async def migrate(self, now: int) -> list[str]:
        """Create the schema or bring it up to date, each migration in a transaction; safe to repeat, and concurrently.

        Called before `open`. Returns the names of the migrations that were applied.

        Raises:
            SchemaMismatch: the database is newer than this program.
        """
        ...

    def route(self, merchant_id: int) -> int:
        """Name the group a merchant's commands belong to: a batch stays within one group."""
        ...

    async def transact(self, reads: ReadSet, decide: Decide) -> Decision:
        """Run one batch: lock the accounts in sorted order, load what `reads` asks, decide, apply, COMMIT.

        All accounts of `reads.merchant_ids` stay locked against other writers from before the first read to the end.
        For each alert, one outbox row per registered user of the merchant is written in the same transaction. A
        decision that changes nothing is not written. `decide` may be called again if the engine lost a race. What it
        raises comes through, with nothing committed.

        Returns:
            The decision, committed and durable.

        Raises:
            StoreUnavailable: failed before COMMIT; nothing was committed.
            CommitUnknown: failed while COMMIT ran.
            InvariantViolation: the stored state or the decision breaks a rule; nothing was committed.
        """
        ...

    async def balances(self, keys: Sequence[tuple[int, bytes]], now: int) -> Mapping[bytes, int]:
        """Read the available balance behind each merchant's API key, in one query.

        Args:
            keys: the merchant that each key's text names, and the key's digest.
            now: keys expired or revoked at this time open nothing.

        Returns:
            Available micros by digest; a key that opens nothing is absent. Never stale: what was committed before the
            call is seen.
        """
        ...

    async def find_key(self, merchant_id: int | None, digest: bytes) -> KeyRecord | None:
        """Look an API key up: a merchant's by its merchant and digest, a service's or support's with None."""
        ...

    async def account(self, merchant_id: int) -> Account | None:
        """Read an account as of now, checked."""
        ...

    async def merchant(self, merchant_id: int) -> Merchant | None:
        """Read a merchant's name and the like."""
        ...

    async def merchants(self, after: int, limit: int) -> Sequence[tuple[Merchant, Account]]:
        """List merchants in order of id, those above `after`, at most `limit`."""
        ...

    async def transfers(
        self, merchant_id: int, *, first_seq: int, last_seq: int, limit: int, newest_first: bool
    ) -> Sequence[Transfer]:
        """Read a stretch of a book, both ends included, at most `limit` rows."""
        ...

    async def find_transfers(
        self, merchant_id: int, *, first_seq: int, last_seq: int, wanted: TransferFilter
    ) -> Sequence[Transfer]:
        """Read all wanted transfers of a stretch of a book, newest first. It reads the whole stretch: keep it short."""
        ...

    async def transfers_at(self, merchant_id: int, seqs: Sequence[int]) -> Mapping[int, Transfer]:
        """Read single transfers of a book by their seq; what does not exist is absent."""
        ...

    async def funding_after(self, merchant_id: int, first_seq: int) -> Sequence[Transfer]:
        """Read a book's top-ups, reversals and adjustments from `first_seq` on, in order of seq."""
        ...

    async def due_holds(self, now: int, limit: int) -> Sequence[Hold]:
        """List open holds whose time is over at `now`, the longest over first."""
        ...

    async def create_merchant(
        self, merchant: Merchant, account: Account, key: ApiKey, audit_entry: AuditEntry | None = None
    ) -> None:
        """Add a merchant, its empty account and its first API key.

        Raises:
            AlreadyExists: the id is taken.
        """
        ...

    async def rename_merchant(self, merchant_id: int, name: str, audit_entry: AuditEntry | None = None) -> None:
        """Change a merchant's name.

        Raises:
            NotFound: no such merchant.
        """
        ...

    async def add_user(self, user: User, audit_entry: AuditEntry | None = None) -> None:
        """Register a person on a merchant's account: who is registered gets its alerts.

        Raises:
            AlreadyExists: the address is registered there already.
            NotFound: no such merchant.
        """
        ...

    async def users(self, merchant_id: int) -> Sequence[User]:
        """List the people registered on a merchant's account, oldest first."""
        ...

    async def create_key(self, key: ApiKey, audit_entry: AuditEntry | None = None) -> None:
        """Add an API key.

        Raises:
            NotFound: no such merchant.
        """
        ...

    async def keys(self, merchant_id: int | None) -> Sequence[ApiKey]:
        """List a merchant's API keys, or the services' and support's with None, oldest first."""
        ...

    async def key(self, key_id: int) -> ApiKey | None:
        """Find an API key of any kind by its id."""
        ...

    async def expire_key(self, key_id: int, at: int, audit_entry: AuditEntry | None = None) -> None:
        """Let an API key end at a time, or earlier if it already was to.

        Raises:
            NotFound: no such key.
        """
        ...

    async def revoke_key(self, key_id: int, at: int, audit_entry: AuditEntry | None = None) -> None:
        """Close an API key for ever; one that was closed earlier stays so.

        Raises:
            NotFound: no such key.
        """
        ...

    async def rotate_key(
        self, key_id: int, *, successor: ApiKey, expires_at: int, audit_entry: AuditEntry | None = None
    ) -> None:
        """Add a key's successor and let the old one expire at `expires_at`, or earlier if it already was to.

        Raises:
            NotFound: no such key.
        """
        ...

    async def set_price(self, price: Price, created_at: int, audit_entry: AuditEntry | None = None) -> None:
        """Add a version of a price, a default or a merchant's own.

        Raises:
            NotFound: no such merchant.
            AlreadyExists: the id is taken.
        """
        ...

    async def prices(self, merchant_id: int | None) -> Sequence[Price]:
        """List every version of the default prices (None) or of a merchant's own, by type and start."""
        ...

    async def approval(self, merchant_id: int, number: int) -> Approval | None:
        """Read one request for approval."""
        ...

    async def approvals(self, *, merchant_id: int | None, before: int, limit: int) -> Sequence[Approval]:
        """List requests for approval numbered below `before`, of one merchant or of all with None, newest first."""
        ...

    async def audit_entries(
        self, *, merchant_id: int | None, before: tuple[int, int], limit: int
    ) -> Sequence[AuditEntry]:
        """List the audit log below `before`, (at, id), of one merchant or all with None, newest first."""
        ...

    async def roll_up_usage(self, merchant_id: int, *, transfers_max: int) -> int:
        """Sum the next transfers of a book up into its usage, `transfers_max` at most, each once; return how many.

        Safe to call from several processes at once.
        """
        ...

    async def books_to_roll_up(self, after: int, *, transfers_min: int, limit: int) -> Sequence[int]:
        """List merchants above `after`, in order, whose books have at least so many transfers not summed up yet."""
        ...

    async def usage(
        self, merchant_id: int, *, first_quarter: int, last_quarter: int, offset_quarters: int, bucket_quarters: int
    ) -> Sequence[Usage]:
        """Sum usage up into buckets, exact to the last transfer committed, whether or not it was summed up yet.

        Args:
            merchant_id: whose.
            first_quarter: the first quarter of an hour since 1970, UTC, that counts.
            last_quarter: the last one that counts.
            offset_quarters: what the time zone adds to UTC, in quarters of an hour.
            bucket_quarters: how long a bucket is: 4 for hours, 96 for days.

        Returns:
            In order of bucket and type; buckets are numbered (quarter + offset) / length, rounded down.
        """
        ...

    async def alerts(self, merchant_id: int, limit: int) -> Sequence[Alert]:
        """List a merchant's alerts, newest first."""
        ...

    async def claim_mails(self, now: int, *, lease_until: int, limit: int) -> Sequence[OutboxMail]:
        """Take mails that are due: nobody else gets them until `lease_until`, when they are due again unless settled.

        Counts the attempt. Each mail is given to one claimer only, however many claim at once.
        """
        ...

    async def settle_mail(self, mail: OutboxMail) -> None:
        """Write what became of a claimed mail: its state, next attempt, last error and time of sending."""
        ...

    async def mails(self, *, merchant_id: int | None, limit: int) -> Sequence[OutboxMail]:
        """List the outbox, newest first."""
        ...

    async def retry_mails(self, now: int) -> int:
        """Make every mail that is not sent due now, those given up included; return how many."""
        ...

    async def next_mail_at(self) -> int | None:
        """When the next mail falls due, or None if none waits."""
        ...

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        """Read the whole ledger as of one moment, without holding up writers."""
        ...

    async def backup(self, path: Path) -> None:
        """Write a consistent copy of the database to a new file while it is in use.

        Raises:
            AlreadyExists: the path exists.
            StorageError: the engine has its own tools for this; the message says how.
        """
        ...


class Database(Store, Runner, Protocol):
    """What an engine is: a ledger, and what people and the console need beside it."""
