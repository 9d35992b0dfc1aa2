"""Transfers: books read by stretches, by single numbers, and by what came in from outside."""

from collections.abc import Mapping, Sequence

from farebox.core.transfers import Transfer
from farebox.storage import rows
from farebox.storage.records import TransferFilter
from farebox.storage.subject import SubjectStore


class TransferStore(SubjectStore):
    """Merchants' books. Batches alone write them."""

    async def page(
        self, merchant_id: int, *, first_seq: int, last_seq: int, limit: int, newest_first: bool
    ) -> Sequence[Transfer]:
        """Read a stretch of a book, both ends included, at most `limit` rows."""
        name = "transfers_newest_first" if newest_first else "transfers_oldest_first"
        found = await self._rows(name, merchant_id, first_seq, last_seq, limit)
        return [rows.transfer_from_row(row) for row in found]

    async def find(
        self, merchant_id: int, *, first_seq: int, last_seq: int, wanted: TransferFilter
    ) -> Sequence[Transfer]:
        """Read all wanted transfers of a stretch of a book, newest first. It reads the whole stretch: keep it short."""
        values = (merchant_id, first_seq, last_seq, *rows.filter_to_values(wanted))
        return [rows.transfer_from_row(row) for row in await self._rows("find_transfers", *values)]

    async def at(self, merchant_id: int, seqs: Sequence[int]) -> Mapping[int, Transfer]:
        """Read single transfers of a book by their seq; what does not exist is absent."""
        return rows.transfers_by_seq(await self._rows("transfers_at", merchant_id, list(seqs)))

    async def funding_after(self, merchant_id: int, first_seq: int) -> Sequence[Transfer]:
        """Read a book's top-ups, reversals, adjustments, grants and their ends from `first_seq` on, in order of seq."""
        return [rows.transfer_from_row(row) for row in await self._rows("funding_after", merchant_id, first_seq)]

    async def returns_of(self, merchant_id: int, seq: int, limit: int) -> Sequence[Transfer]:
        """Read what was given back of a transfer, its refunds or reversals, newest first, at most `limit` rows."""
        return [rows.transfer_from_row(row) for row in await self._rows("returns_of", merchant_id, seq, limit)]

    async def returned_of(self, merchant_id: int, seq: int) -> int:
        """Sum up what was given back of a transfer, in micros."""
        ((returned,),) = await self._rows("returned_of", merchant_id, seq)
        return int(returned)
