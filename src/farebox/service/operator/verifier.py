"""The audit: replays whole books as of one moment and names everything that is wrong, whatever was done to the rows."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from msgspec import Struct

from farebox.core.alerts import Alert
from farebox.core.credit.budgets import Budget
from farebox.core.credit.shortfalls import Shortfall
from farebox.core.period_counts import PeriodCount
from farebox.core.prices import Price
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
                beside = await _read_beside(snapshot, page, books, default_prices)
                for number in page:
                    self.merchants_count += 1
                    book = books.get(number)
                    try:
                        if book is not None:
                            for text in self._short_book_faults(number, book, beside):
                                yield LedgerFault(number, text)
                        else:
                            async for text in self._long_book_faults(snapshot, number, beside):
                                yield LedgerFault(number, text)
                    except StorageError:
                        raise
                    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                        # Rows that were damaged by hand can hold anything, even what no type admits.
                        yield LedgerFault(number, f"a row can't be read: {type(error).__name__}: {error}")
                await self._progressed()

    def _short_book_faults(self, merchant_id: int, book: BookRows, beside: "_Beside") -> Iterator[str]:
        """Replay a short book, which was read as a whole."""
        sums = beside.sums(merchant_id, beside.hours.get(merchant_id, {}))
        replay = Replay(merchant_id, beside.forms.prices, *sums, beside.forms)
        yield from self._feed(replay, book.transfers)
        named = _named(book.transfers, _wanted(replay, book.alerts))
        yield from _end_faults(replay, book, named, beside.of_merchant(merchant_id), sums)

    async def _long_book_faults(self, snapshot: Snapshot, merchant_id: int, beside: "_Beside") -> AsyncIterator[str]:
        """Replay a long book in stretches, with flat memory."""
        kept = await snapshot.spent_by_hour([merchant_id])
        sums = beside.sums(merchant_id, kept.get(merchant_id, {}))
        replay = Replay(merchant_id, beside.forms.prices, *sums, beside.forms)
        account = await snapshot.account(merchant_id)
        if account is None:
            yield "seq 0: the account's row is missing"
            return
        async for chunk in snapshot.transfer_rows(merchant_id):
            for fault in self._feed(replay, chunk):
                yield fault
            await self._progressed()
        holds, alerts = await snapshot.holds(merchant_id), await snapshot.alerts(merchant_id)
        rest = BookRows(account, (), holds, alerts, await snapshot.grants(merchant_id))
        wanted = _wanted(replay, alerts)
        named = dict(await snapshot.transfers_at(merchant_id, sorted(wanted))) if wanted else {}
        for fault in _end_faults(replay, rest, named, beside.of_merchant(merchant_id), sums):
            yield fault

    def _feed(self, replay: Replay, rows: Sequence[Row]) -> Iterator[str]:
        self.transfers_count += len(rows)
        return replay.feed_rows(rows)

    async def _progressed(self) -> None:
        if self._on_progress is not None:
            await self._on_progress()


class _Beside(Struct, frozen=True):
    """Rows of some merchants beside their books, by merchant, and what their charges have in common."""

    forms: PlainChargeForms
    counts: Mapping[int, Sequence[PeriodCount]]
    shortfalls: Mapping[int, Sequence[Shortfall]]
    budgets: Mapping[int, Sequence[Budget]]
    keys: Mapping[int, Sequence[BudgetedKey]]
    marks: Mapping[int, int]
    hours: Mapping[int, Mapping[int, int]]
    """Of short books alone."""

    def sums(self, merchant_id: int, kept: Mapping[int, int]) -> tuple[BudgetReplay, HourReplay]:
        """Begin to work out what a merchant spent of budgets, and in hours, of which these sums are kept."""
        budget_of_key = {key.key_id: key.budget_id for key in self.keys.get(merchant_id, ())}
        budgets = BudgetReplay(self.budgets.get(merchant_id, ()), budget_of_key)
        return budgets, HourReplay(self.marks.get(merchant_id, 0), kept)

    def of_merchant(self, merchant_id: int) -> tuple[Sequence[PeriodCount], Sequence[Shortfall]]:
        """Tell a merchant's counts and shortfalls."""
        return self.counts.get(merchant_id, ()), self.shortfalls.get(merchant_id, ())


async def _read_beside(
    snapshot: Snapshot, page: Sequence[int], books: Mapping[int, BookRows], default_prices: Mapping[int, Price]
) -> _Beside:
    return _Beside(
        PlainChargeForms({**default_prices, **await snapshot.own_prices(page)}),
        _by_merchant(await snapshot.period_counts(page)),
        _by_merchant(await snapshot.shortfalls(page)),
        _by_merchant(await snapshot.budgets(page)),
        _by_merchant(await snapshot.budgets_of_keys(page)),
        await snapshot.hour_marks(page),
        await snapshot.spent_by_hour([number for number in page if number in books]),
    )


def _end_faults(
    replay: Replay,
    book: BookRows,
    named: Mapping[int, Transfer],
    beside: tuple[Sequence[PeriodCount], Sequence[Shortfall]],
    sums: tuple[BudgetReplay, HourReplay],
) -> Iterator[str]:
    """Compare where a book came to with what is stored beside its transfers."""
    account, (budgets, hours) = book.account, sums
    yield from replay.finish(account, book.holds, named, *beside, book.grants)
    for fault in (*budgets.finish(), *hours.finish(account.seq)):
        yield f"seq {account.seq}: {fault}"
    yield from alert_faults(account, book.alerts, named, replay.last_arrival_seq)


def _wanted(replay: Replay, alerts: Sequence[Alert]) -> set[int]:
    """List the transfers, by seq, that the end of a replay has to look at once more."""
    return named_seqs(alerts) | replay.returned.keys()


def _by_merchant(rows: Iterable[_Row]) -> Mapping[int, Sequence[_Row]]:
    found: dict[int, list[_Row]] = {}
    for row in rows:
        found.setdefault(row.merchant_id, []).append(row)
    return found


def _named(rows: Sequence[Row], wanted: set[int]) -> dict[int, Transfer]:
    """Make transfers of those rows of a book that have these seqs."""
    return {row[1]: Transfer(*row) for row in rows if row[1] in wanted} if wanted else {}
