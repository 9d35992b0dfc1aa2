"""The audit names what was done to a ledger's rows behind Farebox's back: in whose book, and at which seq."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final
from unittest import mock

import pytest

from farebox.core import ids
from farebox.core.accounts import Kind
from farebox.core.commands import (
    Adjust,
    CaptureHold,
    Charge,
    CreateHold,
    ExpireHold,
    Payer,
    Refund,
    ReleaseHold,
    ReverseTopUp,
    TopUp,
)
from farebox.core.outcomes import Code
from farebox.service.operator.verifier import Verifier
from farebox.storage import records
from farebox.storage.columns import HOLD
from farebox.storage.stores import Stores
from tests.cli.shell import Shell
from tests.service.books import GIVEN_KINDS
from tests.storage.engines import Engine, Refused, SqliteEngine, forget_events, open_without_rows
from tests.support.ledger import ANN, BEN, NOW, SECOND, UNIT, add_merchant, add_price, book, do
from tests.support.originals import copy_ledger

ANN_ID: Final = ids.public_id(ids.MERCHANT, ANN)
BEN_ID: Final = ids.public_id(ids.MERCHANT, BEN)


@pytest.fixture
async def stores(engine: Engine) -> AsyncIterator[Stores]:
    """An open store with the books of Ann and Ben."""
    stores = await _open_with_books(engine)
    yield stores
    await stores.connector.close()


async def _open_with_books(engine: Engine) -> Stores:
    stores = await open_without_rows(engine)
    await _keep_books(stores)
    # What the books themselves tell is looked at alone; damage to alerts stands in tests of its own.
    await forget_events(engine)
    # Opened anew, it has committed nothing itself: what tests do to the books by hand would not go unnoticed else.
    await stores.connector.close()
    await stores.connector.open()
    return stores


async def _keep_books(stores: Stores) -> None:
    """Give Ann 16 transfers, of every kind that paid money has, and an open hold; give Ben 3 transfers and a hold."""
    await add_merchant(stores)
    await add_merchant(stores, BEN)
    await add_price(stores)
    payer = Payer(ANN)
    outcomes = await do(
        stores,
        TopUp(ANN, 100 * UNIT, "INV-1", "Thank you"),
        Charge(payer, "image", 10, "charge", reference="R-1"),
        CreateHold(payer, "image", 9, "first"),
        # The rest of the hold is released as transfer 5.
        CaptureHold(ANN, 3, "capture", 4 * UNIT, "R-2"),
        CreateHold(payer, "image", 5, "second"),
        ReleaseHold(ANN, 6, "release", "R-3"),
        CreateHold(payer, "image", 6, "third", ttl_seconds=1),
        TopUp(BEN, 50 * UNIT, "INV-1"),
        Charge(Payer(BEN), "image", 2, "charge"),
        CreateHold(Payer(BEN), "image", 3, "hold"),
    )
    outcomes += await do(
        stores,
        ExpireHold(ANN, 8),
        Refund(ANN, 2, "refund", 3 * UNIT, "R-4", "Sorry"),
        Refund(ANN, 4, "refund of a capture"),
        ReverseTopUp(ANN, 1, "R-5", "bounced", 20 * UNIT),
        Adjust(ANN, 2 * UNIT, True, "R-6", "mistake"),
        Adjust(ANN, UNIT, False, "R-7", "mistake"),
        CreateHold(payer, "image", 7, "still open"),
        Charge(payer, "image", 1, "last"),
        now=NOW + SECOND,
    )
    assert {Code.OK} == {outcome.code for outcome in outcomes}


async def _audited(stores: Stores, merchant_id: int | None = None) -> dict[str, list[str]]:
    """Verify a book, or all, and return the faults by the public id of whose book they are in.

    Books that are read in stretches, as long ones are, tell the same as those that are read as a whole.
    """
    found: dict[str, list[str]] = {}
    async for fault in Verifier(stores.connector).faults(merchant_id):
        found.setdefault(ids.public_id(ids.MERCHANT, fault.merchant_id), []).append(fault.text)
    with mock.patch.object(records, "BOOK_TRANSFERS_MAX", 0):
        told = [fault.text async for fault in Verifier(stores.connector).faults(merchant_id)]
    assert told == [text for texts in found.values() for text in texts]
    return found


async def _execute(engine: Engine, *statements: str) -> None:
    """Change rows without a store; `{zeros}` and `{other}` stand for a hash and a fingerprint."""
    for statement in statements:
        await engine.execute(statement.format(zeros=engine.blob(bytes(32)), other=engine.blob(bytes(8))))


async def test_a_ledger_that_nobody_touched_is_clean(stores: Stores) -> None:
    assert set(Kind) - GIVEN_KINDS == {Kind(transfer.kind) for transfer in await book(stores)}
    audit = Verifier(stores.connector)
    assert [] == [fault async for fault in audit.faults(None)]
    assert (2, 16 + 3) == (audit.merchants_count, audit.transfers_count)


async def test_a_ledger_without_merchants_is_clean(engine: Engine, stores: Stores) -> None:
    await engine.clear()
    audit = Verifier(stores.connector)
    assert [] == [fault async for fault in audit.faults(None)]
    assert (0, 0) == (audit.merchants_count, audit.transfers_count)


# One damage each, to Ann's book, and all that has to be said about it.


def _transfer(seq: int, change: str) -> str:
    return f"UPDATE transfer SET {change} WHERE merchant_id = {ANN} AND seq = {seq}"


def _hold(seq: int, change: str) -> str:
    return f"UPDATE hold SET {change} WHERE merchant_id = {ANN} AND seq = {seq}"


def _account(change: str) -> str:
    return f"UPDATE account SET {change} WHERE merchant_id = {ANN}"


def _alert(*, seq: int, posted: int, number: int = 1, kind: int = 1) -> str:
    threshold = posted + 1 if kind == 1 else "NULL"
    return (
        "INSERT INTO alert (merchant_id, number, threshold, posted, fired_at, transfer_seq, kind)"
        f" VALUES ({ANN}, {number}, {threshold}, {posted}, 1, {seq}, {kind})"
    )


def _deleted(table: str, seq: int) -> str:
    return f"DELETE FROM {table} WHERE merchant_id = {ANN} AND seq = {seq}"


def _unlinked(seq: int) -> str:
    return f"seq {seq}: the hash does not match what is stored of the transfer and its predecessor"


def _off(seq: int, name: str, *, stored: str, replayed: str) -> str:
    return f"seq {seq}: {name} is {stored}, its transfers come to {replayed}"


def _off_after(seq: int, name: str, *, stored: str, replayed: str) -> str:
    return f"seq {seq}: {name} after it is {stored}, its transfers come to {replayed}"


def _open_holds(amount: str, *, held: str = "7.00") -> str:
    return f"seq 16: open holds come to {amount}, held is {held}"


OTHER_HOLD: Final = "the hold's row says otherwise than its transfers"
OTHER_LAST_HASH: Final = "seq 16: the account's last hash is not the last transfer's"
OTHER_LAST_TIME: Final = "seq 16: the account's last time is not the last transfer's"

Damage = tuple[tuple[str, ...], list[str]]

DAMAGED_TRANSFERS: Final[dict[str, Damage]] = {
    "a changed amount": (
        (_transfer(1, "amount = 90000000"),),
        [
            _unlinked(1),
            _off_after(1, "wallet", stored="100.00", replayed="90.00"),
            _off(16, "funding", stored="-80.00", replayed="-70.00"),
        ],
    ),
    "a charge of more requests": (
        (_transfer(2, "quantity = 11, amount = 11000000"),),
        [
            _unlinked(2),
            _off_after(2, "wallet", stored="90.00", replayed="89.00"),
            _off(16, "revenue", stored="8.00", replayed="9.00"),
        ],
    ),
    "a credit that is a debit now": (
        (_transfer(13, f"kind = {Kind.ADJUSTMENT_DEBIT}"),),
        [
            _unlinked(13),
            _off_after(13, "wallet", stored="75.00", replayed="71.00"),
            _off(16, "adjustments", stored="-1.00", replayed="3.00"),
        ],
    ),
    "another balance after a transfer": (
        (_transfer(10, "wallet_after = wallet_after + 1000000"),),
        [
            _unlinked(10),
            _off_after(10, "wallet", stored="90.00", replayed="89.00"),
            _off_after(11, "wallet", stored="93.00", replayed="94.00"),
        ],
    ),
    "the first transfer is deleted": (
        (_deleted("transfer", 1),),
        [
            "seq 2: follows seq 0; transfers are missing, repeated or swapped",
            _unlinked(2),
            _off_after(2, "wallet", stored="90.00", replayed="-10.00"),
            _off(16, "funding", stored="-80.00", replayed="20.00"),
            "seq 1: is given back, but is nothing that a top_up_reversal gives back",
        ],
    ),
    "a transfer is deleted": (
        (_deleted("transfer", 10),),
        [
            "seq 11: follows seq 9; transfers are missing, repeated or swapped",
            _unlinked(11),
            _off_after(11, "wallet", stored="93.00", replayed="90.00"),
            _off(16, "revenue", stored="8.00", replayed="11.00"),
        ],
    ),
    "the last transfer is deleted": (
        (_deleted("transfer", 16),),
        [
            "seq 16: the account counts 16 transfers, the book has 15",
            OTHER_LAST_HASH,
            _off(16, "wallet", stored="66.00", replayed="67.00"),
            _off(16, "revenue", stored="8.00", replayed="7.00"),
        ],
    ),
    "the whole book is deleted": (
        (f"DELETE FROM transfer WHERE merchant_id = {ANN}",),
        [
            "seq 16: the account counts 16 transfers, the book has 0",
            OTHER_LAST_HASH,
            OTHER_LAST_TIME,
            _off(16, "wallet", stored="66.00", replayed="0.00"),
            _off(16, "held", stored="7.00", replayed="0.00"),
            _off(16, "revenue", stored="8.00", replayed="0.00"),
            _off(16, "funding", stored="-80.00", replayed="0.00"),
            _off(16, "adjustments", stored="-1.00", replayed="0.00"),
            *[f"seq {seq}: a hold is stored that no transfer made" for seq in (3, 6, 8, 15)],
        ],
    ),
    "two transfers are swapped": (
        (_transfer(13, "seq = 99"), _transfer(14, "seq = 13"), _transfer(99, "seq = 14")),
        [
            _unlinked(13),
            _off_after(13, "wallet", stored="74.00", replayed="72.00"),
            _unlinked(14),
            _off_after(14, "wallet", stored="75.00", replayed="76.00"),
            _unlinked(15),
            _off_after(15, "wallet", stored="67.00", replayed="68.00"),
        ],
    ),
    "a changed hash": ((_transfer(10, "hash = {zeros}"),), [_unlinked(10), _unlinked(11)]),
    "the last hash changed": ((_transfer(16, "hash = {zeros}"),), [_unlinked(16), OTHER_LAST_HASH]),
    "a changed time": ((_transfer(16, "committed_at = committed_at + 1"),), [_unlinked(16), OTHER_LAST_TIME]),
    "a changed last time": ((_account("last_at = last_at + 1"),), [OTHER_LAST_TIME]),
    "a time before the one before": (
        (_transfer(10, "committed_at = committed_at - 2"),),
        ["seq 10: is earlier than the transfer before it", _unlinked(10)],
    ),
    "a changed note": ((_transfer(1, "note = 'Thank yon'"),), [_unlinked(1)]),
    "a note taken away": ((_transfer(1, "note = NULL"),), [_unlinked(1)]),
    "an empty note": ((_transfer(2, "note = ''"),), ["seq 2: a field is empty that should be absent"]),
    "a changed reference": ((_transfer(1, "reference = 'INV-2'"),), [_unlinked(1)]),
    "a changed idempotency key": ((_transfer(2, "idempotency_key = 'other'"),), [_unlinked(2)]),
    "a changed fingerprint": ((_transfer(2, "content = {other}"),), [_unlinked(2)]),
    "a changed request type": ((_transfer(2, "request_type = 'call'"),), [_unlinked(2)]),
    "a changed price version": ((_transfer(2, "price_id = 7"),), [_unlinked(2)]),
    "a refund larger than its original": (
        (_transfer(10, "amount = 11000000"),),
        [
            _unlinked(10),
            _off_after(10, "wallet", stored="89.00", replayed="97.00"),
            _off(16, "revenue", stored="8.00", replayed="0.00"),
            "seq 2: 11.00 of its 10.00 was given back",
        ],
    ),
    "a reversal larger than its top-up": (
        (_transfer(12, "amount = 101000000"),),
        [
            _unlinked(12),
            _off_after(12, "wallet", stored="73.00", replayed="-8.00"),
            _off(16, "funding", stored="-80.00", replayed="1.00"),
            "seq 1: 101.00 of its 100.00 was given back",
        ],
    ),
    "a refund of a top-up": (
        (_transfer(10, "refers_to = 1"),),
        [_unlinked(10), "seq 1: is given back, but is nothing that a refund gives back"],
    ),
    "a capture of what is no hold": (
        (_transfer(4, "refers_to = 2"),),
        [
            _unlinked(4),
            "seq 4: refers to no hold",
            "seq 5: ends the hold of seq 3 with another amount than it holds",
            f"seq 3: {OTHER_HOLD}",
        ],
    ),
    "a hold captured twice": (
        (_transfer(7, f"refers_to = 3, kind = {Kind.CAPTURE}"),),
        [
            _unlinked(7),
            _off_after(7, "wallet", stored="86.00", replayed="81.00"),
            "seq 7: ends the hold of seq 3 a second time",
            _off(16, "revenue", stored="8.00", replayed="13.00"),
            f"seq 6: {OTHER_HOLD}",
        ],
    ),
}

DAMAGED_BESIDE: Final[dict[str, Damage]] = {
    "a changed wallet": (
        (_account("wallet = wallet + 1000000, adjustments = adjustments - 1000000"),),
        [
            _off(16, "wallet", stored="67.00", replayed="66.00"),
            _off(16, "adjustments", stored="-2.00", replayed="-1.00"),
        ],
    ),
    "a changed held": (
        (_account("held = held - 1000000, wallet = wallet + 1000000"),),
        [
            _off(16, "wallet", stored="67.00", replayed="66.00"),
            _off(16, "held", stored="6.00", replayed="7.00"),
            _open_holds("7.00", held="6.00"),
        ],
    ),
    "a changed revenue": (
        (_account("revenue = revenue - 1000000, funding = funding + 1000000"),),
        [
            _off(16, "revenue", stored="7.00", replayed="8.00"),
            _off(16, "funding", stored="-79.00", replayed="-80.00"),
        ],
    ),
    "an account that counts one more": (
        (_account("seq = seq + 1"),),
        ["seq 17: the account counts 17 transfers, the book has 16"],
    ),
    "an account that counts one less": (
        (_account("seq = seq - 1"),),
        ["seq 15: the account counts 15 transfers, the book has 16"],
    ),
    "another last hash": ((_account("last_hash = {zeros}"),), [OTHER_LAST_HASH]),
    "a threshold that should have fired": (
        (_account("thresholds = '[[900000000,true]]'"),),
        ["seq 16: the threshold 900000000 is armed above the posted balance"],
    ),
    "a balance that is used up without a refusal": (
        (_account("is_exhausted = true"),),
        ["seq 16: the account is used up, and no refusal was told of since money arrived"],
    ),
    "a refusal that was told of before money arrived": (
        (_account("is_exhausted = true, alerts_count = 1"), _alert(kind=2, seq=11, posted=93_000_000)),
        ["seq 16: the account is used up, and no refusal was told of since money arrived"],
    ),
    "an alert that the account does not count": (
        (_alert(seq=2, posted=90_000_000),),
        ["seq 16: the account counts 0 alerts, there are 1"],
    ),
    "an alert that is gone": (
        (_account("alerts_count = 2"), _alert(number=2, seq=2, posted=90_000_000)),
        ["seq 16: alert 2 follows alert 0"],
    ),
    "an alert that tells of another balance": (
        (_account("alerts_count = 1"), _alert(seq=2, posted=80_000_000)),
        ["seq 2: alert 1 tells of 80.00, posted after it is 90.00"],
    ),
    "an alert of what begins no episode": (
        (_account("alerts_count = 1"), _alert(seq=3, posted=90_000_000)),
        ["seq 3: alert 1 names a transfer of another kind than it tells of"],
    ),
    "an alert of a transfer that never was": (
        (_account("alerts_count = 1"), _alert(seq=99, posted=90_000_000)),
        ["seq 99: alert 1 names a transfer that is not there"],
    ),
    "an alert that credit ends, of what brought none": (
        (_account("alerts_count = 1"), _alert(kind=3, seq=3, posted=90_000_000)),
        ["seq 3: alert 1 names a transfer of another kind than it tells of"],
    ),
    "an account that is gone": (
        (f"DELETE FROM account WHERE merchant_id = {ANN}",),
        ["seq 0: the account's row is missing"],
    ),
    "a captured hold is held again": (
        (_hold(3, "state = 1, captured = 0"),),
        [f"seq 3: {OTHER_HOLD}", _open_holds("16.00")],
    ),
    "a released hold is held again": ((_hold(6, "state = 1"),), [f"seq 6: {OTHER_HOLD}", _open_holds("12.00")]),
    "an expired hold is held again": ((_hold(8, "state = 1"),), [f"seq 8: {OTHER_HOLD}", _open_holds("13.00")]),
    "the open hold is captured": (
        (_hold(15, "state = 2, captured = amount"),),
        [f"seq 15: {OTHER_HOLD}", _open_holds("0.00")],
    ),
    "a hold captured for more": ((_hold(3, "captured = 5000000"),), [f"seq 3: {OTHER_HOLD}"]),
    "a hold of less": ((_hold(15, "amount = 6000000"),), [f"seq 15: {OTHER_HOLD}", _open_holds("6.00")]),
    "an added hold": (
        (
            f"INSERT INTO hold ({HOLD.selected()}) SELECT {HOLD.selected().replace('seq', '16')} FROM hold "
            f"WHERE merchant_id = {ANN} AND seq = 15",
        ),
        ["seq 16: a hold is stored that no transfer made", _open_holds("14.00")],
    ),
    "a deleted hold": ((_deleted("hold", 15),), ["seq 15: the hold's row is missing", _open_holds("0.00")]),
}

DAMAGES: Final = DAMAGED_TRANSFERS | DAMAGED_BESIDE


@pytest.mark.parametrize(("statements", "faults"), DAMAGES.values(), ids=DAMAGES)
async def test_damage_is_named_where_it_stands_and_nobody_else_is_blamed(
    engine: Engine, stores: Stores, statements: tuple[str, ...], faults: list[str]
) -> None:
    await _execute(engine, *statements)
    assert {ANN_ID: faults} == await _audited(stores)


ALERT_DAMAGES: Final[dict[str, tuple[str, list[str]]]] = {
    "another available balance": (
        "UPDATE alert SET facts = replace(facts, 'available', 'free') WHERE number = 1",
        ["seq 1: the facts of alert 1 are not those of the transfer that it names"],
    ),
    "another amount": (
        "UPDATE alert SET facts = replace(facts, '\"amount\":100000000', '\"amount\":1') WHERE number = 1",
        ["seq 1: the facts of alert 1 are not those of the transfer that it names"],
    ),
    "another hold": (
        "UPDATE alert SET facts = replace(facts, '\"hold\":8', '\"hold\":6') WHERE number = 2",
        ["seq 9: the facts of alert 2 are not those of the transfer that it names"],
    ),
    "facts that are none": (
        "UPDATE alert SET facts = 'none' WHERE number = 2",
        ["seq 9: the facts of alert 2 can't be read"],
    ),
    "an expiry of no hold": (
        "UPDATE alert SET transfer_seq = NULL WHERE number = 2",
        ["seq 16: alert 2 names no transfer"],
    ),
    "a top-up that is none": (
        "UPDATE alert SET kind = 5 WHERE number = 2",
        [
            "seq 9: alert 2 names a transfer of another kind than it tells of",
        ],
    ),
    "a top-up told twice": (
        "UPDATE alert SET kind = 5, transfer_seq = 1, posted = 100000000, facts = NULL WHERE number = 2",
        ["seq 1: alert 2 tells once more of its transfer"],
    ),
}


@pytest.mark.parametrize(("statement", "faults"), ALERT_DAMAGES.values(), ids=ALERT_DAMAGES)
async def test_damage_to_what_was_told_is_named(engine: Engine, statement: str, faults: list[str]) -> None:
    stores = await open_without_rows(engine)
    await _keep_books(stores)
    assert {} == await _audited(stores)
    await engine.execute(f"{statement} AND merchant_id = {ANN}")
    assert {ANN_ID: faults} == await _audited(stores)
    await stores.connector.close()


async def test_one_merchants_audit_looks_at_that_book_alone(engine: Engine, stores: Stores) -> None:
    await _execute(engine, f"DELETE FROM transfer WHERE merchant_id = {BEN} AND seq = 3")
    assert [BEN_ID] == list(await _audited(stores))
    assert [BEN_ID] == list(await _audited(stores, BEN))
    assert {} == await _audited(stores, ANN)


REFUSED_DAMAGES: Final[dict[str, tuple[str, list[str]]]] = {
    "an amount that is not unit price x quantity": (
        _transfer(2, "amount = 11000000"),
        [
            "seq 2: the amount is not unit price x quantity",
            _unlinked(2),
            _off_after(2, "wallet", stored="90.00", replayed="89.00"),
            _off(16, "revenue", stored="8.00", replayed="9.00"),
        ],
    ),
    "a negative amount": (
        _transfer(1, "amount = -amount"),
        [
            "seq 1: the amount is not positive",
            _unlinked(1),
            _off_after(1, "wallet", stored="100.00", replayed="-100.00"),
            _off(16, "funding", stored="-80.00", replayed="120.00"),
            "seq 1: 20.00 of its -100.00 was given back",
        ],
    ),
    "a kind that does not exist": (
        _transfer(14, "kind = 13"),
        [
            "seq 14: there is no kind 13",
            _off(16, "adjustments", stored="-1.00", replayed="-2.00"),
        ],
    ),
    "a refund of what comes later": (
        _transfer(10, "refers_to = 16"),
        [
            _unlinked(10),
            "seq 10: refers to no earlier transfer",
            "seq 16: 3.00 of its 1.00 was given back",
        ],
    ),
    "a balance that no account lost": (
        _account("wallet = wallet + 1000000"),
        [
            _off(16, "wallet", stored="67.00", replayed="66.00"),
            "seq 16: the book's six accounts do not sum to zero",
        ],
    ),
    "more captured than held": (
        _hold(3, "captured = 10000000"),
        ["seq 3: more was captured than was held", f"seq 3: {OTHER_HOLD}"],
    ),
    "captured and held at once": (
        _hold(3, "state = 1"),
        [
            "seq 3: a hold has a captured amount without being captured",
            f"seq 3: {OTHER_HOLD}",
            _open_holds("16.00"),
        ],
    ),
    "a hold in a state that does not exist": (
        _hold(15, "state = 5"),
        [f"seq 15: {OTHER_HOLD}", _open_holds("0.00")],
    ),
}


@pytest.mark.parametrize(("statement", "faults"), REFUSED_DAMAGES.values(), ids=REFUSED_DAMAGES)
async def test_damage_that_the_database_refuses_is_found_where_it_was_told_not_to(
    engine: Engine, stores: Stores, statement: str, faults: list[str]
) -> None:
    """PostgreSQL can't be told; there the refusal is all there is to see."""
    with pytest.raises(Refused):
        await _execute(engine, statement)
    assert {} == await _audited(stores)
    if isinstance(engine, SqliteEngine):
        await _execute(engine, f"PRAGMA ignore_check_constraints = ON; {statement}")
        assert {ANN_ID: faults} == await _audited(stores)


