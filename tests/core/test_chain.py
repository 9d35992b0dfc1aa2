"""The hash chain: the documented bytes, and no two transfers with the same."""

from hashlib import blake2b
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields, replace

from farebox.core import ids
from farebox.core.accounts import GENESIS_HASH, Kind
from farebox.core.chain import canonical_bytes, link
from farebox.core.transfers import Transfer
from tests.core.scenarios import Scenario, played, scenarios
from tests.support.effort import examples

MERCHANT = 3_774_873_600_000_000_005

FULL = Transfer(
    merchant_id=MERCHANT,
    seq=42,
    kind=Kind.CHARGE,
    amount=1_500_000,
    idempotency_key="01K9ZQ7-order:7",
    fingerprint=bytes.fromhex("00ff10a2b3c4d5e6"),
    wallet_after=-250_000,
    held_after=3_000_001,
    committed_at=1_800_000_000_123_456,
    hash=b"",
    request_type="image",
    quantity=3,
    unit_price=500_000,
    price_id=32,
    refers_to=41,
    reference="Order №7",
    note="Grüße",
)
FULL_BYTES = (
    b"farebox-transfer-1\nmer_38RRBH8000005\n42\n1800000000123456\ncharge\nwallet\nrevenue\n1500000\n-250000\n3000001\n"
    b"image\n3\n500000\nprice_0000000000010\n01K9ZQ7-order:7\n00ff10a2b3c4d5e6\nxfer_38RRBH800000500000019\n"
    b"Order \xe2\x84\x967\nGr\xc3\xbc\xc3\x9fe"
)
PRICED = replace(
    FULL,
    unit_price=None,
    pricing="input=1200,output=350;tier=1;window=2;before=input:4999950;at=1774735200000000",
)
PRICED_BYTES = (
    b"farebox-transfer-2\nmer_38RRBH8000005\n42\n1800000000123456\ncharge\nwallet\nrevenue\n1500000\n-250000\n3000001\n"
    b"image\n3\n\nprice_0000000000010\ninput=1200,output=350;tier=1;window=2;before=input:4999950;at=1774735200000000\n"
    b"01K9ZQ7-order:7\n00ff10a2b3c4d5e6\nxfer_38RRBH800000500000019\nOrder \xe2\x84\x967\nGr\xc3\xbc\xc3\x9fe"
)
BARE = Transfer(
    merchant_id=MERCHANT,
    seq=1,
    kind=Kind.ADJUSTMENT_DEBIT,
    amount=1,
    idempotency_key="adjustment R",
    fingerprint=bytes(8),
    wallet_after=0,
    held_after=0,
    committed_at=0,
    hash=b"",
)
BARE_BYTES = (
    b"farebox-transfer-1\nmer_38RRBH8000005\n1\n0\nadjustment\nwallet\nadjustments\n1\n0\n0\n"
    b"\n\n\n\nadjustment R\n0000000000000000\n\n\n"
)


FREE = replace(BARE, kind=Kind.HOLD, amount=0, request_type="ping", quantity=1, price_id=1, pricing="requests=1")
FREE_BYTES = (
    b"farebox-transfer-2\nmer_38RRBH8000005\n1\n0\nhold\nwallet\nheld\n0\n0\n0\n"
    b"ping\n1\n\nprice_0000000000001\nrequests=1\nadjustment R\n0000000000000000\n\n\n"
)

GRANT = replace(BARE, kind=Kind.GRANT, amount=5, given="1:5;priority=2;expires=1800000000000000;types=image scan")
GRANT_BYTES = (
    b"farebox-transfer-3\nmer_38RRBH8000005\n1\n0\ngrant\npromotions\nwallet\n5\n0\n0\n\n\n\n\n\n"
    b"1:5;priority=2;expires=1800000000000000;types=image scan\n\n\nadjustment R\n0000000000000000\n\n\n"
)
WHOLE = replace(PRICED, given="1:500000,4:20", uncollected=7, key_id=33)
WHOLE_BYTES = (
    b"farebox-transfer-3\nmer_38RRBH8000005\n42\n1800000000123456\ncharge\nwallet\nrevenue\n1500000\n-250000\n3000001\n"
    b"image\n3\n\nprice_0000000000010\ninput=1200,output=350;tier=1;window=2;before=input:4999950;at=1774735200000000\n"
    b"1:500000,4:20\n7\nkey_0000000000011\n"
    b"01K9ZQ7-order:7\n00ff10a2b3c4d5e6\nxfer_38RRBH800000500000019\nOrder \xe2\x84\x967\nGr\xc3\xbc\xc3\x9fe"
)


