"""A replay finds whatever was changed in a book, and in what is stored beside it."""

from collections.abc import Sequence
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields, replace

from farebox.core import ids
from farebox.core.accounts import GENESIS_HASH, Account, Kind
from farebox.core.chain import canonical_bytes, link
from farebox.core.commands import (
    Adjust,
    CaptureHold,
    Charge,
    EndGrant,
    ExpireHold,
    GiveCredit,
    Payer,
    Refund,
    ReleaseHold,
    ReverseTopUp,
    TopUp,
)
from farebox.core.holds import Hold, HoldState
from farebox.core.money import BALANCE_MICROS_MAX
from farebox.core.thresholds import Threshold
from farebox.core.transfers import Transfer
from tests.core.replays import counts_of, faults_in, faults_of, prices_of
from tests.core.scenarios import Scenario, played, scenarios
from tests.support.effort import examples
from tests.support.ledger import ANN, BEN, NOW, SECOND, UNIT, MemoryLedger, charge, hold

LATER_ROWS: Final = ("shortfalls", "grants")

# Any changed field of any transfer.

OTHER_VALUES: Final[dict[str, list[Any]]] = {
    "merchant_id": [ANN + 1, 0],
    "seq": [0, 1, 2, 1000],
    "kind": [*Kind, 0, 13],
    "amount": [1, 2 * UNIT, -UNIT, 0],
    "idempotency_key": ["", "k", "charge "],
    "fingerprint": [bytes(8), b"12345678", b""],
    "wallet_after": [0, 1, -1],
    "held_after": [0, 1, -1],
    "committed_at": [0, NOW - 1, NOW + 10 * SECOND],
    "hash": [bytes(32), b"", b"1" * 32],
    "request_type": [None, "", "image", "video"],
    "quantity": [None, 0, 1, 7],
    "unit_price": [None, 0, 1, UNIT],
    "price_id": [None, 0, 1, 7],
    "refers_to": [None, 0, 1, 2, 2**40 + 2, 1000],
    "reference": [None, "", "R"],
    "note": [None, "", "N"],
    "given": [None, "", "1:1000000", "1:2000000", "2:2000000", "1:5000000;priority=1"],
    "uncollected": [None, 0, 1],
    "key_id": [None, 0, 7],
    "pricing": [None, "", "requests=1", "input=1", "gb=5;before=gb:10;at=1801440600000000", "requests=7;tier=1"],
}


def full_ledger() -> MemoryLedger:
    """A book with every kind of transfer, and every field filled in somewhere."""
    ledger = MemoryLedger()
    ledger.run(
        TopUp(ANN, 100 * UNIT, "INV-1", "Thank you"),
        charge(10, reference="R-1"),
        hold(9),
        CaptureHold(ANN, 3, "capture", 4 * UNIT, "R-2"),
        hold(5, "second"),
        ReleaseHold(ANN, 6, "release", "R-3"),
        hold(6, "third", ttl_seconds=1),
    )
    ledger.now += SECOND
    ledger.run(
        ExpireHold(ANN, 8),
        Refund(ANN, 2, "refund", 3 * UNIT, "R-4", "Sorry"),
        Refund(ANN, 4, "refund of a capture"),
        ReverseTopUp(ANN, 1, "R-5", "bounced", 20 * UNIT),
        Adjust(ANN, 2 * UNIT, True, "R-6", "mistake"),
        Adjust(ANN, UNIT, False, "R-7", "mistake"),
        hold(7, "still open"),
        Charge(Payer(ANN), "call", 1, "variable", 5),
        TopUp(ANN, UNIT, "INV-2"),
        GiveCredit(ANN, 5 * UNIT, "R-8", "gift"),
        charge(2, "given"),
        Refund(ANN, 19, "refund of given credit", UNIT),
        EndGrant(ANN, 1, "mistake"),
    )
    return ledger


def beside(ledger: MemoryLedger) -> tuple[Any, ...]:
    """Collect what stands beside Ann's transfers: holds, no prices with rules, no counts, shortfalls and grants."""
    rows = ledger.rows()
    return rows["holds"], None, (), rows["shortfalls"], rows["grants"]


def book(ledger: MemoryLedger) -> list[Transfer]:
    return [item for item in ledger.rows()["transfers"] if item.merchant_id == ANN]


def holds(ledger: MemoryLedger) -> list[Hold]:
    return list(ledger.rows()["holds"])


def test_the_full_ledger_has_every_kind_and_no_fault() -> None:
    ledger = full_ledger()
    assert set(Kind) == {Kind(item.kind) for item in book(ledger)}
    assert [] == faults_of(ledger, ledger.ann)


