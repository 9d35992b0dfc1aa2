"""The audit: replays whole books as of one moment and names everything that is wrong, whatever was done to the rows."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from msgspec import Struct

from farebox.core.credit.budgets import Budget
from farebox.core.credit.shortfalls import Shortfall
from farebox.core.period_counts import PeriodCount
from farebox.core.replaying.alerts import alert_faults, named_seqs
from farebox.core.replaying.books import Replay
from farebox.core.replaying.budgets import BudgetReplay
from farebox.core.replaying.hours import HourReplay
from farebox.core.replaying.plain_charges import PlainChargeForms, Row
from farebox.core.transfers import Transfer
from farebox.storage.interface import Connector, Snapshot, StorageError
from farebox.storage.records import BookRows, BudgetedKey

_Row = TypeVar("_Row", PeriodCount, Shortfall, Budget, BudgetedKey)

_BOOKS_PAGE: Final = 100
"""How many merchants' books are read at once, if they are short."""


class LedgerFault(Struct, frozen=True):
    """Something wrong in a merchant's book; the text names the seq where it stands."""

    merchant_id: int
    text: str


class Verifier:
    """One pass over the ledger: iterate `faults`, and read how much was seen, and of how much.

    How many transfers there are is what the accounts say, so a damaged ledger can have fewer, or more.
    """

    def __init__(self, connector: Connector, *, on_progress: Callable[[], Awaitable[None]] | None = None) -> None:
        """Verify this database; `on_progress` is called after each stretch of a book."""
        self._connector = connector
        self._on_progress = on_progress
        self.merchants_total = 0
        self.merchants_count = 0
        self.transfers_total = 0
        self.transfers_count = 0

    async def faults(self, merchant_id: int | None) -> AsyncIterator[LedgerFault]:
        """Replay one merchant's book, or all with None, and yield each fault."""
        async with self._connector.snapshot() as snapshot:
            merchant_ids = await snapshot.merchant_ids() if merchant_id is None else [merchant_id]
            self.merchants_total = len(merchant_ids)
            self.transfers_total = await snapshot.transfers_total(merchant_id)
            default_prices = await snapshot.default_prices()
            for start in range(0, len(merchant_ids), _BOOKS_PAGE):
                page = merchant_ids[start : start + _BOOKS_PAGE]
                books = await snapshot.books(page)
                forms = PlainChargeForms({**default_prices, **await snapshot.own_prices(page)})
                counts = _by_merchant(await snapshot.period_counts(page))
                shortfalls = _by_merchant(await snapshot.shortfalls(page))
                budgets = _by_merchant(await snapshot.budgets(page))
                keys = _by_merchant(await snapshot.budgets_of_keys(page))
                marks = await snapshot.hour_marks(page)
                hours = await snapshot.spent_by_hour([number for number in page if number in books])
                for number in page:
                    self.merchants_count += 1
                    try:
                        beside = forms, counts.get(number, ()), shortfalls.get(number, ())
                        their_keys = {key.key_id: key.budget_id for key in keys.get(number, ())}
                        spent = BudgetReplay(budgets.get(number, ()), their_keys)
                        kept = hours if number in books else await snapshot.spent_by_hour([number])
                        sums = spent, HourReplay(marks.get(number, 0), kept.get(number, {}))
                        async for text in self._book_faults(snapshot, number, books.get(number), sums, *beside):
                            yield LedgerFault(number, text)
                    except StorageError:
                        raise
                    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                        # Rows that were damaged by hand can hold anything, even what no type admits.
                        yield LedgerFault(number, f"a row can't be read: {type(error).__name__}: {error}")
                await self._progressed()

    async def _book_faults(
        self,
        snapshot: Snapshot,
        merchant_id: int,
        book: BookRows | None,
        sums: tuple[BudgetReplay, HourReplay],
        forms: PlainChargeForms,
        counts: Sequence[PeriodCount],
        shortfalls: Sequence[Shortfall],
    ) -> AsyncIterator[str]:
        """Replay a book: a short one that was read already, or a long one in stretches, with flat memory."""
        spent, hours = sums
        replay = Replay(merchant_id, forms.prices, spent, hours, forms)
        if book is not None:
            account, holds, alerts, grants = book.account, book.holds, book.alerts, book.grants
            for fault in self._feed(replay, book.transfers):
                yield fault
        else:
            stored = await snapshot.account(merchant_id)
            if stored is None:
                yield "seq 0: the account's row is missing"
                return
            async for chunk in snapshot.transfer_rows(merchant_id):
                for fault in self._feed(replay, chunk):
                    yield fault
                await self._progressed()
            account, holds = stored, await snapshot.holds(merchant_id)
            alerts, grants = await snapshot.alerts(merchant_id), await snapshot.grants(merchant_id)
        wanted = sorted(named_seqs(alerts) | replay.returned.keys())
        if book is not None:
            named = _named(book.transfers, wanted)
        else:
            named = dict(await snapshot.transfers_at(merchant_id, wanted)) if wanted else {}
        for fault in replay.finish(account, holds, named, counts, shortfalls, grants):
            yield fault
        for fault in (*spent.finish(), *hours.finish(account.seq)):
            yield f"seq {account.seq}: {fault}"
        for fault in alert_faults(account, alerts, named, replay.last_arrival_seq):
            yield fault

    def _feed(self, replay: Replay, rows: Sequence[Row]) -> Iterator[str]:
        self.transfers_count += len(rows)
        return replay.feed_rows(rows)

    async def _progressed(self) -> None:
        if self._on_progress is not None:
            await self._on_progress()


def _by_merchant(rows: Iterable[_Row]) -> Mapping[int, Sequence[_Row]]:
    found: dict[int, list[_Row]] = {}
    for row in rows:
        found.setdefault(row.merchant_id, []).append(row)
    return found


def _named(rows: Sequence[Row], seqs: Sequence[int]) -> dict[int, Transfer]:
    """Make transfers of those rows of a book that have these seqs."""
    wanted = set(seqs)
    return {row[1]: Transfer(*row) for row in rows if row[1] in wanted} if wanted else {}