@pytest.mark.parametrize(
    ("transfer", "expected"),
    [
        *[(FULL, FULL_BYTES), (BARE, BARE_BYTES), (PRICED, PRICED_BYTES), (FREE, FREE_BYTES)],
        *[(GRANT, GRANT_BYTES), (WHOLE, WHOLE_BYTES)],
    ],
    ids=["full", "bare", "priced", "free", "grant", "whole"],
)
def test_canonical_bytes_are_as_documented(transfer: Transfer, expected: bytes) -> None:
    assert expected == canonical_bytes(ids.public_id(ids.MERCHANT, MERCHANT), transfer)


def test_the_hash_is_blake2b_256_of_the_hash_before_and_the_canonical_bytes() -> None:
    first = blake2b(bytes(32) + BARE_BYTES, digest_size=32).digest()
    second = blake2b(first + FULL_BYTES, digest_size=32).digest()
    assert bytes(32) == GENESIS_HASH
    assert [first, second] == [link(GENESIS_HASH, BARE_BYTES), link(first, FULL_BYTES)]
    # These must never change: merchants keep statements that carry them.
    assert "e91dfd77193355bbca08321c306dd520c60ec055eee6ea0213a2ae6393f5e948" == first.hex()
    assert "635ac86eb417f040801c27653d0756f41c9b6582334c89eaee89572d48b28588" == second.hex()


def test_a_book_of_all_encodings_has_the_hashes_that_it_has_for_ever() -> None:
    hashes = [GENESIS_HASH]
    for canonical in (BARE_BYTES, FULL_BYTES, PRICED_BYTES, FREE_BYTES, GRANT_BYTES, WHOLE_BYTES):
        hashes.append(blake2b(hashes[-1] + canonical, digest_size=32).digest())
        assert hashes[-1] == link(hashes[-2], canonical)
    assert "ca18c3b92bd77114bfb30457ba43fa21f79ac950880d14133893bf13c8e287ea" == hashes[3].hex()
    assert "5c0fcde57b6296ccd68fb1159a02b98cd691703a9bf8407a711f4ab7ad84bf9e" == hashes[4].hex()
    assert "db077b66a1512b75ec1cfe85571afea9b5ae4166b3da68e3fedf6e8ab2c9681d" == hashes[5].hex()
    assert "b9d97e027f65dade2ad441395e598dcfde7616676c1c61a85d5df560a0cb3b7d" == hashes[6].hex()


def test_every_kind_is_told_by_its_word_and_its_accounts() -> None:
    lines = {kind: tuple(canonical_bytes("mer_", replace(BARE, kind=kind)).decode().split("\n")[4:7]) for kind in Kind}
    assert lines == {
        Kind.TOP_UP: ("top_up", "funding", "wallet"),
        Kind.TOP_UP_REVERSAL: ("top_up_reversal", "wallet", "funding"),
        Kind.CHARGE: ("charge", "wallet", "revenue"),
        Kind.REFUND: ("refund", "revenue", "wallet"),
        Kind.HOLD: ("hold", "wallet", "held"),
        Kind.CAPTURE: ("capture", "held", "revenue"),
        Kind.RELEASE: ("release", "held", "wallet"),
        Kind.EXPIRE: ("expire", "held", "wallet"),
        Kind.ADJUSTMENT_CREDIT: ("adjustment", "adjustments", "wallet"),
        Kind.ADJUSTMENT_DEBIT: ("adjustment", "wallet", "adjustments"),
        Kind.GRANT: ("grant", "promotions", "wallet"),
        Kind.GRANT_EXPIRY: ("grant_expiry", "wallet", "promotions"),
    }


