"""A connector to a ledger in memory: no transactions to lose, and no SQL, so its stores are its own."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import astuple

from farebox.core.accounts import Account
from farebox.core.alerts import Alert
from farebox.core.audit_log import AuditEntry
from farebox.core.credit.budgets import Budget
from farebox.core.credit.grants import Grant
from farebox.core.credit.shortfalls import Shortfall
from farebox.core.holds import Hold
from farebox.core.period_counts import PeriodCount
from farebox.core.prices import Price
from farebox.core.state import Decision, ReadSet
from farebox.core.transfers import Transfer
from farebox.storage.batch_steps import BatchSteps
from farebox.storage.interface import Decide, Fetch, Snapshot, StorageError
from farebox.storage.months import Month
from farebox.storage.records import BookRows, BudgetedKey, RevenueSums
from farebox.storage.stores import Stores
from tests.support.memory_rows import MemoryRows, key_record
from tests.support.memory_stores import subjects_over

_Result = TypeVar("_Result")


def at_once(coroutine: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a coroutine that never waits, as those of a store in memory are."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: _Result = stop.value
        return result
    raise AssertionError("it waits")


class MemoryConnector(MemoryRows):
    """A `Connector` that forgets everything when it goes."""

    @property
    def stores(self) -> Stores:
        """The stores of this ledger, by subject."""
        return Stores(connector=self, **subjects_over(self))

    @property
    def engine(self) -> str:
        return "memory"

    @property
    def dialect(self) -> str:
        raise NotImplementedError

    async def open(self) -> None:
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False

    async def migrate(self, now: int) -> list[str]:
        return []

    def route(self, merchant_id: int) -> int:
        return 0

    @property
    def batches_at_once(self) -> int:
        return 1

    async def check(self) -> None:
        self.check_open()

    async def check_writable(self) -> None:
        self.check_open()

    def disk_free_bytes(self) -> int | None:
        return None

    def log_bytes(self) -> int | None:
        return None

    async def transact(self, reads: ReadSet, decide: Decide, steps: BatchSteps | None = None) -> Decision:
        self.check_open()
        steps = steps or BatchSteps()
        steps.locked = steps.loaded = time.monotonic_ns()
        decision = self.decision(reads, decide)
        steps.decided = time.monotonic_ns()
        if decision.changes_anything:
            self.apply(decision)
        steps.applied = steps.committed = time.monotonic_ns()
        return decision

    async def balances(self, keys: Sequence[tuple[int, bytes]], now: int) -> Mapping[bytes, int]:
        self.check_open()
        wanted = set(keys)
        return {
            key.digest: self.accounts[key.merchant_id].wallet
            for key in self.keys.values()
            if key.merchant_id is not None
            and (key.merchant_id, key.digest) in wanted
            and key_record(key).is_valid_at(now)
        }

    async def fetch(self, statement: str, *values: Any) -> Sequence[Sequence[Any]]:
        raise NotImplementedError

    async def run_in_transaction(
        self, work: Callable[[Fetch], Awaitable[_Result]], audit_entry: AuditEntry | None = None
    ) -> _Result:
        raise NotImplementedError

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        return _snapshot(self)

    async def backup(self, path: Path, on_progress: Callable[[int, int], None] | None = None) -> None:
        raise StorageError("what is in memory can't be backed up")


class _MemorySnapshot:
    """A copy of the rows."""

    def __init__(self, rows: MemoryRows) -> None:
        self._rows = rows

    async def merchant_ids(self) -> list[int]:
        return sorted(self._rows.merchants)

    async def transfers_total(self, merchant_id: int | None) -> int:
        accounts = self._rows.accounts
        return sum(accounts[number].seq for number in accounts if merchant_id in (None, number))

    async def books(self, merchant_ids: Sequence[int]) -> Mapping[int, BookRows]:
        return {}

    async def account(self, merchant_id: int) -> Account | None:
        return self._rows.accounts.get(merchant_id)

    async def transfers(self, merchant_id: int) -> AsyncIterator[Sequence[Transfer]]:
        if book := self._rows.books.get(merchant_id):
            yield book

    async def transfer_rows(self, merchant_id: int) -> AsyncIterator[Sequence[Any]]:
        async for found in self.transfers(merchant_id):
            yield [astuple(transfer) for transfer in found]

    async def transfers_at(self, merchant_id: int, seqs: Sequence[int]) -> Mapping[int, Transfer]:
        return {item.seq: item for item in self._rows.books.get(merchant_id, []) if item.seq in seqs}

    async def holds(self, merchant_id: int) -> Sequence[Hold]:
        return [hold for hold in self._rows.rows()["holds"] if hold.merchant_id == merchant_id]

    async def grants(self, merchant_id: int) -> Sequence[Grant]:
        return self._rows.grants_of(merchant_id)

    async def alerts(self, merchant_id: int) -> Sequence[Alert]:
        return [alert for alert in self._rows.rows()["alerts"] if alert.merchant_id == merchant_id]

    async def default_prices(self) -> Mapping[int, Price]:
        return {price.price_id: price for price in self._rows.prices if price.merchant_id is None}

    async def own_prices(self, merchant_ids: Sequence[int]) -> Mapping[int, Price]:
        return {price.price_id: price for price in self._rows.prices if price.merchant_id in merchant_ids}

    async def period_counts(self, merchant_ids: Sequence[int]) -> Sequence[PeriodCount]:
        return [count for count in self._rows.period_counts.values() if count.merchant_id in merchant_ids]

    async def shortfalls(self, merchant_ids: Sequence[int]) -> Sequence[Shortfall]:
        return [row for _, row in sorted(self._rows.shortfalls.items()) if row.merchant_id in merchant_ids]

    async def budgets(self, merchant_ids: Sequence[int]) -> Sequence[Budget]:
        return [budget for _, budget in sorted(self._rows.budgets.items()) if budget.merchant_id in merchant_ids]

    async def budgets_of_keys(self, merchant_ids: Sequence[int]) -> Sequence[BudgetedKey]:
        return [
            BudgetedKey(key.merchant_id, key.key_id, key.budget_id)
            for key in self._rows.keys.values()
            if key.merchant_id is not None and key.merchant_id in merchant_ids
        ]

    async def hour_marks(self, merchant_ids: Sequence[int]) -> Mapping[int, int]:
        return {}

    async def spent_by_hour(self, merchant_ids: Sequence[int]) -> Mapping[int, Mapping[int, int]]:
        return {}

    async def revenue(self, first: Month, last: Month) -> RevenueSums:
        return self._rows.revenue(first, last)


@asynccontextmanager
async def _snapshot(rows: MemoryRows) -> AsyncIterator[_MemorySnapshot]:
    yield _MemorySnapshot(rows.copy())