@pytest.mark.parametrize("name", [item.name for item in fields(Transfer)])
def test_any_changed_field_of_any_transfer_is_found_where_it_stands(name: str) -> None:
    ledger = full_ledger()
    transfers = book(ledger)
    for place, transfer in enumerate(transfers):
        for value in OTHER_VALUES[name]:
            if value == getattr(transfer, name):
                continue
            changed = replace(transfer, **{name: value})
            faults = faults_in(ledger.ann, [*transfers[:place], changed, *transfers[place + 1 :]], *beside(ledger))
            assert [fault for fault in faults if fault.startswith(f"seq {changed.seq}: ")], (transfer, value)


def test_any_transfer_dropped_repeated_or_swapped_is_found() -> None:
    ledger = full_ledger()
    transfers = book(ledger)
    for first in range(len(transfers)):
        assert faults_in(ledger.ann, transfers[:first] + transfers[first + 1 :], *beside(ledger))
        assert faults_in(
            ledger.ann, transfers[:first] + transfers[first:][:1] * 2 + transfers[first + 1 :], holds(ledger)
        )
        for second in range(first + 1, len(transfers)):
            swapped = transfers.copy()
            swapped[first], swapped[second] = swapped[second], swapped[first]
            assert faults_in(ledger.ann, swapped, *beside(ledger))
    assert faults_in(ledger.ann, [], *beside(ledger))


@examples(100)
@given(scenarios(), st.data())
def test_any_lie_about_any_book_is_found(scenario: Scenario, data: st.DataObject) -> None:
    store, _ = played(scenario)
    account = data.draw(st.sampled_from(store.rows()["accounts"]))
    transfers = [item for item in store.rows()["transfers"] if item.merchant_id == account.merchant_id]
    if not transfers:
        return
    place = data.draw(st.integers(0, len(transfers) - 1))
    name = data.draw(st.sampled_from([*OTHER_VALUES, "drop", "swap"]))
    lies = transfers.copy()
    if name == "drop":
        del lies[place]
    elif name == "swap":
        lies[place], lies[place - 1] = lies[place - 1], lies[place]
    else:
        lies[place] = replace(lies[place], **{name: data.draw(st.sampled_from(OTHER_VALUES[name]))})
    stored_holds = [item for item in store.rows()["holds"] if item.merchant_id == account.merchant_id]
    others = [[row for row in store.rows()[name] if row.merchant_id == account.merchant_id] for name in LATER_ROWS]
    stored: tuple[Any, ...] = (stored_holds, prices_of(store, account), counts_of(store, account), *others)
    assert (lies == transfers) is ([] == faults_in(account, lies, *stored))


# A book that was forged throughout: hashes and balances are right, the story is not.


def forged(*transfers: Transfer) -> tuple[Account, list[Transfer]]:
    """Number transfers, work out balances and hashes as the ledger would, and the account they come to."""
    account, done = Account(ANN, "USD"), []
    effects = {
        Kind.TOP_UP: ("funding", "wallet"),
        Kind.TOP_UP_REVERSAL: ("wallet", "funding"),
        Kind.CHARGE: ("wallet", "revenue"),
        Kind.REFUND: ("revenue", "wallet"),
        Kind.HOLD: ("wallet", "held"),
        Kind.CAPTURE: ("held", "revenue"),
        Kind.RELEASE: ("held", "wallet"),
        Kind.EXPIRE: ("held", "wallet"),
    }
    for seq, transfer in enumerate(transfers, 1):
        debit, credit = effects[Kind(transfer.kind)]
        account = replace(account, **{debit: getattr(account, debit) - transfer.amount})
        account = replace(account, **{credit: getattr(account, credit) + transfer.amount})
        complete = replace(
            transfer, seq=seq, idempotency_key=f"key-{seq}", wallet_after=account.wallet, held_after=account.held
        )
        hash_of_it = link(account.last_hash, canonical_bytes(ids.public_id(ids.MERCHANT, ANN), complete))
        done.append(replace(complete, hash=hash_of_it))
        account = replace(account, seq=seq, last_hash=hash_of_it, last_at=NOW)
    return account, done


def move(kind: Kind, units: int, refers_to: int | None = None) -> Transfer:
    quantity = 1 if kind in (Kind.HOLD, Kind.CAPTURE) else None
    return Transfer(*(ANN, 0, kind, units * UNIT, "", bytes(8), 0, 0, NOW, b""), quantity=quantity, refers_to=refers_to)


