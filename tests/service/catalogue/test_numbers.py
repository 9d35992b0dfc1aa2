"""Numbers of lists, and the amounts that they become: what is written is meant, to the last digit."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.core.money import AMOUNT_MICROS_MAX
from farebox.core.pricing.rules import PER_MAX
from farebox.service.catalogue.amounts import amount_per
from farebox.service.catalogue.decimals import read_exact, read_number
from farebox.service.catalogue.listed import Inexpressible, Reason


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1.5000000000000002e-07", "0.15"),
        ("9.499999999999999e-07", "0.95"),
        ("2.1429999999999996e-06", "2.143"),
        ("8.900000000000001e-07", "0.89"),
        ("3.0001999999999996e-07", "0.30002"),
        ("1.5e-07", "0.15"),
        ("15", "15000000"),
        ("0.0", "0"),
        ("1.23456789012345e-05", "12.3456789012345"),
        # A shorter decimal is far off: it is 0.025 for 2^20, to the last digit.
        ("2.384185791015625e-08", "0.02384185791015625"),
    ],
)
def test_a_number_is_the_decimal_that_it_means(text: str, meant: str) -> None:
    number = read_number(text)
    assert number is not None
    assert Fraction(Decimal(meant)) == number.micros
    assert number.fraction is None


@given(st.integers(1, 10**15 - 1), st.integers(-20, 3))
def test_any_decimal_of_fewer_than_15_digits_is_read_back_from_its_float(digits: int, exponent: int) -> None:
    written = Decimal(digits).scaleb(exponent)
    if len(written.normalize().as_tuple().digits) < 15:
        number = read_number(repr(float(written)))
        assert number is not None
        assert (Fraction(written) * 1_000_000, None) == (number.micros, number.fraction)


@given(st.integers(1, 999), st.sampled_from((3, 7, 9, 11, 13, 21, 300, 7000)))
def test_a_rest_of_a_division_is_told_as_such(numerator: int, denominator: int) -> None:
    quotient = Fraction(numerator, denominator)
    if (10**12 * quotient).denominator != 1:
        number = read_number(repr(numerator / denominator / 1_000_000))
        assert number is not None
        assert quotient == number.fraction


@pytest.mark.parametrize("text", ["", "x", "-1e-7", "NaN", "Infinity", "1e400", "1e-400", "0x1", "1" * 50])
def test_other_texts_are_no_price(text: str) -> None:
    assert read_number(text) is None


def test_a_number_that_would_fill_the_memory_is_not_computed() -> None:
    assert read_exact("1e999999999") is None


@pytest.mark.parametrize(
    ("micros", "per", "amount", "units"),
    [
        ("0.15", 1_000_000, 150_000, 1_000_000),
        ("0.0000005", 1_000_000, 5, 10_000_000),
        ("0.0839233", 1, 839_233, 10_000_000),
        ("3125/131072", 1, 3_125, 131_072),
        ("1700/3", 1, 1_700, 3),
        ("8/7", 1_000_000, 8_000_000, 7_000_000),
        ("0", 1_000_000, 0, 1_000_000),
    ],
)
def test_an_amount_is_for_powers_of_ten_of_units_if_that_will_do(
    micros: str, per: int, amount: int, units: int
) -> None:
    assert (amount, units) == amount_per("it", Fraction(micros), per)


@given(st.fractions(0, 10**9, max_denominator=10**13), st.sampled_from((1, 1000, 3600, 1_000_000)))
def test_an_amount_is_exactly_the_price_or_there_is_none(micros: Fraction, per: int) -> None:
    if micros.denominator > PER_MAX or micros.numerator > AMOUNT_MICROS_MAX:
        with pytest.raises(Inexpressible) as refused:
            amount_per("it", micros, per)
        assert Reason.TOO_FINE == refused.value.problem.reason
    else:
        amount, units = amount_per("it", micros, per)
        assert Fraction(amount, units) == micros
        assert units <= PER_MAX
        assert amount <= AMOUNT_MICROS_MAX
