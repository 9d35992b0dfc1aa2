"""What a number of a list means, worked out another way than the import does: by the float, and not by its digits."""

import math
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any, Final

_STEPS: Final = 8
_DENOMINATOR_MAX: Final = 10_000


@cache
def dollars(text: str) -> Fraction:
    """Read a price: the shortest decimal within some steps of its float, a simple fraction, or what is written."""
    value = float(text)
    digits = len(Decimal(text).normalize().as_tuple().digits)
    if digits > 15:
        near = next((f"{value:.{count}e}" for count in range(12) if _is_near(float(f"{value:.{count}e}"), value)), None)
        if near is not None:
            return Fraction(Decimal(near))
    if digits >= 15:
        for denominator in range(1, _DENOMINATOR_MAX + 1):
            numerator = round(value * 1_000_000 * denominator)
            if numerator and _is_near(numerator / denominator / 1_000_000, value):
                return Fraction(numerator, denominator * 1_000_000)
    return Fraction(Decimal(text))


def _is_near(one: float, other: float) -> bool:
    return abs(one - other) <= _STEPS * math.ulp(other)


def number(value: Any) -> Fraction:
    """Read a price that may be missing."""
    return Fraction(0) if value is None else dollars(str(value))
