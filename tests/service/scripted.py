"""A store in memory that does as a test says: waits before it commits, fails, or commits and does not tell."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from enum import Enum, auto
from typing import Any, Final, cast

from msgspec.structs import replace

from farebox.core.accounts import Account
from farebox.core.commands import Charge, Payer
from farebox.core.invariants import InvariantViolation
from farebox.core.prices import Price
from farebox.core.state import BatchState, Decision, ReadSet
from farebox.core.transfers import Transfer
from farebox.service.clock import SystemClock
from farebox.service.ledger.committer import Committer, CommitterLimits
from farebox.storage.batch_steps import BatchSteps
from farebox.storage.interface import CommitUnknown, Connector, Decide, StoreFaulty, StoreUnavailable

WAIT_S: Final = 10
UNIT: Final = 1_000_000


class Fate(Enum):
    """What becomes of one transaction."""

    FAILS_BEFORE = auto()
    """The database is away before COMMIT; nothing is committed."""
    FAILS_AFTER_DECIDING = auto()
    """The database goes away between the decision and COMMIT."""
    LOSES_COMMIT = auto()
    """COMMIT fails, and nothing was committed."""
    HIDES_COMMIT = auto()
    """COMMIT fails, but everything was committed."""
    CRASHES = auto()
    """Something that nobody foresaw; nothing is committed."""
    FAULTY = auto()
    """The database fails at its own work; nothing is committed."""


class ScriptedConnector:
    """Keeps accounts and transfers; `script` has the fates of the transactions to come, good ones after it ends.

    Merchants are 0, 1, 2 ...; a merchant's group is its number modulo `groups`. A merchant in `poisoned` can't be read,
    and the rows of one in `damaged` are what the database itself fails at. `batches_at_once`: into how many parts a
    batch may be divided.
    """

    def __init__(
        self, *, groups: int = 1, merchants: int = 8, wallet: int = 1000 * UNIT, batches_at_once: int = 1
    ) -> None:
        self.accounts = {number: Account(number, "USD", wallet=wallet, funding=-wallet) for number in range(merchants)}
        self.transfers: dict[tuple[int, str], Transfer] = {}
        self.script: deque[Fate | None] = deque()
        self.always: Fate | None = None
        self.poisoned: set[int] = set()
        self.damaged: set[int] = set()
        self.batches: list[list[tuple[int, str]]] = []
        """What each transaction was about: merchants and idempotency keys."""
        self.locks_wanted: list[bool] = []
        """Whether each wanted its accounts locked before they were read."""
        self.running: Counter[int] = Counter()
        self.running_max: Counter[int] = Counter()
        self.batches_at_once = batches_at_once
        self._groups = groups
        self._gate = asyncio.Semaphore(0)
        self._is_held = False
        self._changed = asyncio.Condition()

    @property
    def connector(self) -> Connector:
        """Itself; nothing but what a committer uses is there."""
        return cast(Connector, self)

    def hold(self) -> None:
        """Let transactions wait from now on, each until it is released."""
        self._is_held = True

    def release(self, count: int = 1) -> None:
        """Let so many transactions go on."""
        for _ in range(count):
            self._gate.release()

    def release_all(self) -> None:
        """Let every transaction go on, those to come too."""
        self._is_held = False
        self.release(100)

    async def begun(self, count: int) -> None:
        """Wait until so many transactions have begun in all."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.batches) >= count)

    def spent(self, merchant_id: int = 0) -> int:
        """Return what a merchant has spent, in micros; its transfers and its account agree on it."""
        account = self.accounts[merchant_id]
        posted = [
            item for (owner, _), item in self.transfers.items() if owner == merchant_id and item.kind == Charge.kind
        ]
        assert account.revenue == sum(item.amount for item in posted)
        return account.revenue

    def route(self, merchant_id: int) -> int:
        return merchant_id % self._groups

    async def transact(self, reads: ReadSet, decide: Decide, steps: BatchSteps | None = None) -> Decision:
        (group,) = {self.route(merchant_id) for merchant_id in reads.merchant_ids}
        fate = self.script.popleft() if self.script else self.always
        self.batches.append(list(reads.idempotency_keys))
        self.locks_wanted.append(reads.is_lock_wanted)
        self.running[group] += 1
        self.running_max[group] = max(self.running_max[group], self.running[group])
        async with self._changed:
            self._changed.notify_all()
        try:
            if self._is_held:
                await self._gate.acquire()
            # Every database takes a while, so others get their turn.
            await asyncio.sleep(0)
            return self._run(reads, decide, fate)
        finally:
            self.running[group] -= 1

    def _run(self, reads: ReadSet, decide: Decide, fate: Fate | None) -> Decision:
        if fate is Fate.FAILS_BEFORE:
            raise StoreUnavailable("the database is away")
        if fate is Fate.CRASHES or self.poisoned.intersection(reads.merchant_ids):
            raise InvariantViolation("a book does not balance")
        if fate is Fate.FAULTY or self.damaged.intersection(reads.merchant_ids):
            raise StoreFaulty("a page can't be read")
        decision = decide(self._load(reads))
        if fate is Fate.FAILS_AFTER_DECIDING:
            raise StoreUnavailable("the database is away")
        if not decision.changes_anything:
            return decision
        if fate is Fate.LOSES_COMMIT:
            raise CommitUnknown("the connection was lost")
        self.apply(decision)
        if fate is Fate.HIDES_COMMIT:
            raise CommitUnknown("the connection was lost")
        return decision

    def apply(self, decision: Decision) -> None:
        """Commit a decision, as another process may do too."""
        for transfer in decision.transfers:
            place = (transfer.merchant_id, transfer.idempotency_key)
            assert place not in self.transfers, "committed twice"
            assert transfer.seq == self.accounts[transfer.merchant_id].seq + 1
            self.transfers[place] = transfer
            account = self.accounts[transfer.merchant_id]
            self.accounts[transfer.merchant_id] = replace(account, seq=transfer.seq)
        self.accounts |= {account.merchant_id: account for account in decision.accounts}

    def _load(self, reads: ReadSet) -> BatchState:
        return BatchState(
            accounts={number: self.accounts[number] for number in reads.merchant_ids if number in self.accounts},
            default_prices={name: Price(1, name, UNIT, 0) for name in reads.request_types if name == "image"},
            replays={place: self.transfers[place] for place in reads.idempotency_keys if place in self.transfers},
        )


def charge(key: str, *, merchant_id: int = 0, quantity: int = 1) -> Charge:
    """Make a charge of a whole unit of money for each of `quantity` images."""
    return Charge(Payer(merchant_id), "image", quantity, key)


def charges(keys: Iterable[str], *, merchant_id: int = 0) -> list[Charge]:
    """Make several."""
    return [charge(key, merchant_id=merchant_id) for key in keys]


@asynccontextmanager
async def running_committer(scripted: ScriptedConnector, **limits: Any) -> AsyncIterator[Committer]:
    """Run a committer with these limits, which looks a batch up without a pause."""
    committer = Committer(scripted.connector, SystemClock(), limits=CommitterLimits(lookup_pause_seconds=0, **limits))
    await committer.start()
    try:
        # What waits for ever ends here, and the test fails.
        async with asyncio.timeout(WAIT_S):
            yield committer
    finally:
        scripted.always = None
        scripted.release_all()
        await committer.close()
