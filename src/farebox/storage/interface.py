"""The Connector protocol: what an engine promises. Its docstrings are the contract; one test suite checks every engine.

An engine commits batches, reads balances and runs statements. All else that is kept in a database is written once over
that, in one module for each subject; stores.py lists them. Times are microseconds since 1970, amounts micros, both from
the caller: a connector asks no clock and makes no ids.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from farebox.core.accounts import Account
from farebox.core.alerts import Alert
from farebox.core.audit_log import AuditEntry
from farebox.core.credit.budgets import Budget
from farebox.core.credit.grants import Grant
from farebox.core.credit.shortfalls import Shortfall
from farebox.core.holds import Hold
from farebox.core.period_counts import PeriodCount
from farebox.core.prices import Price
from farebox.core.state import BatchState, Decision, ReadSet
from farebox.core.transfers import Transfer
from farebox.storage.batch_steps import BatchSteps
from farebox.storage.months import Month
from farebox.storage.records import BookRows, BudgetedKey, RevenueSums

Decide = Callable[[BatchState], Decision]

_Result = TypeVar("_Result")


class Fetch(Protocol):
    """Runs one statement and returns its rows, none for one that returns none.

    A list of whole numbers among the values is one parameter: what `{in $1}` compares with.
    """

    async def __call__(self, statement: str, *values: Any) -> Sequence[Sequence[Any]]:
        """Run it."""
        ...


class StorageError(Exception):
    """The database did not do what was asked of it."""


class StoreUnavailable(StorageError):
    """The database can't be reached or can't take writes (stopped, full, read-only, locked); nothing was committed."""


class StoreReplaced(StoreUnavailable):
    """The database is not the one that this process has worked on, or an earlier state of it; nothing was committed."""


class GroupsChanged(StoreUnavailable):
    """Merchants are in other groups now, and the batch was put together by those of before; nothing was committed."""


class LedgerMoved(StoreReplaced):
    """The ledger has moved to another database, which the message names; nothing was committed."""


class CopyUnfinished(StorageError):
    """The database is a copy of a ledger that is not finished: it must not be served."""


class StoreReadOnly(StoreUnavailable):
    """The database takes no writes: its file is read-only, or its server a standby; nothing was committed."""


class StoreFull(StoreUnavailable):
    """The database's disk has no room left; nothing was committed."""


class StoreFaulty(StoreUnavailable):
    """The database failed at its own work, perhaps at the rows of one command alone; nothing was committed."""


class CommitUnknown(StorageError):
    """An error came while COMMIT ran: the batch may or may not be in the ledger. Look its keys up."""


class AlreadyExists(StorageError):
    """A row with this key is there already; nothing was changed."""


class NotFound(StorageError):
    """The row that was named is not there; nothing was changed."""


class Repeated(StorageError):
    """A request under this idempotency key has made something already; nothing was changed."""


class SchemaMismatch(StorageError):
    """The database's schema is not the one this program knows; the message says what to do."""


class SchemaMissing(SchemaMismatch):
    """The database has no schema at all; the message says what to do."""


class Snapshot(Protocol):
    """The whole ledger as of one moment, whatever is committed meanwhile."""

    async def merchant_ids(self) -> list[int]:
        """List every merchant, in order."""
        ...

    async def transfers_total(self, merchant_id: int | None) -> int:
        """Tell how many transfers a merchant has, or all have with None, by the accounts alone: as many as they say."""
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

    def transfer_rows(self, merchant_id: int) -> AsyncIterator[Sequence[Any]]:
        """Read a book as `transfers` does, as rows that are stored: the fields of `Transfer`, in their order."""
        ...

    async def transfers_at(self, merchant_id: int, seqs: Sequence[int]) -> Mapping[int, Transfer]:
        """Read single transfers of a book by their seq; what does not exist is absent."""
        ...

    async def holds(self, merchant_id: int) -> Sequence[Hold]:
        """Read all of a merchant's holds, unchecked, in order of seq."""
        ...

    async def alerts(self, merchant_id: int) -> Sequence[Alert]:
        """Read all of a merchant's alerts, in order of their numbers."""
        ...

    async def grants(self, merchant_id: int) -> Sequence[Grant]:
        """Read all of a merchant's grants of credit, unchecked, in order of their numbers."""
        ...

    async def default_prices(self) -> Mapping[int, Price]:
        """Read every version of the default prices, by its number."""
        ...

    async def own_prices(self, merchant_ids: Sequence[int]) -> Mapping[int, Price]:
        """Read every version of merchants' own prices, by its number."""
        ...

    async def period_counts(self, merchant_ids: Sequence[int]) -> Sequence[PeriodCount]:
        """Read all counts of merchants' periods."""
        ...

    async def shortfalls(self, merchant_ids: Sequence[int]) -> Sequence[Shortfall]:
        """Read all of merchants' shortfalls, each merchant's in order of seq."""
        ...

    async def budgets(self, merchant_ids: Sequence[int]) -> Sequence[Budget]:
        """Read all budgets of merchants' keys, in order of merchant, budget and unit."""
        ...

    async def budgets_of_keys(self, merchant_ids: Sequence[int]) -> Sequence[BudgetedKey]:
        """Tell which of merchants' keys spends from which budget, if any."""
        ...

    async def hour_marks(self, merchant_ids: Sequence[int]) -> Mapping[int, int]:
        """Tell up to which transfer merchants' books are rolled up by hours; those that never were are absent."""
        ...

    async def spent_by_hour(self, merchant_ids: Sequence[int]) -> Mapping[int, Mapping[int, int]]:
        """Read what merchants spent in each hour since 1970, in micros, as it is rolled up."""
        ...

    async def revenue(self, first: Month, last: Month) -> RevenueSums:
        """Sum up what moved in months in a row, by month, currency, kind and type, and what merchants had."""
        ...