async def test_a_transfer_in_the_wrong_book_is_a_fault_of_both(engine: Engine, stores: Stores) -> None:
    await _execute(engine, _transfer(13, f"merchant_id = {BEN}, seq = 4"))
    assert {
        ANN_ID: [
            "seq 14: follows seq 12; transfers are missing, repeated or swapped",
            _unlinked(14),
            _off_after(14, "wallet", stored="74.00", replayed="72.00"),
            _off(16, "adjustments", stored="-1.00", replayed="1.00"),
        ],
        BEN_ID: [
            _unlinked(4),
            _off_after(4, "wallet", stored="75.00", replayed="47.00"),
            _off_after(4, "held", stored="0.00", replayed="3.00"),
            "seq 3: the account counts 3 transfers, the book has 4",
            "seq 3: the account's last hash is not the last transfer's",
            "seq 3: the account's last time is not the last transfer's",
            _off(3, "wallet", stored="45.00", replayed="75.00"),
            _off(3, "held", stored="3.00", replayed="0.00"),
            _off(3, "adjustments", stored="0.00", replayed="-2.00"),
        ],
    } == await _audited(stores)


async def test_a_row_that_can_not_be_read_is_a_fault_and_the_audit_goes_on(engine: Engine, stores: Stores) -> None:
    await _execute(engine, _account("thresholds = '[7]'"), f"UPDATE account SET seq = 4 WHERE merchant_id = {BEN}")
    found = await _audited(stores)
    assert [ANN_ID, BEN_ID] == list(found)
    (fault,) = found[ANN_ID]
    assert fault.startswith("a row can't be read: ValidationError: ")
    assert ["seq 4: the account counts 4 transfers, the book has 3"] == found[BEN_ID]


