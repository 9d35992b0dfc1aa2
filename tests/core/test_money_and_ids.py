"""How money and ids are read and written, and a transfer's hash worked out without the ledger's own code."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from farebox.core import chain, ids, money
from farebox.core.accounts import Kind
from farebox.core.commands import TopUp
from farebox.core.ids import InvalidId
from farebox.core.money import AMOUNT_MICROS_MAX, InvalidAmount
from farebox.core.transfers import Transfer
from tests.core import strategies as some

NUMBER = 3_565_158_400_000_001


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("0", 0),
        ("0.0", 0),
        ("0.000001", 1),
        ("1", 1_000_000),
        ("1.2", 1_200_000),
        ("1.20", 1_200_000),
        ("1.234567", 1_234_567),
        ("0012.50", 12_500_000),
        ("1250.75", 1_250_750_000),
        ("999999999999.999999", 10**18 - 1),
        ("1000000000000", 10**18),
        ("1000000000000.000000", 10**18),
    ],
)
def test_an_amount_is_read_exactly(text: str, micros: int) -> None:
    assert micros == money.parse_amount(text)


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "Infinity",
        "1e5",
        "1E5",
        "0x10",
        "1.2345678",
        "1.0000000",
        "-1",
        "+1",
        "-0",
        "1.20\n",
        "1.20\r\n",
        "\n1",
        " 1",
        "1 ",
        "1 000",
        "1,000",
        "1,5",
        "1_000",
        "1.2.3",
        "",
        ".",
        ".5",
        "5.",
        "٣",
        "\uff11",
        "1.٣",
        "²",
        "1\x00",
        "$1",
        str(10**30),
        "1000000000000.000001",
        "1000000000001",
        "9999999999999",
        "0" * 14,
        "0" * 10_000,
    ],
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(InvalidAmount):
        money.parse_amount(text)


def test_a_refused_amount_is_shown_in_part_if_it_is_long() -> None:
    with pytest.raises(InvalidAmount) as caught:
        money.parse_amount("9" * 100_000)
    assert len(str(caught.value)) < 200


def test_zero_is_an_amount_but_not_a_positive_one() -> None:
    assert 1 == money.parse_positive_amount("0.000001")
    for text in ("0", "0.00", "0.000000"):
        with pytest.raises(InvalidAmount, match="more than 0"):
            money.parse_positive_amount(text)


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "0.00"),
        (1, "0.000001"),
        (10, "0.00001"),
        (100, "0.0001"),
        (1_000, "0.001"),
        (10_000, "0.01"),
        (100_000, "0.10"),
        (1_000_000, "1.00"),
        (1_250_750_000, "1250.75"),
        (12_345_600, "12.3456"),
        (1_234_567, "1.234567"),
        (1_234_567_000_000, "1234567.00"),
        (-1, "-0.000001"),
        (-10_000, "-0.01"),
        (-12_345_600, "-12.3456"),
        (-1_000_000, "-1.00"),
        (-999_999, "-0.999999"),
        (10**18, "1000000000000.00"),
        (4 * 10**18, "4000000000000.00"),
        (-4 * 10**18, "-4000000000000.00"),
    ],
)
def test_an_amount_is_written_with_two_to_six_decimals(micros: int, text: str) -> None:
    assert text == money.format_amount(micros)


@given(micros=st.integers(0, AMOUNT_MICROS_MAX))
def test_an_amount_that_was_written_is_read_back(micros: int) -> None:
    assert micros == money.parse_amount(money.format_amount(micros))
    assert f"-{money.format_amount(micros)}" == money.format_amount(-micros) or micros == 0


@given(text=st.text(st.sampled_from("0123456789.-+eE, \n٣\uff11"), max_size=22))
def test_whatever_is_read_is_plain_digits_and_at_most_a_point(text: str) -> None:
    try:
        micros = money.parse_amount(text)
    except InvalidAmount:
        return
    assert set(text) <= set("0123456789.")
    units, _, fraction = text.partition(".")
    assert micros == int(units + fraction.ljust(6, "0"))


@pytest.mark.parametrize(
    ("dividend", "divisor", "quotient"),
    [
        (0, 3, 0),
        (4, 3, 1),
        (5, 3, 2),
        (5, 2, 3),
        (-5, 2, -3),
        (-4, 3, -1),
        (1, 2, 1),
        (-1, 2, -1),
        (10**18, 7, 142857142857142857),
    ],
)
def test_a_quotient_is_rounded_half_away_from_zero(dividend: int, divisor: int, quotient: int) -> None:
    assert quotient == money.divide_rounding_half_up(dividend, divisor)


@given(number=st.integers(0, ids.NUMBER_MAX), seq=st.integers(0, ids.SEQ_MAX))
def test_an_id_that_was_written_is_read_back(number: int, seq: int) -> None:
    for prefix in (ids.MERCHANT, ids.PRICE, ids.USER, ids.KEY):
        assert number == ids.parse_public_id(prefix, ids.public_id(prefix, number))
    for prefix in (ids.TRANSFER, ids.HOLD, ids.ALERT):
        assert (number, seq) == ids.parse_book_id(prefix, ids.book_id(prefix, merchant_id=number, seq=seq))


@given(
    first=st.tuples(st.integers(0, ids.NUMBER_MAX), st.integers(0, ids.SEQ_MAX)),
    second=st.tuples(st.integers(0, ids.NUMBER_MAX), st.integers(0, ids.SEQ_MAX)),
)
def test_ids_sort_as_their_numbers_do(first: tuple[int, int], second: tuple[int, int]) -> None:
    texts = [ids.book_id(ids.TRANSFER, merchant_id=number, seq=seq) for number, seq in (first, second)]
    assert (first < second, first == second) == (texts[0] < texts[1], texts[0] == texts[1])


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("mer_0000000000000", 0),
        ("mer_0000000000001", 1),
        ("mer_000000000000Z", 31),
        ("mer_0000000000010", 32),
        ("mer_7ZZZZZZZZZZZZ", 2**63 - 1),
    ],
)
def test_an_id_is_thirteen_letters_of_crockfords_base32(text: str, number: int) -> None:
    assert text == ids.public_id(ids.MERCHANT, number)
    assert number == ids.parse_public_id(ids.MERCHANT, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mer_",
        "mer_000000000000",
        "mer_00000000000000",
        "mer_0000000000001\n",
        "\nmer_000000000001",
        " mer_000000000001",
        "MER_0000000000001",
        "xfer_000000000001",
        "price_0000000000001",
        "mer_000000000000z",
        "mer_000000000000I",
        "mer_000000000000L",
        "mer_000000000000O",
        "mer_000000000000U",
        "mer_000000000000_",
        "mer_000000000000-",
        "mer_-000000000001",
        "mer_ 000000000001",
        "mer_00000000000٣1",
        "mer_00000000000\uff111",
        "mer_8000000000000",
        "mer_ZZZZZZZZZZZZZ",
    ],
)
def test_what_is_no_merchants_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidId):
        ids.parse_public_id(ids.MERCHANT, text)


@pytest.mark.parametrize(
    "text",
    [
        "xfer_",
        "xfer_0000000000001",
        "xfer_00000000000010000000",
        "xfer_0000000000001000000011",
        "hold_000000000000100000001",
        "xfer_00000000000010000000u",
        "xfer_00000000000010000000\n",
        "xfer_0000000000001-0000001",
        "xfer_800000000000000000001",
    ],
)
def test_what_is_no_transfers_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidId):
        ids.parse_book_id(ids.TRANSFER, text)


@pytest.mark.parametrize("letters", ["", "000000000000", "00000000000000"])
def test_a_number_of_another_length_is_refused(letters: str) -> None:
    with pytest.raises(InvalidId):
        ids.decode_number(letters)


def test_a_new_number_is_its_time_and_then_its_random_bits() -> None:
    assert 0 == ids.new_number(0, 0)
    assert 2**21 + 5 == ids.new_number(1, 5)
    assert ids.NUMBER_MAX == ids.new_number(2**42 - 1, 2**21 - 1)
    for time_ms, random_bits in ((-1, 0), (2**42, 0), (0, -1), (0, 2**21)):
        with pytest.raises(ValueError, match="out of range"):
            ids.new_number(time_ms, random_bits)


FIRST = Transfer(
    merchant_id=NUMBER,
    seq=1,
    kind=Kind.TOP_UP,
    amount=40_000_000,
    idempotency_key="top_up INV-1",
    content=bytes.fromhex("0123456789abcdef"),
    wallet_after=40_000_000,
    held_after=0,
    committed_at=1_700_000_000_000_000,
    hash=b"",
    reference="INV-1",
    note="Über 40 €",
)
FIRST_TEXT = (
    "farebox-transfer-1\nmer_0035AFRG00001\n1\n1700000000000000\ntop_up\nfunding\nwallet\n40000000\n40000000\n0\n"
    "\n\n\n\ntop_up INV-1\n0123456789abcdef\n\nINV-1\nÜber 40 €"
)
SECOND = Transfer(
    merchant_id=NUMBER,
    seq=2,
    kind=Kind.CHARGE,
    amount=3_000_000,
    idempotency_key="c1",
    content=bytes(8),
    wallet_after=37_000_000,
    held_after=0,
    committed_at=1_700_000_000_000_001,
    hash=b"",
    request_type="image",
    quantity=3,
    unit_price=1_000_000,
    price_id=33,
)
SECOND_TEXT = (
    "farebox-transfer-1\nmer_0035AFRG00001\n2\n1700000000000001\ncharge\nwallet\nrevenue\n3000000\n37000000\n0\n"
    "image\n3\n1000000\nprice_0000000000011\nc1\n0000000000000000\n\n\n"
)
THIRD = Transfer(
    merchant_id=NUMBER,
    seq=3,
    kind=Kind.REFUND,
    amount=3_000_000,
    idempotency_key="f1",
    content=bytes(8),
    wallet_after=40_000_000,
    held_after=0,
    committed_at=1_700_000_000_000_001,
    hash=b"",
    refers_to=2,
)
THIRD_TEXT = (
    "farebox-transfer-1\nmer_0035AFRG00001\n3\n1700000000000001\nrefund\nrevenue\nwallet\n3000000\n40000000\n0\n"
    "\n\n\n\nf1\n0000000000000000\nxfer_0035AFRG0000100000002\n\n"
)


def test_canonical_bytes_and_hashes_are_as_documented() -> None:
    merchant = ids.public_id(ids.MERCHANT, NUMBER)
    ours = theirs = bytes(32)
    for transfer, text in ((FIRST, FIRST_TEXT), (SECOND, SECOND_TEXT), (THIRD, THIRD_TEXT)):
        assert text.encode() == chain.canonical_bytes(merchant, transfer)
        theirs = hashlib.blake2b(theirs + text.encode(), digest_size=32).digest()
        ours = chain.link(ours, chain.canonical_bytes(merchant, replace(transfer, hash=theirs)))
        assert theirs == ours
    assert "d4b750e0338fe7b936c8d8443e48d2cbb0c22db78bd6456e1713fd50bb7d3e35" == ours.hex()


def test_what_a_book_stores_is_what_the_chain_says() -> None:
    books = some.new_books()
    merchant = ids.public_id(ids.MERCHANT, some.ANN)
    books.run([TopUp(some.ANN, 5, "R1", note="n"), TopUp(some.ANN, 6, "R2")], some.START)
    link = bytes(32)
    for row in books.book(some.ANN):
        link = hashlib.blake2b(link + chain.canonical_bytes(merchant, row), digest_size=32).digest()
        assert link == row.hash
    assert link == books.accounts[some.ANN].last_hash
