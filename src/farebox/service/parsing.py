"""Amounts and ids, read from text: what `core.money.format_amount` and `core.ids` write is read back here.

The ledger's own rules, in core, take and give numbers alone; texts end here.
"""

import re
from functools import lru_cache
from typing import Final

from farebox.core import ids
from farebox.core.money import AMOUNT_MICROS_MAX, MICROS_PER_UNIT, format_amount

_AMOUNT: Final = re.compile(r"([0-9]{1,13})(?:\.([0-9]{1,6}))?", re.ASCII)
_AMOUNT_CHARS_MAX: Final = 20
_FRACTION_DIGITS: Final = 6
_LARGEST: Final = format_amount(AMOUNT_MICROS_MAX)
_BASE32: Final = re.compile(f"[{ids.ALPHABET}]+", re.ASCII)
_KEPT_MAX: Final = 16_384
"""Few merchants make most requests, so what their ids come to is kept."""
_PYTHON_DIGITS: Final = str.maketrans(ids.ALPHABET, "0123456789abcdefghijklmnopqrstuv")


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
        raise InvalidAmount(f"{_shown(text)} is above the largest amount, {_LARGEST}")
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


class InvalidId(ValueError):
    """The text is not an id of the expected kind."""


def parse_public_id(prefix: str, text: str) -> int:
    """Read the number out of an id that `public_id` wrote.

    Raises:
        InvalidId: another prefix, length, character or case, or a number beyond 63 bits.
    """
    if not text.startswith(prefix) or len(text) != len(prefix) + ids.NUMBER_CHARS:
        raise InvalidId(f"not an id of the form {prefix}…")
    return decode_number(text[len(prefix) :])


def parse_book_id(prefix: str, text: str) -> tuple[int, int]:
    """Read the merchant's number and the number within its book out of an id that `book_id` wrote.

    Raises:
        InvalidId: another prefix, length, character or case, or a number beyond 63 bits.
    """
    if not text.startswith(prefix) or len(text) != len(prefix) + ids.NUMBER_CHARS + ids.SEQ_CHARS:
        raise InvalidId(f"not an id of the form {prefix}…")
    digits = text[len(prefix) :]
    return decode_number(digits[: ids.NUMBER_CHARS]), _decode(digits[ids.NUMBER_CHARS :])


@lru_cache(maxsize=_KEPT_MAX)
def decode_number(text: str) -> int:
    """Read 13 base32 characters back.

    Raises:
        InvalidId: another length, a character outside the alphabet (lower case included), or more than 63 bits.
    """
    if len(text) != ids.NUMBER_CHARS:
        raise InvalidId("not 13 characters")
    number = _decode(text)
    if number > ids.NUMBER_MAX:
        raise InvalidId("beyond 63 bits")
    return number


def _decode(text: str) -> int:
    if not _BASE32.fullmatch(text):
        raise InvalidId("a character outside Crockford's base32, in upper case")
    return int(text.translate(_PYTHON_DIGITS), 32)


def _shown(text: str) -> str:
    return repr(text if len(text) <= _AMOUNT_CHARS_MAX else text[:_AMOUNT_CHARS_MAX] + "…")
