"""Statements: a merchant's book read for people, in pages or as a whole, however long it is.

A page costs a bounded number of bounded queries. An export streams with flat memory, up to the last transfer at its
start; the book only grows, so it needs no transaction.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from farebox.core import ids
from farebox.core.accounts import GENESIS_HASH, KIND_WORDS, Account
from farebox.core.invariants import InvariantViolation
from farebox.core.money import format_amount
from farebox.core.transfers import Transfer
from farebox.service import inputs, parsing
from farebox.service.errors import InvalidInput, UnknownMerchant, translated
from farebox.service.statements.lines import (
    FORMAT,
    KINDS,
    VERSION,
    HeaderData,
    PriceLineData,
    TrailerData,
    TransferData,
    csv_header,
    csv_rows,
    price_line_data,
    transfer_data,
)
from farebox.service.statements.seek import last_transfers, transfers_at
from farebox.storage.records import Merchant, TransferFilter
from farebox.storage.stores import Stores

PAGE_TRANSFERS_DEFAULT: Final = 100
PAGE_TRANSFERS_MAX: Final = 1_000

_EVERYTHING: Final = TransferFilter()


class QueryLimits(Struct, frozen=True):
    """How much of a book the queries of a page and of an export look through."""

    stretch_rows_first: int = 250
    stretch_growth: int = 4
    stretch_rows_max: int = 5_000
    """How many rows of a book one query looks through for those that are wanted."""

    stretches_max: int = 6
    """How many such queries one page makes before it is given as it is, however few it has found."""

    export_rows: int = 500


LIMITS: Final = QueryLimits()


class Selection(Struct, frozen=True, kw_only=True):
    """Which transfers are wanted, in the words of whoever asks: those that agree with all that is named.

    `start` is the first time that counts, `end` the first that does not any more, both in RFC 3339. `kind` is a word
    of the API such as top_up.
    """

    start: str | None = None
    end: str | None = None
    kind: str | None = None
    request_type: str | None = None
    reference: str | None = None


class Page(Struct, frozen=True):
    """A page of a statement, newest first; with a cursor if there is more, even if it is short or empty."""

    transfers: Sequence[Transfer]
    next_cursor: str | None


class _Wanted(Struct, frozen=True):
    """A selection, checked. Times are microseconds since 1970, None without a bound."""

    start: int | None
    end: int | None
    filter: TransferFilter


class _BookRange(Struct, frozen=True):
    """Consecutive transfers of a book, both ends included; empty if the last seq is the one before the first."""

    account: Account
    first_seq: int
    last_seq: int


class Statements:
    """Reads books for people. Every method may raise Unavailable, and UnknownMerchant if there is no such merchant."""

    def __init__(self, stores: Stores, limits: QueryLimits = LIMITS) -> None:
        """Read from these stores, by queries within these limits."""
        self._stores = stores
        self._limits = limits

    async def page(
        self, merchant_id: int, selection: Selection, *, cursor: str | None = None, limit: int = PAGE_TRANSFERS_DEFAULT
    ) -> Page:
        """Read a page of a book, newest first.

        It looks through a bounded part of the book: if few of its transfers are wanted, a page may be short or even
        empty although there are more. All is read once `next_cursor` is None. Transfers that come meanwhile are newer
        than every cursor, so a walk neither repeats nor misses any.

        Args:
            merchant_id: whose book.
            selection: which transfers.
            cursor: where to go on: the last page's `next_cursor`; it says no more than a place in the book.
            limit: how many transfers at most, 1 to PAGE_TRANSFERS_MAX.

        Raises:
            InvalidInput: a part of the selection makes no sense, or the cursor or limit.
        """
        wanted = _checked(selection)
        if not 1 <= limit <= PAGE_TRANSFERS_MAX:
            raise InvalidInput("limit", f"a page has 1 to {PAGE_TRANSFERS_MAX} transfers")
        before_seq = None if cursor is None else _seq_of(merchant_id, cursor)
        with translated():
            stretch = await self._range(merchant_id, wanted)
            if before_seq is not None and before_seq > stretch.account.seq:
                raise _no_cursor()
            last_seq = stretch.last_seq if before_seq is None else min(stretch.last_seq, before_seq - 1)
            transfers, reached = await self._newest(merchant_id, stretch.first_seq, last_seq, wanted.filter, limit)
        return Page(
            transfers,
            ids.book_id(ids.TRANSFER, merchant_id=merchant_id, seq=reached) if reached > stretch.first_seq else None,
        )

    async def export_lines(self, merchant_id: int, *, start: str | None, end: str | None) -> AsyncIterator[bytes]:
        """Write a stretch of a book as JSON lines that can be verified offline, oldest first.

        Refusals come before this returns; the pieces are made as they are taken, and may raise Unavailable. An export
        that ends early has no trailer.

        Args:
            merchant_id: whose book.
            start: the first time that counts, in RFC 3339; None for the start of the book.
            end: the first time that does not count any more; None for all up to now.

        Raises:
            InvalidInput: a time that makes no sense.
        """
        wanted = _checked(Selection(start=start, end=end))
        with translated():
            stretch = await self._range(merchant_id, wanted)
            merchant = await self._stores.merchants.find(merchant_id)
            if merchant is None:
                raise UnknownMerchant
            header, trailer = await self._ends(merchant, stretch)
        return self._lines(merchant_id, header, stretch, trailer)

    async def export_csv(self, merchant_id: int, selection: Selection) -> AsyncIterator[bytes]:
        """Write the wanted transfers of a book as CSV in UTF-8 with a header, oldest first.

        As with `export_lines`, what is refused is refused before this returns.

        Raises:
            InvalidInput: a part of the selection makes no sense.
        """
        wanted = _checked(selection)
        with translated():
            stretch = await self._range(merchant_id, wanted)
        return self._csv(merchant_id, stretch, wanted.filter)

    async def _range(self, merchant_id: int, wanted: _Wanted) -> _BookRange:
        """Find the part of a book that lies between two times, up to its last transfer as of now."""
        account = await self._stores.accounts.find(merchant_id)
        if account is None:
            raise UnknownMerchant
        moments = [moment - 1 for moment in (wanted.start, wanted.end) if moment is not None]
        lasts = await last_transfers(self._stores.transfers, account, moments)
        seqs = [0 if transfer is None else transfer.seq for transfer in lasts]
        return _BookRange(
            account,
            first_seq=1 if wanted.start is None else seqs[0] + 1,
            last_seq=account.seq if wanted.end is None else seqs[-1],
        )

    async def _newest(
        self, merchant_id: int, first_seq: int, last_seq: int, wanted: TransferFilter, limit: int
    ) -> tuple[Sequence[Transfer], int]:
        """Read the newest wanted transfers of a stretch, `limit` at most, and the lowest seq that was looked at."""
        if wanted == _EVERYTHING:
            transfers = await self._stores.transfers.page(
                merchant_id, first_seq=first_seq, last_seq=last_seq, limit=limit, newest_first=True
            )
            return transfers, transfers[-1].seq if transfers else first_seq
        gathered: list[Transfer] = []
        reached, rows = last_seq + 1, max(limit, self._limits.stretch_rows_first)
        for _ in range(self._limits.stretches_max):
            if reached <= first_seq:
                break
            lowest = max(reached - rows, first_seq)
            gathered += await self._stores.transfers.find(
                merchant_id, first_seq=lowest, last_seq=reached - 1, wanted=wanted
            )
            if len(gathered) >= limit:
                # Transfers beyond the limit are left to the next page, and so is the rest of this stretch.
                is_cut = len(gathered) > limit
                return gathered[:limit], gathered[limit - 1].seq if is_cut else lowest
            reached, rows = lowest, min(rows * self._limits.stretch_growth, self._limits.stretch_rows_max)
            # Others are served between one query and the next.
            await asyncio.sleep(0)
        return gathered, reached

    async def _ends(self, merchant: Merchant, stretch: _BookRange) -> tuple[HeaderData, TrailerData]:
        """Tell where the book stood before a stretch, and where it stood after it.

        At the end of the book it is the account that says so, not the last transfer: what is claimed is what may be
        spent, and an export shows whether its transfers come to that.
        """
        account, seqs = stretch.account, {stretch.first_seq - 1, stretch.last_seq}
        ends = await transfers_at(self._stores.transfers, merchant.merchant_id, seqs - {0, account.seq})
        states = {seq: (item.hash, item.wallet_after, item.held_after) for seq, item in ends.items()}
        states |= {0: (GENESIS_HASH, 0, 0), account.seq: (account.last_hash, account.wallet, account.held)}
        first_hash, first_available, first_held = states[stretch.first_seq - 1]
        last_hash, last_available, last_held = states[stretch.last_seq]
        public_id = ids.public_id(ids.MERCHANT, merchant.merchant_id)
        header = HeaderData(
            format=FORMAT,
            version=VERSION,
            merchant_id=public_id,
            name=merchant.name,
            currency=account.currency,
            first_seq=stretch.first_seq,
            previous_hash=first_hash.hex(),
            available=format_amount(first_available),
            held=format_amount(first_held),
        )
        trailer = TrailerData(
            count=stretch.last_seq - stretch.first_seq + 1,
            last_seq=stretch.last_seq,
            last_hash=last_hash.hex(),
            merchant_id=public_id,
            currency=account.currency,
            available=format_amount(last_available),
            held=format_amount(last_held),
        )
        return header, trailer

    async def _lines(
        self, merchant_id: int, header: HeaderData, stretch: _BookRange, trailer: TrailerData
    ) -> AsyncIterator[bytes]:
        encoder = msgspec.json.Encoder()
        yield encoder.encode_lines([header])
        written: set[int] = set()
        async for transfers in self._oldest_first(merchant_id, stretch, _EVERYTHING):
            lines: list[TransferData | PriceLineData] = []
            for transfer in transfers:
                if transfer.pricing is not None and transfer.price_id not in written:
                    lines.append(await self._price_line(transfer))
                    written.add(transfer.price_id or 0)
                lines.append(transfer_data(transfer))
            yield encoder.encode_lines(lines)
        yield encoder.encode_lines([trailer])

    async def _price_line(self, transfer: Transfer) -> PriceLineData:
        with translated():
            price = await self._stores.prices.named_by(transfer)
        if price is None or price.rule is None:
            raise InvariantViolation(f"{transfer.id} was priced by a rule that is not there")
        return price_line_data(price, price.rule)

    async def _csv(self, merchant_id: int, stretch: _BookRange, wanted: TransferFilter) -> AsyncIterator[bytes]:
        yield csv_header()
        async for transfers in self._oldest_first(merchant_id, stretch, wanted):
            yield csv_rows(transfers)

    async def _oldest_first(
        self, merchant_id: int, stretch: _BookRange, wanted: TransferFilter
    ) -> AsyncIterator[Sequence[Transfer]]:
        """Read the wanted transfers of a stretch in chunks of bounded size, one query each."""
        reached, is_everything = stretch.first_seq, wanted == _EVERYTHING
        rows = self._limits.export_rows if is_everything else self._limits.stretch_rows_max
        while reached <= stretch.last_seq:
            highest = min(reached + rows - 1, stretch.last_seq)
            with translated():
                if is_everything:
                    transfers = await self._stores.transfers.page(
                        merchant_id,
                        first_seq=reached,
                        last_seq=highest,
                        limit=highest - reached + 1,
                        newest_first=False,
                    )
                else:
                    found = await self._stores.transfers.find(
                        merchant_id, first_seq=reached, last_seq=highest, wanted=wanted
                    )
                    transfers = found[::-1]
            if transfers:
                yield transfers
            reached = highest + 1
            await asyncio.sleep(0)


def _checked(selection: Selection) -> _Wanted:
    """Read a selection's texts.

    Raises:
        InvalidInput: one of them makes no sense.
    """
    start = None if selection.start is None else inputs.time("from", selection.start)
    end = None if selection.end is None else inputs.time("to", selection.end)
    if start is not None and end is not None and end < start:
        raise InvalidInput("to", "the end is before the start")
    kind, request_type, reference = selection.kind, selection.request_type, selection.reference
    if kind is not None and kind not in KINDS:
        raise InvalidInput("kind", f"a kind is one of {', '.join(KINDS)}")
    return _Wanted(
        start,
        end,
        TransferFilter(
            kinds=tuple(number for number, word in KIND_WORDS.items() if word == kind),
            request_type=None if request_type is None else inputs.request_type("type", request_type),
            reference=None if reference is None else inputs.reference("reference", reference),
        ),
    )


def _seq_of(merchant_id: int, cursor: str) -> int:
    """Read a cursor: a seq of this very book.

    Raises:
        InvalidInput: it is none.
    """
    try:
        owner, seq = parsing.parse_book_id(ids.TRANSFER, cursor)
    except parsing.InvalidId as error:
        raise _no_cursor() from error
    if owner != merchant_id or seq < 1:
        raise _no_cursor()
    return seq


def _no_cursor() -> InvalidInput:
    return InvalidInput("cursor", "give the nextCursor of the page before, as it is")