def row(seq: int, units: int, state: HoldState = HoldState.HELD, captured: int = 0) -> Hold:
    return Hold(ANN, seq, units * UNIT, NOW, state, captured * UNIT)


PAID: Final = move(Kind.TOP_UP, 100)
OPEN: Final = (PAID, move(Kind.HOLD, 10))


@pytest.mark.parametrize(
    ("transfers", "rows", "fault"),
    [
        ((PAID, move(Kind.CAPTURE, 1, 1)), [], "seq 2: refers to no hold"),
        ((PAID, move(Kind.RELEASE, 1)), [], "seq 2: refers to no hold"),
        (
            (*OPEN, move(Kind.CAPTURE, 10, 2), move(Kind.RELEASE, 10, 2)),
            [row(2, 10, HoldState.CAPTURED, 10)],
            "seq 4: ends the hold of seq 2 a second time",
        ),
        (
            (*OPEN, move(Kind.RELEASE, 10, 2), move(Kind.EXPIRE, 10, 2)),
            [row(2, 10, HoldState.RELEASED)],
            "seq 4: ends the hold of seq 2 a second time",
        ),
        (
            (*OPEN, move(Kind.CAPTURE, 4, 2), move(Kind.RELEASE, 6, 2), move(Kind.RELEASE, 6, 2)),
            [row(2, 10, HoldState.CAPTURED, 4)],
            "seq 5: ends the hold of seq 2 a second time",
        ),
        (
            (*OPEN, move(Kind.CAPTURE, 4, 2), move(Kind.EXPIRE, 6, 2)),
            [row(2, 10, HoldState.CAPTURED, 4)],
            "seq 4: ends the hold of seq 2 a second time",
        ),
        (
            (*OPEN, move(Kind.CAPTURE, 4, 2)),
            [row(2, 10, HoldState.CAPTURED, 4)],
            "seq 2: 6.00 of the hold was neither captured nor released",
        ),
        (
            (*OPEN, move(Kind.HOLD, 20), move(Kind.CAPTURE, 11, 2)),
            [row(2, 10), row(3, 20)],
            "seq 4: ends the hold of seq 2 with another amount than it holds",
        ),
        (
            (*OPEN, move(Kind.RELEASE, 9, 2)),
            [row(2, 10, HoldState.RELEASED)],
            "seq 3: ends the hold of seq 2 with another amount than it holds",
        ),
        (
            (*OPEN, move(Kind.EXPIRE, 9, 2)),
            [row(2, 10, HoldState.EXPIRED)],
            "seq 3: ends the hold of seq 2 with another amount than it holds",
        ),
        (
            (*OPEN, replace(move(Kind.CAPTURE, 10, 2), request_type="scan")),
            [row(2, 10, HoldState.CAPTURED, 10)],
            "seq 3: has another request type than the hold of seq 2",
        ),
        (
            (*OPEN, replace(move(Kind.CAPTURE, 10, 2), quantity=None)),
            [row(2, 10, HoldState.CAPTURED, 10)],
            "seq 3: counts other requests than the hold of seq 2",
        ),
        (
            (*OPEN, replace(move(Kind.CAPTURE, 10, 2), quantity=1, unit_price=10 * UNIT, price_id=7)),
            [row(2, 10, HoldState.CAPTURED, 10)],
            "seq 3: names another price than the hold of seq 2",
        ),
        (
            (PAID, move(Kind.CHARGE, 9), move(Kind.REFUND, 5, 2), move(Kind.REFUND, 5, 2)),
            [],
            "seq 2: 10.00 of its 9.00 was given back",
        ),
        (
            (PAID, move(Kind.CHARGE, 9), move(Kind.REFUND, 5, 1)),
            [],
            "seq 1: is given back, but is nothing that a refund gives back",
        ),
        (
            (PAID, move(Kind.CHARGE, 9), move(Kind.TOP_UP_REVERSAL, 5, 2)),
            [],
            "seq 2: is given back, but is nothing that a top_up_reversal gives back",
        ),
        ((PAID, move(Kind.CHARGE, 9), move(Kind.REFUND, 5)), [], "seq 3: refers to no earlier transfer"),
        ((PAID, move(Kind.CHARGE, 9), move(Kind.REFUND, 5, 3)), [], "seq 3: refers to no earlier transfer"),
        (
            (PAID, move(Kind.CHARGE, 9), move(Kind.REFUND, 5, 4)),
            [],
            "seq 4: is given back, but is nothing that a refund gives back",
        ),
        (OPEN, [], "seq 2: the hold's row is missing"),
        ((PAID,), [row(7, 1, HoldState.RELEASED)], "seq 7: a hold is stored that no transfer made"),
        (OPEN, [row(2, 11)], "seq 2: the hold's row says otherwise than its transfers"),
        (OPEN, [row(2, 10, HoldState.EXPIRED)], "seq 2: the hold's row says otherwise than its transfers"),
        (OPEN, [row(2, 10, HoldState.EXPIRED)], "seq 2: open holds come to 0.00, held is 10.00"),
        (
            OPEN,
            [row(2, 10, captured=10)],
            "seq 2: a hold has a captured amount without being captured",
        ),
        (OPEN, [row(2, -1)], "seq 2: a hold's amount is negative"),
        (OPEN, [row(2, 10, HoldState.CAPTURED, 11)], "seq 2: more was captured than was held"),
        (
            (PAID, replace(move(Kind.CHARGE, 9), unit_price=2 * UNIT, quantity=4)),
            [],
            "seq 2: the amount is not unit price x quantity",
        ),
    ],
)
def test_a_forged_story_is_found(transfers: Sequence[Transfer], rows: list[Hold], fault: str) -> None:
    account, done = forged(*transfers)
    assert fault in faults_in(account, done, rows)


