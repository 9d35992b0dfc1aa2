"""The audit finds what was done to given credit by hand: to its rows, and to transfers whose hashes were made anew."""

from collections.abc import AsyncIterator
from typing import Final
from unittest import mock

import pytest
from msgspec.structs import replace

from farebox.core import ids
from farebox.core.accounts import EFFECTS, GENESIS_HASH, Kind
from farebox.core.chain import canonical_bytes, link
from farebox.core.transfers import Transfer
from farebox.service.operator.verifier import Verifier
from farebox.storage import records
from farebox.storage.stores import Stores
from tests.service.books import GRANT_END, keep_spent_grants
from tests.storage.engines import Engine, open_without_rows
from tests.support.ledger import ANN, NOW, UNIT, book

LAST: Final = 16
OTHER_ROW: Final = "says otherwise than its transfers"


@pytest.fixture
async def stores(engine: Engine) -> AsyncIterator[Stores]:
    """An open store with a book of given credit."""
    stores = await open_without_rows(engine)
    await keep_spent_grants(stores)
    # Opened anew, it has committed nothing itself: what tests do to the book by hand would not go unnoticed else.
    await stores.connector.close()
    await stores.connector.open()
    yield stores
    await stores.connector.close()


async def _audited(stores: Stores) -> list[str]:
    """Verify the book; read in stretches, as long ones are, it tells the same as read as a whole."""
    faults = [fault.text async for fault in Verifier(stores.connector).faults(None)]
    with mock.patch.object(records, "BOOK_TRANSFERS_MAX", 0):
        assert faults == [fault.text async for fault in Verifier(stores.connector).faults(ANN)]
    return faults


async def test_a_book_of_given_credit_that_nobody_touched_is_clean(stores: Stores) -> None:
    assert LAST == len(await book(stores))
    assert [] == await _audited(stores)


def _grant(number: int, change: str) -> str:
    return f"UPDATE credit_grant SET {change} WHERE merchant_id = {ANN} AND number = {number}"


def _account(change: str) -> str:
    return f"UPDATE account SET {change} WHERE merchant_id = {ANN}"


ROWS: Final[dict[str, tuple[str, str]]] = {
    "more left of a grant": (_grant(4, f"remaining = {4 * UNIT}"), f"seq {LAST}: the row of grant 4 {OTHER_ROW}"),
    "less left of a grant": (_grant(4, "remaining = 0"), f"seq {LAST}: the row of grant 4 {OTHER_ROW}"),
    "a grant open once more": (_grant(1, "state = 2, ended_at = NULL"), f"seq {LAST}: the row of grant 1 {OTHER_ROW}"),
    "a later end": (_grant(2, f"expires_at = {GRANT_END * 2}"), f"seq {LAST}: the row of grant 2 {OTHER_ROW}"),
    "a larger grant": (_grant(4, f"amount = {9 * UNIT}"), f"seq {LAST}: the row of grant 4 {OTHER_ROW}"),
    "another priority": (_grant(4, "priority = 0"), f"seq {LAST}: the row of grant 4 {OTHER_ROW}"),
    "other types": (_grant(3, "types = 'image'"), f"seq {LAST}: the row of grant 3 {OTHER_ROW}"),
    "another reason": (_grant(2, "reason = 'bribe'"), f"seq {LAST}: the row of grant 2 {OTHER_ROW}"),
    "a grant that is gone": (
        f"DELETE FROM credit_grant WHERE merchant_id = {ANN} AND number = 2",
        f"seq {LAST}: the row of grant 2 is missing",
    ),
    "a grant that no transfer made": (
        "INSERT INTO credit_grant (merchant_id, number, amount, remaining, starts_at, transfer_seq, priority, state,"
        f" fingerprint, idempotency_key, reference, reason) SELECT merchant_id, 5, {UNIT}, {UNIT}, {NOW}, 5, 0, 2,"
        f" fingerprint, 'grant 5', '5', 'x' FROM credit_grant WHERE merchant_id = {ANN} AND number = 4",
        f"seq {LAST}: the row of grant 5 tells of a transfer that is not there",
    ),
    "less given in the account": (_account("given = 0"), f"seq {LAST}: the account's given is 0.00, its grants come"),
    "a grant less": (
        _account("grants_count = 3"),
        f"seq {LAST}: the account's grants_count is 3, its grants come to 4",
    ),
    "a time that nothing is due": (
        _account(f"grants_due_at = {NOW}"),
        f"seq {LAST}: the account's grants_due_at is {NOW}, its grants come to None",
    ),
}


@pytest.mark.parametrize(("statement", "fault"), ROWS.values(), ids=ROWS)
async def test_a_row_that_was_changed_by_hand_is_found(
    engine: Engine, stores: Stores, statement: str, fault: str
) -> None:
    await engine.execute(statement)
    assert any(text.startswith(fault) for text in await _audited(stores)), fault


