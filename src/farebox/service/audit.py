"""The audit: replays whole books as of one moment and names everything that is wrong, whatever was done to the rows."""

from collections.abc import AsyncIterator, Awaitable, Callable

from msgspec import Struct

from farebox.core.replay import Replay
from farebox.storage.interface import Snapshot, StorageError, Store


class Fault(Struct, frozen=True):
    """Something wrong in a merchant's book; the text names the seq where it stands."""

    merchant_id: int
    text: str


class Audit:
    """One pass over the ledger: iterate `faults`, and read how much was seen and how many merchants there are."""

    def __init__(self, store: Store, *, on_progress: Callable[[], Awaitable[None]] | None = None) -> None:
        """Audit this store; `on_progress` is called after each stretch of a book."""
        self._store = store
        self._on_progress = on_progress
        self.merchants_total = 0
        self.merchants_count = 0
        self.transfers_count = 0

    async def faults(self, merchant_id: int | None) -> AsyncIterator[Fault]:
        """Replay one merchant's book, or all with None, and yield each fault."""
        async with self._store.snapshot() as snapshot:
            merchant_ids = await snapshot.merchant_ids() if merchant_id is None else [merchant_id]
            self.merchants_total = len(merchant_ids)
            for number in merchant_ids:
                self.merchants_count += 1
                try:
                    async for text in self._book_faults(snapshot, number):
                        yield Fault(number, text)
                except StorageError:
                    raise
                except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                    # Rows that were damaged by hand can hold anything, even what no type admits.
                    yield Fault(number, f"a row can't be read: {type(error).__name__}: {error}")

    async def _book_faults(self, snapshot: Snapshot, merchant_id: int) -> AsyncIterator[str]:
        account = await snapshot.account(merchant_id)
        if account is None:
            yield "seq 0: the account's row is missing"
            return
        replay = Replay(merchant_id)
        async for chunk in snapshot.transfers(merchant_id):
            for transfer in chunk:
                self.transfers_count += 1
                for fault in replay.feed(transfer):
                    yield fault
            if self._on_progress is not None:
                await self._on_progress()
        originals = await snapshot.transfers_at(merchant_id, sorted(replay.returned))
        for fault in replay.finish(account, await snapshot.holds(merchant_id), originals):
            yield fault
