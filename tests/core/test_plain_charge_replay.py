"""Sound plain charges are replayed by a shorter way, which finds what the longer one finds, whatever a row holds."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import pytest
from msgspec.structs import astuple, replace

from farebox.core import chain, ids
from farebox.core.accounts import GENESIS_HASH, Kind
from farebox.core.credit.budgets import Budget, BudgetUnit
from farebox.core.prices import Price
from farebox.core.pricing.rules import Rates, Rule
from farebox.core.replaying import books, plain_charges
from farebox.core.replaying.books import Replay
from farebox.core.replaying.budgets import BudgetReplay
from farebox.core.replaying.hours import HOUR_MICROS, HourReplay
from farebox.core.replaying.plain_charges import PlainChargeForms, Row
from farebox.core.transfers import Transfer
from tests.support.ledger import ANN, BEN, NOW, UNIT

MERCHANT: Final = ids.public_id(ids.MERCHANT, ANN)
RULE: Final = Price(9, "tokens", None, 0, rule=Rule(Rates()))
PRICES: Final = {1: Price(1, "image", UNIT, 0), 9: RULE}
KEY: Final = 5
_UNREADABLE: Final = (["AttributeError"], ["TypeError"], ["ValueError"])
COLUMNS: Final = Transfer.__struct_fields__


def _book(merchant_id: int = ANN) -> list[Transfer]:
    """Make a book: a top-up, then charges of all plain forms over three hours, with a refund among them."""
    transfers: list[Transfer] = []
    merchant, before, wallet = ids.public_id(ids.MERCHANT, merchant_id), GENESIS_HASH, 0
    for seq in range(1, 16):
        more: dict[str, Any] = {
            "request_type": "image" if seq % 3 else "page",
            "quantity": 1 + seq % 2,
            "unit_price": UNIT,
            "price_id": 1 + seq % 2,
            "key_id": None if seq % 4 else KEY,
            "reference": None if seq % 5 else f"order {seq}",
        }
        kind, amount = Kind.CHARGE, UNIT * (1 + seq % 2)
        if seq == 1:
            kind, amount, more = Kind.TOP_UP, 100 * UNIT, {"reference": "INV-1"}
        elif seq == 8:
            kind, amount, more = Kind.REFUND, UNIT, {"refers_to": 3}
        elif seq in (5, 11):
            # The caller named the amount.
            more |= {"unit_price": None}
        wallet += amount if kind in (Kind.TOP_UP, Kind.REFUND) else -amount
        transfer = Transfer(
            *(merchant_id, seq, int(kind), amount, f"key {seq}", bytes([seq]) * 8, wallet, 0),
            **{"committed_at": NOW + seq * HOUR_MICROS // 5, "hash": b"", **more},
        )
        before = chain.link(before, chain.canonical_bytes(merchant, transfer))
        transfers.append(replace(transfer, hash=before))
    return transfers


BOOK: Final = _book()


def _budgets() -> BudgetReplay:
    return BudgetReplay([Budget(ANN, 3, BudgetUnit.TOTAL, UNIT, "UTC")], {KEY: 3})


def _told(feed: Iterator[str]) -> list[str]:
    """List what is found, and what a row that can't be read raises in the end."""
    found = []
    try:
        for fault in feed:
            found.append(fault)
    except (AttributeError, TypeError, ValueError) as error:
        found.append(type(error).__name__)
    return found


def _long_way(rows: Sequence[Row]) -> list[str]:
    replay = Replay(ANN, PRICES)
    return _told(fault for row in rows for fault in replay.feed(Transfer(*row)))


def _short_way(rows: Sequence[Row]) -> list[str]:
    return _told(Replay(ANN, PRICES).feed_rows(rows))


def test_most_of_a_book_takes_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """If nothing did, what follows would say nothing."""
    fed: list[int] = []
    feed = Replay.feed

    def noting(self: Replay, transfer: Transfer) -> Iterator[str]:
        fed.append(transfer.seq)
        return feed(self, transfer)

    monkeypatch.setattr(books.Replay, "feed", noting)
    assert [] == _short_way([astuple(transfer) for transfer in BOOK])
    assert [1, 8] == fed


def _other_values(column: str, value: Any) -> list[Any]:
    """List what else a row might hold, the same number with a fraction included."""
    others: list[Any] = [None, 0, 1, -1, 3, 9, "", "other", b"", b"other", 2.5]
    if isinstance(value, int):
        others += [value + 1, value - 1, -value, 2 * value]
        # What names others is kept by its number alone.
        others += [] if column in ("merchant_id", "kind", "price_id", "key_id") else [float(value)]
    if isinstance(value, str):
        others += [value + " ", value.upper()]
    if isinstance(value, bytes):
        others += [bytes(len(value)), value[:-1]]
    return [other for other in others if type(other) is not type(value) or other != value]


