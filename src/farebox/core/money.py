"""Exact money: integer micros inside, decimal text at the edge, and the limits everything obeys.

One micro is 10^-6 of the currency's unit, so 1.25 USD is 1_250_000 micros.
"""

from typing import Final

MICROS_PER_UNIT: Final = 1_000_000

AMOUNT_MICROS_MAX: Final = 10**18
"""The largest single amount: 10^12 units. Balances keep below 4 times that, so no sum leaves a signed 64-bit."""

BALANCE_MICROS_MAX: Final = 4 * 10**18
"""The largest magnitude of any account's balance; a signed 64-bit ends at about 9.22 * 10^18."""

_MICROS_PER_CENT: Final = 10_000
_CENTS: Final = tuple(f".{cents:02d}" for cents in range(100))
_RESTS: Final = tuple(f"{rest:04d}".rstrip("0") for rest in range(_MICROS_PER_CENT))
"""What stands behind the first two decimals. Every charge writes three amounts: by a table, in a third of the time."""


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