class Connector(Protocol):
    """One database. Every method may raise StoreUnavailable, having changed nothing.

    Safe to use from many tasks of one event loop, beside other processes on the same database.
    """

    @property
    def engine(self) -> str:
        """The engine's name and version, for people."""
        ...

    @property
    def dialect(self) -> str:
        """How the engine writes SQL: "sqlite" or "postgres"."""
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

    async def check(self) -> None:
        """See that the database can be reached, is the one that was opened, and has what this process committed to it.

        Every write checks the same before anyone hears of it.

        Raises:
            StoreReplaced: it is another one, or was put back to an earlier time.
        """
        ...

    async def check_writable(self) -> None:
        """Commit a write that changes nothing, the way that a batch takes.

        Raises:
            StoreReplaced, StoreReadOnly, StoreFull: as a batch would be refused; StoreUnavailable for any other reason.
        """
        ...

    def disk_free_bytes(self) -> int | None:
        """Tell how much room is left on the disk that the database grows on; None if it is another machine's."""
        ...

    def log_bytes(self) -> int | None:
        """Tell how large the log is that the engine keeps beside the database's file; None if there is no such file."""
        ...

    def route(self, merchant_id: int) -> int:
        """Name the group a merchant's commands belong to: a batch stays within one group."""
        ...

    @property
    def batches_at_once(self) -> int:
        """Tell how many batches of one group, without a merchant in common, are committed faster together."""
        ...

    async def transact(self, reads: ReadSet, decide: Decide, steps: BatchSteps | None = None) -> Decision:
        """Run one batch: lock the accounts in sorted order, load what `reads` asks, decide, apply, COMMIT.

        All accounts of `reads.merchant_ids` stay locked against other writers from before the first read to the end. If
        `reads` wants no lock, an engine may instead write only where nobody has changed them since they were read.
        For each alert, the deliveries to those who want its kind are written in the same transaction. A
        decision that changes nothing is not written. `decide` may be called again if the engine lost a race. What it
        raises comes through, with nothing committed. The times of its steps are written into `steps`.

        Returns:
            The decision, committed and durable.

        Raises:
            StoreUnavailable: failed before COMMIT; nothing was committed.
            StoreReplaced: the database is not the one that this process has worked on; nothing was committed.
            GroupsChanged: the merchants may not be of one group any more: `route` has to be asked again.
            CommitUnknown: failed while COMMIT ran, or the database was replaced meanwhile.
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

    async def fetch(self, statement: str, *values: Any) -> Sequence[Sequence[Any]]:
        """Run one statement that changes nothing and return its rows."""
        ...

    async def run_in_transaction(
        self, work: Callable[[Fetch], Awaitable[_Result]], audit_entry: AuditEntry | None = None
    ) -> _Result:
        """Run a work's statements in one transaction, then COMMIT.

        `audit_entry` is written with them: it tells who did this by hand, and is None if nobody did. One that is there
        already is left as it is. Any error of the work rolls back. It may be called again if the engine lost a race.

        Raises:
            AlreadyExists: a row with this key is there already.
            NotFound: a row names another that is not there.
            CommitUnknown: failed while COMMIT ran.
        """
        ...

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        """Read the whole ledger as of one moment, without holding up writers."""
        ...

    async def backup(self, path: Path, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Write a consistent copy of the database to a new file while it is in use.

        From a thread of its own `on_progress` hears now and then how many bytes are copied, and of how many.

        Raises:
            AlreadyExists: the path exists.
            StorageError: the engine has its own tools for this; the message says how.
        """
        ...