def test_a_book_forged_without_a_lie_has_no_fault() -> None:
    account, done = forged(
        *OPEN,
        move(Kind.CAPTURE, 4, 2),
        move(Kind.RELEASE, 6, 2),
        move(Kind.REFUND, 4, 3),
        move(Kind.TOP_UP_REVERSAL, 100, 1),
    )
    assert [] == faults_in(account, done, [row(2, 10, HoldState.CAPTURED, 4)])


# The account beside the book.

RICHER: Final = dict.fromkeys(("wallet", "held", "revenue", "adjustments"), UNIT) | dict.fromkeys(
    ("funding", "promotions"), -UNIT
)


@pytest.mark.parametrize("name", RICHER)
def test_a_balance_that_the_transfers_do_not_come_to_is_found(name: str) -> None:
    ledger = full_ledger()
    account = replace(ledger.ann, **{name: getattr(ledger.ann, name) + RICHER[name]})
    faults = faults_in(account, book(ledger), *beside(ledger))
    assert [fault for fault in faults if f"seq 21: {name} is " in fault]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"seq": 20}, "seq 20: the account counts 20 transfers, the book has 21"),
        ({"last_hash": bytes(32)}, "seq 21: the account's last hash is not the last transfer's"),
        ({"adjustments": 0}, "seq 21: the book's six accounts do not sum to zero"),
        ({"wallet": -1}, "seq 21: the paid money in the wallet is below the credit limit"),
        ({"held": -1}, "seq 21: held is negative"),
        ({"revenue": -1}, "seq 21: more was refunded than was charged"),
        ({"funding": 1}, "seq 21: more was reversed than was topped up"),
        ({"credit_limit": -1}, "seq 21: the credit limit is negative"),
        ({"promotions": 1}, "seq 21: more given credit ended than was given"),
        ({"given": -1}, "seq 21: more given credit was spent than there is"),
        ({"given": UNIT}, "seq 21: the account's given is 1.00, its grants come to 0.00"),
        ({"funding": -BALANCE_MICROS_MAX - 1}, "seq 21: a balance is beyond the largest that is kept"),
        ({"revenue": BALANCE_MICROS_MAX + 1}, "seq 21: a balance is beyond the largest that is kept"),
        (
            {"thresholds": tuple(Threshold(amount, False) for amount in range(1, 7))},
            "seq 21: there are more thresholds than may be",
        ),
        (
            {"thresholds": (Threshold(1000 * UNIT, True),)},
            f"seq 21: the threshold {1000 * UNIT} is armed above the posted balance",
        ),
    ],
)
def test_a_rule_broken_by_the_account_is_found(change: dict[str, Any], fault: str) -> None:
    ledger = full_ledger()
    assert fault in faults_in(replace(ledger.ann, **change), book(ledger), *beside(ledger))


def test_one_changed_transfer_is_not_reported_again_for_all_that_follow() -> None:
    ledger = full_ledger()
    transfers = book(ledger)
    transfers[3] = replace(transfers[3], note="changed")
    assert ["seq 4: the hash does not match what is stored of the transfer and its predecessor"] == faults_in(
        ledger.ann, transfers, *beside(ledger)
    )


def test_an_empty_book_has_no_fault() -> None:
    assert [] == faults_in(Account(BEN, "USD"), [], [])
    assert GENESIS_HASH == Account(BEN, "USD").last_hash