# Texts as `farebox.service.inputs` lets them in: one line, not empty.
# Digits, commas and words of other fields are what could confuse.
TEXTS = st.text(st.sampled_from("01,-_ aé"), min_size=1, max_size=4) | st.sampled_from(["image", "charge", "wallet"])
COUNTS = st.integers(1, 12) | st.integers(1, 2**40 - 1)
AMOUNTS = st.integers(1, 12) | st.integers(1, 10**18)
TRANSFERS = st.builds(
    Transfer,
    merchant_id=st.just(MERCHANT),
    seq=COUNTS,
    kind=st.sampled_from(Kind),
    amount=AMOUNTS,
    idempotency_key=TEXTS,
    fingerprint=st.binary(min_size=8, max_size=8),
    wallet_after=st.integers(-12, 12) | st.integers(-(10**18), 4 * 10**18),
    held_after=st.integers(0, 12),
    committed_at=st.integers(0, 2 * 10**15),
    hash=st.just(b""),
    request_type=st.none() | TEXTS,
    quantity=st.none() | COUNTS,
    unit_price=st.none() | AMOUNTS,
    price_id=st.none() | st.integers(1, 2**63 - 1),
    refers_to=st.none() | COUNTS,
    reference=st.none() | TEXTS,
    note=st.none() | TEXTS,
    pricing=st.none() | st.sampled_from(["input=1", "input=1,output=2;tier=1", "requests=1"]),
    given=st.none() | st.sampled_from(["1:1", "1:1,2:2", "1:1;priority=1"]),
    uncollected=st.none() | AMOUNTS,
    key_id=st.none() | st.integers(1, 2**63 - 1),
)
COVERED = [item.name for item in fields(Transfer) if item.name not in ("merchant_id", "hash")]


@given(TRANSFERS, TRANSFERS, st.sets(st.sampled_from(COVERED)))
def test_transfers_that_differ_in_any_field_have_other_bytes(one: Transfer, other: Transfer, names: set[str]) -> None:
    mixed: dict[str, Any] = {name: getattr(other, name) for name in names}
    changed = replace(one, **mixed)
    assert (one == changed) is (canonical_bytes("mer_", one) == canonical_bytes("mer_", changed))
    assert canonical_bytes("mer_", one) != canonical_bytes("mer_other", one)
    is_third = {one.given, one.uncollected, one.key_id} != {None}
    assert (22 if is_third else 18 if one.pricing is None else 19) == canonical_bytes("mer_", one).count(b"\n")


@examples(30)
@given(scenarios(), st.data())
def test_any_changed_byte_changes_every_hash_from_there_on(scenario: Scenario, data: st.DataObject) -> None:
    store, _ = played(scenario)
    transfers: list[Transfer] = store.rows()["transfers"]
    if not transfers:
        return
    book = [item for item in transfers if item.merchant_id == transfers[0].merchant_id]
    merchant = ids.public_id(ids.MERCHANT, transfers[0].merchant_id)
    written = [canonical_bytes(merchant, item) for item in book]
    place = data.draw(st.integers(0, len(written) - 1))
    at = data.draw(st.integers(0, len(written[place]) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != written[place][at]))
    written[place] = written[place][:at] + bytes([byte]) + written[place][at + 1 :]
    found = GENESIS_HASH
    for number, (transfer, bytes_of_it) in enumerate(zip(book, written, strict=True)):
        found = link(found, bytes_of_it)
        assert (found == transfer.hash) is (number < place)


@examples(30)
@given(scenarios())
def test_a_book_that_was_kept_can_be_checked_from_its_hashes_alone(scenario: Scenario) -> None:
    store, _ = played(scenario)
    for account in store.rows()["accounts"]:
        merchant = ids.public_id(ids.MERCHANT, account.merchant_id)
        book = [item for item in store.rows()["transfers"] if item.merchant_id == account.merchant_id]
        hashes = [GENESIS_HASH, *(item.hash for item in book)]
        for transfer, (before, after) in zip(book, pairwise(hashes), strict=True):
            assert after == blake2b(before + canonical_bytes(merchant, transfer), digest_size=32).digest()
        assert account.last_hash == hashes[-1]
