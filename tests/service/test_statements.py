"""Reading a book for people: pages that a walk puts together to exactly the book, and exports that stream."""

import csv
import io
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from farebox.core import ids
from farebox.core.accounts import KIND_WORDS, Account, Kind
from farebox.core.commands import Charge, Payer, TopUp
from farebox.core.invariants import InvariantViolation
from farebox.core.transfers import Transfer
from farebox.service.errors import InvalidInput, Unavailable, UnknownMerchant
from farebox.service.inputs import format_time
from farebox.service.statements.check import check_statement
from farebox.service.statements.lines import CSV_COLUMNS, KINDS, csv_rows, transfer_data
from farebox.service.statements.reader import LIMITS, PAGE_TRANSFERS_MAX, QueryLimits, Selection, Statements
from farebox.storage.records import Merchant, TransferFilter
from farebox.storage.stores import Stores
from tests.service.books import TRANSFERS, keep_book
from tests.storage.engines import Engine, open_without_rows
from tests.support.effort import examples
from tests.support.ledger import ANN, BEN, NOBODY, NOW, SECOND, UNIT, add_merchant, book, do

EVERYTHING: Final = Selection()
LATER: Final = NOW + 40 * SECOND
"""When transfers come while a book is read; the last that was there before is at 30 seconds."""


@pytest.fixture
async def stores(engine: Engine) -> AsyncIterator[Stores]:
    """An open store with the book of Ann, and Ben's, which has a single transfer."""
    stores = await open_without_rows(engine)
    await keep_book(stores)
    await add_merchant(stores, BEN, funds=5)
    yield stores
    await stores.connector.close()


# A page looks through little of a book, so that a short one is as long to it as a long one is.
SHORT_STRETCHES: Final = QueryLimits(
    stretch_rows_first=1, stretch_growth=2, stretch_rows_max=3, stretches_max=2, export_rows=2
)

# Times are those of transfers, and those just before and after them.
MOMENTS: Final = st.none() | st.builds(
    lambda seconds, micros: format_time(NOW + seconds * SECOND + micros),
    st.sampled_from([0, 1, *range(2, 34, 4), 40, 10**6]),
    st.integers(-1, 1),
)
SELECTIONS: Final = st.builds(
    Selection,
    start=MOMENTS,
    end=MOMENTS,
    kind=st.none() | st.sampled_from(KINDS),
    request_type=st.none() | st.sampled_from(["image", "scan"]),
    reference=st.none() | st.sampled_from(["R-1", "R-4", "=SUM(A1)", "nowhere"]),
).filter(lambda item: item.start is None or item.end is None or item.start <= item.end)


def _is_wanted(transfer: Transfer, selection: Selection) -> bool:
    """Say the same a second time, by the text that is shown: it sorts as the time does."""
    at = format_time(transfer.committed_at)
    return (
        (selection.start is None or selection.start <= at)
        and (selection.end is None or at < selection.end)
        and selection.kind in (None, KIND_WORDS[transfer.kind])
        and selection.request_type in (None, transfer.request_type)
        and selection.reference in (None, transfer.reference)
    )


async def _arrive(stores: Stores) -> None:
    """Let a few transfers come, of a kind, type and reference that may be wanted."""
    seq = len(await book(stores))
    await do(stores, TopUp(ANN, UNIT, f"top-up {seq}"), now=LATER)
    await do(stores, Charge(Payer(ANN), "image", 1, f"charge {seq}", reference="R-1"), now=LATER)


@examples(60)
@given(
    selection=SELECTIONS,
    limit=st.integers(1, 12),
    growth=st.integers(0, 3),
    place=st.none() | st.integers(1, TRANSFERS),
)
async def test_any_walk_gives_exactly_what_is_wanted_of_the_book(
    stores: Stores, selection: Selection, limit: int, growth: int, place: int | None
) -> None:
    """A walk may begin at the cursor of another selection: a cursor is a place in the book and no more."""
    reader = Statements(stores, SHORT_STRETCHES)
    expected = [
        transfer
        for transfer in await book(stores)
        if _is_wanted(transfer, selection) and (place is None or transfer.seq < place)
    ]
    found: list[Transfer] = []
    cursor = None if place is None else _cursor(place)
    while True:
        page = await reader.page(ANN, selection, cursor=cursor, limit=limit)
        assert len(page.transfers) <= limit
        found += page.transfers
        cursor = page.next_cursor
        if cursor is None:
            break
        if growth:
            # This transfer is newer than every cursor. It stays in the book for the next example.
            growth -= 1
            await _arrive(stores)
    assert expected[::-1] == found


