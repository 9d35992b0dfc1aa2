"""How amounts are written, and divided for averages: exactly."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.core.money import (
    AMOUNT_MICROS_MAX,
    BALANCE_MICROS_MAX,
    divide_rounding_half_up,
    format_amount,
)


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


@given(st.integers(-BALANCE_MICROS_MAX, BALANCE_MICROS_MAX))
def test_every_balance_is_written_as_clients_read_it(micros: int) -> None:
    """Exact, a sign only if negative, two to six decimals, no zeros after the second that could be left out."""
    text = format_amount(micros)
    assert re.fullmatch(r"-?(0|[1-9][0-9]*)\.[0-9]{2}([0-9]{0,3}[1-9])?", text)
    assert text.startswith("-") is (micros < 0)
    assert abs(micros) == int(text.lstrip("-").replace(".", "").ljust(len(text.lstrip("-").partition(".")[0]) + 6, "0"))


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
