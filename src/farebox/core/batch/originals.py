"""The transfers that a batch gives back, captures or ends holds of, and the price versions that they name."""

from msgspec.structs import replace

from farebox.core import quotes
from farebox.core.book import Book
from farebox.core.period_counts import PeriodCounts
from farebox.core.prices import Price
from farebox.core.state import BatchState, Original
from farebox.core.transfers import Transfer


class BatchOriginals:
    """Transfers as stored or as posted earlier in the batch, and how much of each has gone back."""

    def __init__(self, state: BatchState, counts: PeriodCounts) -> None:
        """Begin with what is stored; `counts` are the batch's own."""
        self._state = state
        self._counts = counts
        self._returned: dict[tuple[int, int], int] = {}

    def get(self, book: Book, seq: int) -> Original | None:
        """Find a transfer to be given back, whether stored or posted earlier in this batch, and what has gone back."""
        key = (book.merchant_id, seq)
        stored = self._state.originals.get(key)
        if stored is None:
            transfer = next((item for item in book.transfers if item.seq == seq), None)
            stored = None if transfer is None else Original(transfer, 0)
        if stored is None:
            return None
        return replace(stored, returned=self._returned.get(key, stored.returned + self._owed(*key)))

    def set_returned(self, transfer: Transfer, returned: int) -> None:
        """Note that so much of a transfer has gone back, in micros."""
        self._returned[transfer.merchant_id, transfer.seq] = returned

    def _owed(self, merchant_id: int, seq: int) -> int:
        """Tell what was owed for a top-up before the batch: it has gone back too, and can't be asked for again."""
        return sum(
            row.owed
            for row in self._state.shortfalls.values()
            if (row.merchant_id, row.top_up_seq) == (merchant_id, seq)
        )

    def price_of(self, transfer: Transfer) -> Price | None:
        """Find the version that a transfer names, of a stored one or of one that was posted earlier in this batch."""
        request_type = transfer.request_type or ""
        candidates = (
            self._state.original_prices.get(transfer.price_id or 0),
            self._state.merchant_prices.get((transfer.merchant_id, request_type)),
            self._state.default_prices.get(request_type),
        )
        return next((price for price in candidates if price is not None and price.price_id == transfer.price_id), None)

    def uncount(self, made_by: Transfer) -> None:
        """Give back the units that a hold counted."""
        units = quotes.counted_units(self.price_of(made_by), made_by)
        if units is not None:
            self._counts.add(*units, -1)

    def give_units_back(self, original: Original, returned: int) -> None:
        """Give back the units of what was refunded, now that so much of it was, if the price says so."""
        units = quotes.returned_units(self.price_of(original.transfer), original, returned)
        if units is not None:
            self._counts.add(*units, -1)