@examples(40)
@given(selection=SELECTIONS)
async def test_any_csv_has_exactly_what_is_wanted_of_the_book_as_of_its_start(
    stores: Stores, selection: Selection
) -> None:
    expected = [transfer for transfer in await book(stores) if _is_wanted(transfer, selection)]
    header, *pieces = await _taken(stores, await Statements(stores, SHORT_STRETCHES).export_csv(ANN, selection))
    fields = transfer_data((await book(stores))[0]).__struct_encode_fields__
    assert [*fields, "givenAmount"] == _rows(header)[0]
    assert _rows(csv_rows(expected)) == _rows(b"".join(pieces))


@examples(40)
@given(moments=st.tuples(MOMENTS, MOMENTS).filter(lambda pair: None in pair or cast(Any, pair[0]) <= pair[1]))
async def test_any_stretch_of_json_lines_is_verified(stores: Stores, moments: tuple[str | None, str | None]) -> None:
    start, end = moments
    expected = [transfer for transfer in await book(stores) if _is_wanted(transfer, Selection(start=start, end=end))]
    content = b"".join(
        await _taken(stores, await Statements(stores, SHORT_STRETCHES).export_lines(ANN, start=start, end=end))
    )
    report = check_statement(io.BytesIO(content))
    assert [] == report.faults
    lines = [json.loads(line) for line in content.splitlines()]
    assert [transfer.hash.hex() for transfer in expected] == [line["hash"] for line in lines[1:-1]]


async def _taken(stores: Stores, pieces: AsyncIterator[bytes]) -> list[bytes]:
    """Take all pieces, while transfers come between the first ones."""
    taken: list[bytes] = []
    async for piece in pieces:
        if len(taken) < 2:
            await _arrive(stores)
        taken.append(piece)
    return taken


def _rows(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode(), newline="")))


async def test_times_are_from_inclusive_to_exclusive(stores: Stores) -> None:
    at = format_time(NOW + 6 * SECOND)
    reader = Statements(stores)
    assert [10] == [item.seq for item in (await reader.page(ANN, Selection(start=at), limit=1000)).transfers][-1:]
    assert [9] == [item.seq for item in (await reader.page(ANN, Selection(end=at), limit=1000)).transfers][:1]
    assert [] == (await reader.page(ANN, Selection(start=at, end=at))).transfers


async def test_a_book_without_transfers_is_read_and_verified(stores: Stores) -> None:
    await add_merchant(stores, NOBODY)
    reader = Statements(stores)
    page = await reader.page(NOBODY, EVERYTHING)
    assert ([], None) == (list(page.transfers), page.next_cursor)
    for start in (None, format_time(NOW)):
        pieces = await reader.export_lines(NOBODY, start=start, end=None)
        report = check_statement(io.BytesIO(b"".join([piece async for piece in pieces])))
        assert ([], 0) == (report.faults, report.transfers_count)
    assert 1 == len([piece async for piece in await reader.export_csv(NOBODY, EVERYTHING)])