async def test_a_text_that_is_no_text_is_a_fault(tmp_path: Path) -> None:
    """SQLite alone stores such a thing."""
    engine = SqliteEngine(copy_ledger(tmp_path / "farebox.db"))
    stores = await _open_with_books(engine)
    await _execute(engine, _transfer(10, "note = CAST(x'ff' AS TEXT)"))
    found = await _audited(stores)
    await stores.connector.close()
    assert [ANN_ID] == list(found)
    (fault,) = found[ANN_ID]
    assert fault.startswith("a row can't be read: UnicodeDecodeError: ")


# The operator's command.


@pytest.fixture
def damaged_shell(tmp_path: Path) -> Shell:
    """A shell over the books of Ann and Ben, in which a refund of Ann's was deleted."""
    engine = SqliteEngine(copy_ledger(tmp_path / "farebox.db"))

    async def prepare() -> None:
        stores = await _open_with_books(engine)
        await stores.connector.close()
        await _execute(engine, *DAMAGES["a transfer is deleted"][0])

    asyncio.run(prepare())
    return Shell(f"sqlite:///{engine.path}")


def test_verify_names_whose_book_it_is_and_where_the_fault_stands(damaged_shell: Shell) -> None:
    done = damaged_shell.run("verify")
    *lines, summary = done.out.splitlines()
    assert (1, "") == (done.status, done.err)
    assert [f"{ANN_ID}: {fault}" for fault in DAMAGES["a transfer is deleted"][1]] == lines
    assert summary.startswith("4 faults: 2 merchants, 18 transfers, ")


def test_verify_answers_in_json_what_it_found(damaged_shell: Shell) -> None:
    done = damaged_shell.run("verify", "--json")
    assert (1, "") == (done.status, done.err)
    faults = [{"merchantId": ANN_ID, "fault": fault} for fault in DAMAGES["a transfer is deleted"][1]]
    assert {"isClean": False, "merchants": 2, "transfers": 18, "faults": faults} == done.data


def test_verify_of_one_merchant_looks_at_that_book_alone(damaged_shell: Shell) -> None:
    assert damaged_shell.ok("verify", "--merchant", BEN_ID).out.startswith("Clean: 1 merchant, 3 transfers, ")
    assert 1 == damaged_shell.run("verify", "--merchant", ANN_ID).status
