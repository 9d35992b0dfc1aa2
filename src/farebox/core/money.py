"""Exact money: integer micros inside, decimal text at the edge, and the limits everything obeys.

One micro is 10^-6 of the currency's unit, so 1.25 USD is 1_250_000 micros.
"""

import re
from typing import Final

MICROS_PER_UNIT: Final = 1_000_000

AMOUNT_MICROS_MAX: Final = 10**18
"""The largest single amount: 10^12 units. Balances keep below 4 times that, so no sum leaves a signed 64-bit."""

BALANCE_MICROS_MAX: Final = 4 * 10**18
"""The largest magnitude of any account's balance; a signed 64-bit ends at about 9.22 * 10^18."""

_AMOUNT: Final = re.compile(r"([0-9]{1,13})(?:\.([0-9]{1,6}))?", re.ASCII)
_AMOUNT_CHARS_MAX: Final = 20
_FRACTION_DIGITS: Final = 6
_MICROS_PER_CENT: Final = 10_000
_CENTS: Final = tuple(f".{cents:02d}" for cents in range(100))
_RESTS: Final = tuple(f"{rest:04d}".rstrip("0") for rest in range(_MICROS_PER_CENT))
"""What stands behind the first two decimals. Every charge writes three amounts: by a table, in a third of the time."""


class InvalidAmount(ValueError):
    """The text is not an amount: a plain decimal such as "12.50", at most six decimals, no sign or exponent."""


def parse_amount(text: str) -> int:
    """Read a non-negative decimal such as "12.5" and return micros, exactly.

    Args:
        text: 1 to 13 digits, optionally a point and 1 to 6 digits; nothing before, between or after.

    Raises:
        InvalidAmount: any other text, or an amount above AMOUNT_MICROS_MAX; the message says what would be right.
    """
    match = _AMOUNT.fullmatch(text) if len(text) <= _AMOUNT_CHARS_MAX else None
    if match is None:
        raise InvalidAmount(
            f"{_shown(text)} is not an amount; write a plain decimal such as 12.50, with at most six decimals"
        )
    units, fraction = match.groups()
    micros = int(units) * MICROS_PER_UNIT
    if fraction is not None:
        micros += int(fraction.ljust(_FRACTION_DIGITS, "0"))
    if micros > AMOUNT_MICROS_MAX:
        raise InvalidAmount(f"{_shown(text)} is above the largest amount, {format_amount(AMOUNT_MICROS_MAX)}")
    return micros


def parse_positive_amount(text: str) -> int:
    """Read an amount as `parse_amount` does and refuse zero.

    Raises:
        InvalidAmount: not an amount, or not more than zero.
    """
    micros = parse_amount(text)
    if micros == 0:
        raise InvalidAmount("the amount must be more than 0")
    return micros


def format_amount(micros: int) -> str:
    """Write micros as the plain decimal that clients parse: exact, at least two decimals, `-` if negative.

    >>> format_amount(1_250_750_000), format_amount(0), format_amount(-12_345_600)
    ('1250.75', '0.00', '-12.3456')
    """
    if micros < 0:
        return f"-{format_amount(-micros)}"
    cents, rest = divmod(micros, _MICROS_PER_CENT)
    return f"{cents // 100}{_CENTS[cents % 100]}{_RESTS[rest]}"


def divide_rounding_half_up(dividend: int, divisor: int) -> int:
    """Divide two integers and round the exact quotient half away from zero; for averages shown to people.

    Nothing in the ledger itself divides: a cost is a product. The divisor must be positive.

    >>> divide_rounding_half_up(5, 2), divide_rounding_half_up(-5, 2), divide_rounding_half_up(4, 3)
    (3, -3, 1)
    """
    magnitude = (2 * abs(dividend) + divisor) // (2 * divisor)
    return magnitude if dividend >= 0 else -magnitude


def _shown(text: str) -> str:
    return repr(text if len(text) <= _AMOUNT_CHARS_MAX else text[:_AMOUNT_CHARS_MAX] + "…")
