"""How amounts are read and written: exactly, or not at all."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.core.money import (
    AMOUNT_MICROS_MAX,
    BALANCE_MICROS_MAX,
    InvalidAmount,
    divide_rounding_half_up,
    format_amount,
    parse_amount,
    parse_positive_amount,
)

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


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "0.00"),
        (1, "0.000001"),
        (10, "0.00001"),
        (100_000, "0.10"),
        (120_000, "0.12"),
        (123_000, "0.123"),
        (1_000_000, "1.00"),
        (1_250_750_000, "1250.75"),
        (12_345_600, "12.3456"),
        (-1, "-0.000001"),
        (-500_000, "-0.50"),
        (-12_345_600, "-12.3456"),
        (AMOUNT_MICROS_MAX, "1000000000000.00"),
        (-BALANCE_MICROS_MAX, "-4000000000000.00"),
    ],
)
def test_an_amount_is_written_with_two_to_six_decimals(micros: int, text: str) -> None:
    assert text == format_amount(micros)


@given(st.integers(0, AMOUNT_MICROS_MAX))
def test_what_was_written_is_read_back(micros: int) -> None:
    assert micros == parse_amount(format_amount(micros))


@given(st.integers(-BALANCE_MICROS_MAX, BALANCE_MICROS_MAX))
def test_every_balance_is_written_as_clients_read_it(micros: int) -> None:
    """Exact, a sign only if negative, two to six decimals, no zeros after the second that could be left out."""
    text = format_amount(micros)
    assert re.fullmatch(r"-?(0|[1-9][0-9]*)\.[0-9]{2}([0-9]{0,3}[1-9])?", text)
    assert text.startswith("-") is (micros < 0)
    assert abs(micros) == int(text.lstrip("-").replace(".", "").ljust(len(text.lstrip("-").partition(".")[0]) + 6, "0"))


@given(st.text(st.sampled_from("0123456789.-+eE, \n\u0663\uff11"), max_size=24))
def test_whatever_is_read_is_digits_and_at_most_one_point(text: str) -> None:
    try:
        micros = parse_amount(text)
    except InvalidAmount:
        return
    assert re.fullmatch(r"[0-9]{1,13}(\.[0-9]{1,6})?", text, re.ASCII)
    assert 0 <= micros <= AMOUNT_MICROS_MAX


@pytest.mark.parametrize(
    ("dividend", "divisor", "quotient"),
    [
        (0, 3, 0),
        (4, 3, 1),
        (5, 3, 2),
        (5, 2, 3),
        (-5, 2, -3),
        (-4, 3, -1),
        (-5, 3, -2),
        (7, 1, 7),
        (10**30 + 1, 2, 5 * 10**29 + 1),
    ],
)
def test_a_quotient_is_rounded_half_away_from_zero(dividend: int, divisor: int, quotient: int) -> None:
    assert quotient == divide_rounding_half_up(dividend, divisor)


@given(st.integers(-(10**20), 10**20), st.integers(1, 10**9))
def test_a_rounded_quotient_is_never_off_by_more_than_half(dividend: int, divisor: int) -> None:
    assert abs(2 * (divide_rounding_half_up(dividend, divisor) * divisor - dividend)) <= divisor