@pytest.mark.parametrize(
    ("selection", "field"),
    [
        (Selection(start="yesterday"), "from"),
        (Selection(start="2026-01-31"), "from"),
        (Selection(end="2026-01-31T12:00:00"), "to"),
        (Selection(start="2026-01-31T12:00:00Z", end="2026-01-31T11:59:59.999999Z"), "to"),
        (Selection(kind="topup"), "kind"),
        (Selection(kind=""), "kind"),
        (Selection(kind="Charge"), "kind"),
        (Selection(request_type=""), "type"),
        (Selection(request_type="image!"), "type"),
        (Selection(reference=""), "reference"),
        (Selection(reference="two\nlines"), "reference"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name(stores: Stores, selection: Selection, field: str) -> None:
    reader = Statements(stores)
    with pytest.raises(InvalidInput) as caught:
        await reader.page(ANN, selection)
    assert field == caught.value.field
    # An export refuses before its first piece.
    with pytest.raises(InvalidInput):
        await reader.export_csv(ANN, selection)
    if field in ("from", "to"):
        with pytest.raises(InvalidInput):
            await reader.export_lines(ANN, start=selection.start, end=selection.end)


@pytest.mark.parametrize("limit", [-1, 0, PAGE_TRANSFERS_MAX + 1])
async def test_a_page_has_a_length(stores: Stores, limit: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        await Statements(stores).page(ANN, EVERYTHING, limit=limit)
    assert "limit" == caught.value.field


def _cursor(seq: int, merchant_id: int = ANN) -> str:
    return ids.book_id(ids.TRANSFER, merchant_id=merchant_id, seq=seq)


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "1", "null", "xfer_", "é", "\x00", _cursor(3)[:-1], _cursor(3) + "0", _cursor(10).lower(), "x" * 10_000),
        *(_cursor(0), _cursor(TRANSFERS + 1), _cursor(ids.SEQ_MAX), _cursor(1, BEN)),
        ids.public_id(ids.MERCHANT, ANN),
    ],
)
async def test_a_cursor_that_names_no_place_in_this_book_is_refused(stores: Stores, cursor: str) -> None:
    for selection in (EVERYTHING, Selection(kind="charge")):
        with pytest.raises(InvalidInput) as caught:
            await Statements(stores).page(ANN, selection, cursor=cursor)
        assert "cursor" == caught.value.field


async def test_an_unknown_merchant_is_told(stores: Stores) -> None:
    reader = Statements(stores)
    for asked in (
        reader.page(NOBODY, EVERYTHING),
        reader.export_csv(NOBODY, EVERYTHING),
        reader.export_lines(NOBODY, start=None, end=None),
    ):
        with pytest.raises(UnknownMerchant):
            await asked


async def test_a_database_that_is_away_is_told_even_in_the_middle(stores: Stores) -> None:
    reader = Statements(stores)
    begun = [await reader.export_lines(ANN, start=None, end=None), await reader.export_csv(ANN, EVERYTHING)]
    assert all([await anext(pieces) for pieces in begun])
    await stores.connector.close()
    for pieces in begun:
        with pytest.raises(Unavailable):
            await anext(pieces)
    for asked in (
        reader.page(ANN, EVERYTHING),
        reader.export_csv(ANN, EVERYTHING),
        reader.export_lines(ANN, start=None, end=None),
    ):
        with pytest.raises(Unavailable):
            await asked


async def test_a_damaged_book_is_told_where_its_gap_is_met(engine: Engine, stores: Stores) -> None:
    await engine.execute(f"DELETE FROM transfer WHERE merchant_id = {ANN} AND seq IN (8, 9)")
    reader = Statements(stores)
    with pytest.raises(InvariantViolation, match="seq 8 is missing"):
        await reader.page(ANN, Selection(start=format_time(NOW)))
    pieces = await reader.export_lines(ANN, start=None, end=None)
    report = check_statement(io.BytesIO(b"".join([piece async for piece in pieces])))
    assert ["seq 8 was to come here; transfers are missing, repeated or swapped"] == [
        fault.text for fault in report.faults if fault.seq == 10
    ]


async def test_an_export_claims_what_may_be_spent_and_not_what_its_transfers_say(
    engine: Engine, stores: Stores
) -> None:
    await engine.execute(f"UPDATE account SET wallet = wallet + 1, revenue = revenue - 1 WHERE merchant_id = {ANN}")
    pieces = await Statements(stores).export_lines(ANN, start=None, end=None)
    (fault,) = check_statement(io.BytesIO(b"".join([piece async for piece in pieces]))).faults
    assert "the trailer claims available '-36.999998', but the statement has -36.999999" == fault.text


# Texts of people.


@pytest.mark.parametrize(
    "text",
    [
        *(
            "=1+1",
            "+1",
            "-1",
            "@SUM(A1)",
            "\tx",
            "\rx",
            "\nx",
            "=cmd|' /C calc'!A0",
            "\uff1d1",
            "\uff0b1",
            "\uff0d1",
            "\uff20x",
        ),
        '=HYPERLINK("http://evil.example","Click")',
    ],
)
def test_a_text_that_begins_like_a_formula_is_defused_in_a_csv(text: str) -> None:
    row = _row(reference=text, note=text, idempotency_key=text)
    assert [f"'{text}"] * 3 == [row[name] for name in ("reference", "note", "idempotencyKey")]


@pytest.mark.parametrize("text", ["1=1", "a-b", "'x", 'say "x", y', "Grüße; ж", " =", "two\nlines", "'=1"])
def test_any_other_text_stands_in_a_csv_as_it_is(text: str) -> None:
    row = _row(reference=text, note=text, idempotency_key=text)
    assert [text] * 3 == [row[name] for name in ("reference", "note", "idempotencyKey")]


def test_a_negative_balance_is_a_number_in_a_csv() -> None:
    row = _row(wallet_after=-UNIT, amount=UNIT)
    assert ("-1.00", "0.00", "", "") == (row["availableAfter"], row["availableBefore"], row["quantity"], row["type"])


def _row(**fields: Any) -> dict[str, str]:
    transfer = replace(Transfer(ANN, 1, Kind.CHARGE, 1, "k", bytes(8), 0, 0, NOW, bytes(32)), **fields)
    (cells,) = _rows(csv_rows([transfer]))
    return dict(zip(CSV_COLUMNS, cells, strict=True))


# What a page and an export cost, however long the book.


class _LongBook:
    """A book of a million charges that are nowhere: each is made as it is read. It notes what is read of it."""

    LENGTH: Final = 1_000_000

    def __init__(self) -> None:
        self.stretches: list[int] = []
        self.lookups = 0

    def transfer(self, seq: int) -> Transfer:
        return Transfer(
            *(
                ANN,
                seq,
                int(Kind.CHARGE),
                1,
                f"k{seq}",
                bytes(8),
                self.LENGTH - seq,
                0,
                NOW + seq,
                seq.to_bytes(32, "big"),
            ),
            request_type="image",
        )

    async def find_merchant(self, merchant_id: int) -> Merchant:
        return Merchant(ANN, "Acme", NOW)

    async def find_account(self, merchant_id: int) -> Account:
        return Account(ANN, "USD", seq=self.LENGTH, last_hash=self.transfer(self.LENGTH).hash)

    async def at(self, merchant_id: int, seqs: Sequence[int]) -> Mapping[int, Transfer]:
        self.lookups += 1
        return {seq: self.transfer(seq) for seq in seqs}

    async def page(
        self, merchant_id: int, *, first_seq: int, last_seq: int, limit: int, newest_first: bool
    ) -> list[Transfer]:
        self.stretches.append(limit)
        seqs = range(first_seq, last_seq + 1)
        return [self.transfer(seq) for seq in (seqs[::-1] if newest_first else seqs)[:limit]]

    async def find(self, merchant_id: int, *, first_seq: int, last_seq: int, wanted: TransferFilter) -> list[Transfer]:
        self.stretches.append(last_seq - first_seq + 1)
        if wanted.request_type == "rare" or wanted.kinds:
            return []
        return [self.transfer(seq) for seq in range(last_seq, first_seq - 1, -1)]


def _long() -> tuple[_LongBook, Statements]:
    long_book = _LongBook()
    accounts = SimpleNamespace(find=long_book.find_account)
    merchants = SimpleNamespace(find=long_book.find_merchant)
    stores = SimpleNamespace(accounts=accounts, merchants=merchants, transfers=long_book)
    return long_book, Statements(cast(Stores, stores))


async def test_a_page_looks_through_a_bounded_part_of_a_long_book() -> None:
    long_book, reader = _long()
    page = await reader.page(ANN, Selection(request_type="rare"))
    assert [] == page.transfers
    assert page.next_cursor is not None
    assert LIMITS.stretches_max == len(long_book.stretches)
    assert max(long_book.stretches) <= LIMITS.stretch_rows_max
    cursor: str | None = page.next_cursor
    pages = 1
    while cursor is not None:
        page = await reader.page(ANN, Selection(request_type="rare"), cursor=cursor)
        assert [] == page.transfers
        cursor, pages = page.next_cursor, pages + 1
    assert _LongBook.LENGTH == sum(long_book.stretches)
    assert pages < 70


async def test_a_page_of_what_is_frequent_reads_little_more_than_it_gives() -> None:
    for selection in (EVERYTHING, Selection(request_type="image")):
        long_book, reader = _long()
        page = await reader.page(ANN, selection, limit=10)
        assert [*range(_LongBook.LENGTH, _LongBook.LENGTH - 10, -1)] == [item.seq for item in page.transfers]
        assert sum(long_book.stretches) <= 250


async def test_a_time_is_found_in_a_long_book_by_few_lookups() -> None:
    long_book, reader = _long()
    start, end = format_time(NOW + 123_456), format_time(NOW + 123_458)
    page = await reader.page(ANN, Selection(start=start, end=end))
    assert ([123_457, 123_456], None) == ([item.seq for item in page.transfers], page.next_cursor)
    assert long_book.lookups <= 20


async def test_an_export_of_a_long_book_comes_in_small_pieces() -> None:
    long_book, reader = _long()
    for pieces in (
        await reader.export_lines(ANN, start=None, end=format_time(NOW + 20_000)),
        await reader.export_csv(ANN, Selection(end=format_time(NOW + 20_000))),
    ):
        assert all([piece.count(b"\n") <= 500 async for piece in pieces])
    assert max(long_book.stretches) <= 500
    assert 2 * 19_999 == sum(long_book.stretches)
    rare = [piece async for piece in await reader.export_csv(ANN, Selection(kind="refund"))]
    assert 1 == len(rare)
    assert LIMITS.stretch_rows_max == max(long_book.stretches)
