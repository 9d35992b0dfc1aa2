"""Amounts as people type them: as pages print them, too; and what is no amount is told in plain words.

Programs write amounts as `inputs.amount` takes them.
"""

import re
from typing import Final

from farebox.core import money
from farebox.core.currencies import format_money
from farebox.service.errors import InvalidInput

_SPACES: Final = r"\s\u00a0\u2007\u2009\u202f"
_APOSTROPHES: Final = "'\u2019"
_MINUSES: Final = "-\u2212\u2013"
_GROUPED: Final = re.compile(
    rf"\d{{1,3}}(?:([,{_APOSTROPHES}{_SPACES}])\d{{3}}(?:\1\d{{3}})*)?(?:\.\d*)?|\d+(?:\.\d*)?|\.\d+", re.ASCII
)
"""Digits, their thousands apart by the same sign throughout or not at all, a point and decimals."""

_TWO_MEANINGS: Final = re.compile(r"\d{1,3},\d{3}", re.ASCII)
"""A thousand and some, or with other countries' decimal comma one and some thousandths."""

_SEPARATORS: Final = re.compile(rf"[,{_APOSTROPHES}{_SPACES}]")
_DECIMAL_COMMA: Final = re.compile(rf"(?:\d{{1,3}}(?:[.{_APOSTROPHES}{_SPACES}]\d{{3}})+|\d+),\d+", re.ASCII)
_SEVERAL: Final = re.compile(rf"\d[\d.,]*(?:[,;]?[{_SPACES}]+|;)\d[\d.,]*.*", re.ASCII)
_CODE: Final = re.compile(r"[A-Za-z]{3}", re.ASCII)
_DIGITS: Final = re.compile(r"[^A-Za-z]*\d[^A-Za-z]*", re.ASCII)
_DECIMALS_MAX: Final = 6
_SHOWN_CHARS_MAX: Final = 40


def typed_amount(
    field: str,
    text: str,
    currency: str,
    *,
    is_zero_allowed: bool = False,
    is_minus_allowed: bool = False,
    is_shown_first: bool = True,
) -> str:
    """Read an amount as it was typed, and return it as the services take amounts.

    Args:
        field: the form's name of the field.
        text: what it holds: 1234.5, or as pages print it, such as "+1,234.50 USD".
        currency: the account's; empty where any is meant.
        is_zero_allowed: whether nothing is an amount too.
        is_minus_allowed: whether it may be below nothing.
        is_shown_first: whether it is shown as it was read before anything is done; if not, 1,250 is not guessed at.

    Raises:
        InvalidInput: it is no amount; the message says what would be right.
    """
    digits = _without_currency(field, text.strip(), currency).removeprefix("+").strip()
    if not digits:
        raise InvalidInput(field, "Write an amount, such as 12.50.")
    sign = ""
    if digits[0] in _MINUSES and _GROUPED.fullmatch(digits[1:].strip()):
        if not is_minus_allowed:
            raise InvalidInput(field, "Write the amount without a minus.")
        sign, digits = "-", digits[1:].strip()
    if not _GROUPED.fullmatch(digits):
        raise InvalidInput(field, _what_is_wrong(digits))
    if not is_shown_first and _TWO_MEANINGS.fullmatch(digits):
        raise InvalidInput(
            field, f"{digits} can be read in two ways; write {digits.replace(',', '')} or {digits.replace(',', '.')}."
        )
    whole, _, decimals = _SEPARATORS.sub("", digits).partition(".")
    whole, decimals = whole.lstrip("0") or "0", decimals.rstrip("0")
    if len(decimals) > _DECIMALS_MAX:
        raise InvalidInput(field, "An amount has six decimals at most.")
    if len(whole) > len(str(money.AMOUNT_MICROS_MAX)) or _micros(whole, decimals) > money.AMOUNT_MICROS_MAX:
        largest = " ".join(filter(None, (format_money(money.AMOUNT_MICROS_MAX, currency), currency)))
        raise InvalidInput(field, f"The largest amount is {largest}.")
    if not is_zero_allowed and _micros(whole, decimals) == 0:
        raise InvalidInput(field, "The amount must be more than 0.")
    return f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}"


def _micros(whole: str, decimals: str) -> int:
    return int(whole) * money.MICROS_PER_UNIT + int(decimals.ljust(_DECIMALS_MAX, "0"))


def _without_currency(field: str, text: str, currency: str) -> str:
    """Leave the currency's code out, before or behind the digits.

    Raises:
        InvalidInput: it is another one's.
    """
    for code, rest in ((text[:3], text[3:]), (text[-3:], text[:-3])):
        if _CODE.fullmatch(code) and _DIGITS.fullmatch(rest):
            if currency and code.upper() != currency:
                raise InvalidInput(field, f"This account is in {currency}, not in {code.upper()}.")
            return rest.strip()
    return text


def _what_is_wrong(text: str) -> str:
    shown = text if len(text) <= _SHOWN_CHARS_MAX else f"{text[:_SHOWN_CHARS_MAX]}…"
    if _DECIMAL_COMMA.fullmatch(text):
        return f"Write the decimals of {shown} after a point, as in 1,234.50."
    if _SEVERAL.fullmatch(text):
        return f"“{shown}” looks like several amounts; write one, such as 12.50."
    return f"“{shown}” is not an amount; write one such as 12.50."