@pytest.mark.parametrize("column", COLUMNS)
def test_each_column_of_each_row_is_looked_at(column: str) -> None:
    place = COLUMNS.index(column)
    rows = [astuple(transfer) for transfer in BOOK]
    for index, row in enumerate(rows):
        for other in _other_values(column, row[place]):
            spoilt = [*rows[:index], (*row[:place], other, *row[place + 1 :]), *rows[index + 1 :]]
            found = _short_way(spoilt)
            # A value of another type than the column's may make the row one that can't be read, which is a fault, too.
            assert _long_way(spoilt) == found or found[-1:] in _UNREADABLE, (row, other)
            # An empty text or blob is written as one that is absent is; the database admits neither.
            assert found or (not other and row[place] is None), (row, other)


def test_a_row_that_is_missing_repeated_or_swapped_is_named() -> None:
    rows = [astuple(transfer) for transfer in BOOK]
    for index in range(len(rows) - 1):
        for spoilt in (
            [*rows[:index], *rows[index + 1 :]],
            [*rows[: index + 1], *rows[index:]],
            [*rows[:index], rows[index + 1], rows[index], *rows[index + 2 :]],
        ):
            found = _short_way(spoilt)
            assert found
            assert _long_way(spoilt) == found


@pytest.mark.parametrize(
    ("change", "faults_count"),
    [
        ({"merchant_id": BEN}, 1),
        ({"committed_at": NOW}, 1),
        ({"price_id": 9, "request_type": "tokens"}, 1),
        ({"request_type": ""}, 1),
        ({"price_id": 0}, 1),
        ({"key_id": 0}, 1),
        ({"quantity": 0, "unit_price": None}, 1),
        ({"quantity": None}, 1),
        ({"request_type": None}, 0),
        ({"price_id": None}, 0),
        ({"quantity": None, "unit_price": None}, 0),
    ],
    ids=str,
)
def test_a_charge_that_is_not_plain_is_looked_at_closer(change: dict[str, Any], faults_count: int) -> None:
    """The chain is whole: the row was written with the hash that it should have."""
    forged = replace(BOOK[12], **change)
    hash_ = chain.link(BOOK[11].hash, chain.canonical_bytes(MERCHANT, forged))
    rows = [*map(astuple, BOOK[:12]), astuple(replace(forged, hash=hash_))]
    found = _short_way(rows)
    assert faults_count == len(found)
    assert _long_way(rows) == found


@pytest.mark.parametrize("rolled_up_seq", range(18))
@pytest.mark.parametrize("chunk", [1, 4, 15])
def test_runs_come_to_the_sums_that_single_transfers_come_to(rolled_up_seq: int, chunk: int) -> None:
    expected, hours = HourReplay(rolled_up_seq, {}), HourReplay(rolled_up_seq, {})
    counted, budgets = _budgets(), _budgets()
    expected.feed_all(BOOK)
    counted.feed_all(BOOK)
    replay = Replay(ANN, PRICES, budgets, hours)
    for start in range(0, len(BOOK), chunk):
        assert [] == list(replay.feed_rows([astuple(transfer) for transfer in BOOK[start : start + chunk]]))
    spent = {hour: micros for hour, micros in hours.spent.items() if micros}
    assert expected.spent == spent
    told = list(counted.finish())
    # The budget is said to have spent nothing.
    assert 1 == len(told)
    assert told == list(budgets.finish())


def test_forms_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_charges, "_FORMS_MAX", 1)
    assert [] == _short_way([astuple(transfer) for transfer in BOOK])


def test_books_share_how_charges_are_written_but_for_those_that_name_a_key() -> None:
    """A key is one merchant's own: what is known of it in one book says nothing about another."""
    forms, found = PlainChargeForms(PRICES), []
    for merchant_id, keys in ((ANN, {KEY: 3}), (BEN, {})):
        budgets = BudgetReplay([Budget(merchant_id, 3, BudgetUnit.TOTAL, UNIT, "UTC", spent=0)], keys)
        replay = Replay(merchant_id, PRICES, budgets, plain_forms=forms)
        assert [] == list(replay.feed_rows([astuple(transfer) for transfer in _book(merchant_id)]))
        found.append(list(budgets.finish()))
    (anns,), bens = found
    assert "is counted as spent" in anns
    assert f"transfers name the key {ids.public_id(ids.KEY, KEY)}, which the merchant does not have" == bens[0]


def test_a_book_is_held_to_its_own_number_where_forms_are_shared() -> None:
    forms = PlainChargeForms(PRICES)
    rows = [astuple(transfer) for transfer in BOOK]
    assert [] == list(Replay(ANN, PRICES, plain_forms=forms).feed_rows(rows))
    found = list(Replay(BEN, PRICES, plain_forms=forms).feed_rows(rows))
    assert len(rows) <= len([fault for fault in found if "the hash does not match" in fault])
