"""Numbers of price lists, read exactly: what a JSON number says, and not the float that a program makes of it.

A float holds any decimal of 15 digits, so a number of fewer is what is written. Programs that write lists compute in
floats, so that a list says 1.5000000000000002e-07 where 0.15 for a million is meant: a number of more than 15 digits is
the shortest decimal within a 10^15th part of it, if that has 12 digits at most. A number of 15 digits or more that is a
fraction of small numbers, such as 0.0005666666666666667, is a *rest*: 17/30000 is meant, but the list does not say so.
All others are what is written, such as 2.384185791015625e-08, which is exactly 0.025 for 2^20.
"""

from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from fractions import Fraction
from typing import Final

from msgspec import Struct

from farebox.core.money import MICROS_PER_UNIT

_DIGITS_KEPT: Final = 15
"""A decimal of so many digits comes back from a float as it was."""

_DIGITS_MEANT: Final = 12
_CLOSE: Final = Decimal("1e-15")
_DENOMINATOR_MAX: Final = 10_000
_CHARS_MAX: Final = 40
_EXPONENT_MAX: Final = 30


class Number(Struct, frozen=True):
    """A number of a list, in micros: what it says, and the fraction that it is a rest of, if it is one."""

    text: str
    micros: Fraction
    fraction: Fraction | None = None


def read_number(text: str) -> Number | None:
    """Read a number as it is written in JSON; None if it is none, or is below zero.

    >>> read_number("1.5000000000000002e-07").micros
    Fraction(3, 20)
    >>> read_number("0.0005666666666666667").fraction
    Fraction(1700, 3)
    """
    written = _decimal(text)
    if written is None or written < 0:
        return None
    shortened = written.normalize()
    digits = len(shortened.as_tuple().digits)
    for count in range(1, _DIGITS_MEANT + 1) if digits > _DIGITS_KEPT else ():
        shorter = Context(prec=count, rounding=ROUND_HALF_EVEN).plus(written)
        if abs(shorter - written) <= written * _CLOSE:
            return Number(text, _micros(shorter))
    micros = _micros(written)
    if digits < _DIGITS_KEPT:
        return Number(text, micros)
    last_digit = _micros(Decimal((0, (1,), int(shortened.as_tuple().exponent))))
    simple = micros.limit_denominator(_DENOMINATOR_MAX)
    is_rest = abs(simple - micros) <= max(last_digit, micros * Fraction(_CLOSE))
    return Number(text, micros, simple if is_rest else None)


def read_exact(value: object) -> Fraction | None:
    """Read a number that is no price as it is written; None if it is none, or too large or small to compute with."""
    written = _decimal(value) if isinstance(value, str) else None
    return None if written is None else Fraction(written)


def _micros(value: Decimal) -> Fraction:
    return Fraction(value) * MICROS_PER_UNIT


def _decimal(text: str) -> Decimal | None:
    if len(text) > _CHARS_MAX:
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    # Beyond these bounds a fraction of it would take more memory than a price is worth.
    is_usable = value.is_finite() and abs(value.adjusted()) <= _EXPONENT_MAX
    return value if is_usable else None
