"""How amounts and ids are read from text: exactly, or not at all."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.core import ids
from farebox.core.money import AMOUNT_MICROS_MAX, format_amount
from farebox.service.parsing import (
    InvalidAmount,
    InvalidId,
    decode_number,
    parse_amount,
    parse_book_id,
    parse_positive_amount,
    parse_public_id,
)

PREFIXES = [ids.MERCHANT, ids.TRANSFER, ids.HOLD, ids.ALERT, ids.PRICE, ids.USER, ids.KEY]

NO_AMOUNTS = [
    *("", " ", ".", "-", "+", ",", "a", "NaN", "nan", "inf", "-inf", "Infinity", "None", "null", "true"),
    *("-1", "+1", "-0", "--1", "1-", "- 1"),
    *("1e5", "1E5", "1e-5", "1_000", "0x10", "0b1", "0o7", "1/2", "1*2", "½"),
    *("1,000", "1,5", "1.000,00", "1 000", "1'000", "$1", "1$", "1 USD", "USD 1"),
    *(".5", "5.", "1..2", "1.2.3", ".", "1.-2", "1.+2", "1. 2"),
    *("1.2345678", "1.0000000", "0.0000001", "0.0000000000000000000000001"),
    *(
        " 1",
        "1 ",
        "1.20\n",
        "1.20\r\n",
        "\n1",
        "1\t",
        "1\v",
        "1\x00",
        "\x001",
        "1\u00a0",
        "\u20031",
        "\ufeff1",
        "1\u200b",
    ),
    *(
        "\u0663",
        "\u0661.\u0665",
        "\uff11",
        "\uff11\uff12.\uff15",
        "\u0967",
        "\u00b2",
        "\U0001d7ce",
        "\u2460",
        "1\u066b5",
    ),
    *("1" * 14, "9" * 40, "1" + "0" * 30, "0" * 14, "0" * 5000, "1." + "0" * 5000, "9" * 100_000),
    *("1000000000000.000001", "1000000000001", "9999999999999", "9999999999999.999999"),
]


@pytest.mark.parametrize("text", NO_AMOUNTS, ids=lambda text: repr(text)[:30])
def test_what_is_no_plain_decimal_in_range_is_refused(text: str) -> None:
    with pytest.raises(InvalidAmount) as refusal:
        parse_amount(text)
    assert len(str(refusal.value)) < 200
    with pytest.raises(InvalidAmount):
        parse_positive_amount(text)


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("0", 0),
        ("0.0", 0),
        ("0.000000", 0),
        ("0.000001", 1),
        ("0.1", 100_000),
        ("1", 1_000_000),
        ("1.2", 1_200_000),
        ("1.20", 1_200_000),
        ("1.000001", 1_000_001),
        ("0012.50", 12_500_000),
        ("0000000000001", 1_000_000),
        ("1250.75", 1_250_750_000),
        ("999999999999.999999", AMOUNT_MICROS_MAX - 1),
        ("1000000000000", AMOUNT_MICROS_MAX),
        ("1000000000000.000000", AMOUNT_MICROS_MAX),
    ],
)
def test_an_amount_is_read_to_the_micro(text: str, micros: int) -> None:
    assert micros == parse_amount(text)


def test_the_message_says_what_would_be_right() -> None:
    with pytest.raises(InvalidAmount, match=r"'1,000' is not an amount; write a plain decimal such as 12\.50"):
        parse_amount("1,000")
    with pytest.raises(InvalidAmount, match=r"above the largest amount, 1000000000000\.00$"):
        parse_amount("1000000000001")
    with pytest.raises(InvalidAmount, match=r"^'11111111111111111111…' is not"):
        parse_amount("1" * 1000)


@pytest.mark.parametrize("text", ["0", "0.00", "0.000000"])
def test_nothing_is_an_amount_but_not_a_positive_one(text: str) -> None:
    assert 0 == parse_amount(text)
    with pytest.raises(InvalidAmount, match="more than 0"):
        parse_positive_amount(text)


def test_the_smallest_positive_amount_is_one_micro() -> None:
    assert 1 == parse_positive_amount("0.000001")


@given(st.integers(0, AMOUNT_MICROS_MAX))
def test_an_amount_that_was_written_is_read_back(micros: int) -> None:
    assert micros == parse_amount(format_amount(micros))


@given(st.text(st.sampled_from("0123456789.-+eE, \n\u0663\uff11"), max_size=24))
def test_whatever_is_read_is_digits_and_at_most_one_point(text: str) -> None:
    try:
        micros = parse_amount(text)
    except InvalidAmount:
        return
    assert re.fullmatch(r"[0-9]{1,13}(\.[0-9]{1,6})?", text, re.ASCII)
    assert 0 <= micros <= AMOUNT_MICROS_MAX


@given(st.integers(0, ids.NUMBER_MAX), st.integers(0, ids.SEQ_MAX), st.sampled_from(PREFIXES))
def test_an_id_that_was_written_is_read_back(number: int, seq: int, prefix: str) -> None:
    assert number == parse_public_id(prefix, ids.public_id(prefix, number))
    assert (number, seq) == parse_book_id(prefix, ids.book_id(prefix, merchant_id=number, seq=seq))


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0000000000000"),
        (1, "0000000000001"),
        (31, "000000000000Z"),
        (32, "0000000000010"),
        (2**63 - 1, "7ZZZZZZZZZZZZ"),
    ],
)
def test_a_number_is_read_from_thirteen_characters(number: int, text: str) -> None:
    assert number == decode_number(text)


NO_NUMBERS = [
    *("", "0", "000000000000", "00000000000000", "8000000000000", "ZZZZZZZZZZZZZ"),
    *("000000000000a", "000000000000I", "000000000000L", "000000000000O", "000000000000U", "000000000000-"),
    *(" 000000000000", "000000000000 ", "000000000000\n", "00000_0000000", "+000000000000", "-000000000000"),
    *("000000000000\u0663", "000000000000\uff11", "\x00000000000000"[:13], "0x00000000000"),
]


@pytest.mark.parametrize("text", NO_NUMBERS, ids=repr)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidId):
        decode_number(text)
    with pytest.raises(InvalidId):
        parse_public_id(ids.MERCHANT, f"mer_{text}")
    with pytest.raises(InvalidId):
        parse_book_id(ids.TRANSFER, f"xfer_{text}00000001")


@pytest.mark.parametrize(
    "text", ["", "mer_", "MER_0000000000001", "key_0000000000001", "0000000000001", " mer_0000000000001"]
)
def test_an_id_of_another_kind_is_refused(text: str) -> None:
    with pytest.raises(InvalidId, match="mer_…"):
        parse_public_id(ids.MERCHANT, text)


@pytest.mark.parametrize(
    "text",
    [
        "xfer_0000000000001",
        "hold_000000000000100000001",
        "xfer_00000000000010000001",
        "xfer_0000000000001000000011",
        "xfer_00000000000010000000i",
        "xfer_0000000000001 0000001",
    ],
)
def test_what_is_no_id_of_a_book_is_refused(text: str) -> None:
    with pytest.raises(InvalidId):
        parse_book_id(ids.TRANSFER, text)