async def _rewrite(engine: Engine, stores: Stores, transfers: list[Transfer]) -> None:
    """Put these transfers in place of the book: numbers, balances and hashes follow, and so does the account."""
    await engine.execute(f"DELETE FROM transfer WHERE merchant_id = {ANN} AND seq > {len(transfers)}")
    # No two of a book may have the same key, not even in between.
    await engine.execute(f"UPDATE transfer SET idempotency_key = 'key ' || seq WHERE merchant_id = {ANN}")
    hash_, wallet = GENESIS_HASH, 0
    for seq, transfer in enumerate(transfers, 1):
        wallet += EFFECTS[Kind(transfer.kind)].wallet * transfer.amount
        anew = replace(transfer, seq=seq, wallet_after=wallet)
        hash_ = link(hash_, canonical_bytes(ids.public_id(ids.MERCHANT, ANN), anew))
        fields = {
            **{name: str(getattr(anew, name)) for name in ("kind", "amount", "wallet_after", "held_after")},
            "committed_at": str(anew.committed_at),
            **{name: _text(getattr(anew, name)) for name in ("given", "idempotency_key", "note", "request_type")},
            **{
                name: str(getattr(anew, name) or "NULL") for name in ("refers_to", "quantity", "unit_price", "price_id")
            },
            "reference": _text(anew.reference),
            "content": engine.blob(anew.fingerprint),
            "hash": engine.blob(hash_),
        }
        change = ", ".join(f"{name} = {value}" for name, value in fields.items())
        await engine.execute(f"UPDATE transfer SET {change} WHERE merchant_id = {ANN} AND seq = {seq}")
    promotions = sum(EFFECTS[Kind(item.kind)].promotions * item.amount for item in transfers)
    others = f"seq = {len(transfers)}, last_hash = {engine.blob(hash_)}, wallet = {wallet}, promotions = {promotions}"
    await engine.execute(_account(others))


def _text(text: str | None) -> str:
    return "NULL" if text is None else f"'{text}'"


async def _forged(engine: Engine, stores: Stores, seq: int, **fields: object) -> list[str]:
    transfers = list(await book(stores))
    transfers[seq - 1] = replace(transfers[seq - 1], **fields)
    await _rewrite(engine, stores, transfers)
    return await _audited(stores)


async def test_a_book_that_was_only_written_anew_is_clean(engine: Engine, stores: Stores) -> None:
    await _rewrite(engine, stores, list(await book(stores)))
    assert [] == await _audited(stores)


@pytest.mark.parametrize(
    ("seq", "given", "fault"),
    [
        (6, None, "seq 6: it names nothing of grants, the order of spending comes to 1:5000000,2:2000000"),
        (6, "2:5000000,1:2000000", "seq 6: it names 2:5000000,1:2000000 of grants, the order of spending comes to 1:5"),
        (7, "2:3000000", "seq 7: it names 2:3000000 of grants, the order of spending comes to 2:3000000,4:2000000"),
        (8, "2:2000000", "seq 8: it names 2:2000000 of grants, the order of spending comes to 1:1000000,2:2000000"),
        (10, None, "seq 10: it names nothing of grants, the order of spending comes to 4:2000000"),
    ],
)
async def test_what_a_transfer_says_of_grants_is_derived_though_all_hashes_were_made_anew(
    engine: Engine, stores: Stores, seq: int, given: str | None, fault: str
) -> None:
    assert any(text.startswith(fault) for text in await _forged(engine, stores, seq, given=given)), fault


async def test_an_end_that_was_never_posted_is_found(engine: Engine, stores: Stores) -> None:
    transfers = list(await book(stores))
    assert (Kind.GRANT_EXPIRY, Kind.CHARGE) == (transfers[11].kind, transfers[12].kind)
    await _rewrite(engine, stores, transfers[:11] + transfers[12:])
    assert "seq 12: grant 1 was over before it, and 1.00 of it was not ended" in await _audited(stores)


async def test_what_came_back_to_a_grant_that_is_over_and_was_kept_is_found(engine: Engine, stores: Stores) -> None:
    transfers = list(await book(stores))
    await _rewrite(engine, stores, transfers[:14] + transfers[15:])
    assert "seq 15: what the transfer of seq 14 gave back to grant 1, which is over, was not ended" in await _audited(
        stores
    )


async def test_an_end_that_was_posted_too_early_is_found(engine: Engine, stores: Stores) -> None:
    await engine.execute(_grant(1, f"expires_at = {GRANT_END + 1}"))
    faults = await _forged(engine, stores, 2, given=f"1:5000000;expires={GRANT_END + 1}")
    assert "seq 12: ends grant 1 before its time was over" in faults


async def test_an_end_without_a_reason_before_its_time_is_found(engine: Engine, stores: Stores) -> None:
    assert "seq 16: ends grant 3 before its time was over" in await _forged(engine, stores, 16, note=None)
