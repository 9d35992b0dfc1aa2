"""Amounts as people type them: as pages print them, too; and what is no amount is told in plain words.

In English a comma parts thousands and a point decimals. In other languages either may, as in 1.250,75 and 1,250.75;
what has two meanings, such as 1.250, is refused and never guessed at. Fields are filled so that they are read as they
were meant: without signs between thousands, and never with three decimals.

Programs write amounts as `inputs.amount` takes them.
"""

import re
from typing import Final

from farebox.core import money
from farebox.core.currencies import format_money
from farebox.service.errors import InvalidInput
from farebox.service.languages import ENGLISH, Language, gettext_noop

_SPACES: Final = r"\s\u00a0\u2007\u2009\u202f"
_APOSTROPHES: Final = "'\u2019"
_MINUSES: Final = "-\u2212\u2013"
_GROUPED: Final = re.compile(
    rf"\d{{1,3}}(?:([,{_APOSTROPHES}{_SPACES}])\d{{3}}(?:\1\d{{3}})*)?(?:\.\d*)?|\d+(?:\.\d*)?|\.\d+", re.ASCII
)
"""Digits, their thousands apart by the same sign throughout or not at all, a point and decimals."""

_TWO_MEANINGS: Final = re.compile(r"\d{1,3},\d{3}", re.ASCII)
"""A thousand and some, or with other countries' decimal comma one and some thousandths."""

_UNCLEAR: Final = re.compile(r"([1-9]\d{0,2})[.,](\d{3})", re.ASCII)
"""The same, where a point may part thousands, too."""

_EITHER_SIGN: Final = re.compile(
    rf"(?P<whole>[1-9]\d{{0,2}}(?P<group>[.,{_APOSTROPHES}{_SPACES}])\d{{3}}(?:(?P=group)\d{{3}})*|\d*)"
    r"(?:(?P<sign>[.,])(?P<decimals>\d*))?",
    re.ASCII,
)
"""Digits, their thousands apart by the same sign or not at all, and decimals after a point or a comma."""

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
    spoken: Language = ENGLISH,
) -> str:
    """Read an amount as it was typed, and return it as the services take amounts.

    Args:
        field: the form's name of the field.
        text: what it holds: 1234.5, or as pages print it, such as "+1,234.50 USD".
        currency: the account's; empty where any is meant.
        is_zero_allowed: whether nothing is an amount too.
        is_minus_allowed: whether it may be below nothing.
        is_shown_first: whether it is shown as it was read before anything is done; if not, 1,250 is not guessed at.
        spoken: the language of the page that it was typed on, and of what is told.

    Raises:
        InvalidInput: it is no amount; the message says what would be right.
    """
    digits = _without_currency(field, text.strip(), currency, spoken).removeprefix("+").strip()
    if not digits:
        raise InvalidInput(field, spoken.gettext("Write an amount, such as 12.50."))
    sign = ""
    if digits[0] in _MINUSES and _reads(digits[1:].strip(), spoken):
        if not is_minus_allowed:
            raise InvalidInput(field, spoken.gettext("Write the amount without a minus."))
        sign, digits = "-", digits[1:].strip()
    if spoken.code != ENGLISH.code:
        digits = _with_point(field, digits, spoken)
    if not _GROUPED.fullmatch(digits):
        raise InvalidInput(field, _what_is_wrong(digits, spoken))
    if not is_shown_first and _TWO_MEANINGS.fullmatch(digits):
        raise InvalidInput(
            field, f"{digits} can be read in two ways; write {digits.replace(',', '')} or {digits.replace(',', '.')}."
        )
    whole, _, decimals = _SEPARATORS.sub("", digits).partition(".")
    whole, decimals = whole.lstrip("0") or "0", decimals.rstrip("0")
    if len(decimals) > _DECIMALS_MAX:
        raise InvalidInput(field, spoken.gettext("An amount has six decimals at most."))
    if len(whole) > len(str(money.AMOUNT_MICROS_MAX)) or _micros(whole, decimals) > money.AMOUNT_MICROS_MAX:
        largest = spoken.money(money.AMOUNT_MICROS_MAX, currency).strip()
        raise InvalidInput(field, spoken.gettext("The largest amount is %(amount)s.", amount=largest))
    if not is_zero_allowed and _micros(whole, decimals) == 0:
        raise InvalidInput(field, spoken.gettext("The amount must be more than 0."))
    return f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}"


def amount_to_type(micros: int, currency: str, spoken: Language = ENGLISH) -> str:
    """Write an amount into a field, so that it is read as it is."""
    if spoken.code == ENGLISH.code:
        return format_money(micros, currency)
    whole, _, decimals = format_money(micros, currency).replace(",", "").partition(".")
    # Three digits after a sign could be thousands.
    decimals += "0" if len(decimals) == 3 else ""
    return f"{whole}{spoken.decimal_sign}{decimals}" if decimals else whole


def _reads(digits: str, spoken: Language) -> bool:
    """Tell whether digits are an amount, or would be one but for its two meanings."""
    return (_GROUPED if spoken.code == ENGLISH.code else _EITHER_SIGN).fullmatch(digits) is not None


def _with_point(field: str, digits: str, spoken: Language) -> str:
    """Write digits that were typed in a language other than English with a point alone, before the decimals.

    Text that is no amount stays as it is.

    Raises:
        InvalidInput: they have two meanings.
    """
    if unclear := _UNCLEAR.fullmatch(digits):
        whole, rest = unclear.groups()
        large, small = f"{whole}{rest}", f"{whole}{spoken.decimal_sign}{rest}0"
        words = gettext_noop("%(amount)s can be read in two ways; write %(large)s or %(small)s.")
        raise InvalidInput(field, spoken.gettext(words, amount=digits, large=large, small=small))
    read = _EITHER_SIGN.fullmatch(digits)
    if read is None or not (read["whole"] or read["decimals"]) or (read["group"] and read["group"] == read["sign"]):
        return digits
    whole = re.sub(r"\D", "", read["whole"])
    return f"{whole}.{read['decimals']}" if read["sign"] else whole


def _micros(whole: str, decimals: str) -> int:
    return int(whole) * money.MICROS_PER_UNIT + int(decimals.ljust(_DECIMALS_MAX, "0"))


def _without_currency(field: str, text: str, currency: str, spoken: Language) -> str:
    """Leave the currency's code out, before or behind the digits.

    Raises:
        InvalidInput: it is another one's.
    """
    for code, rest in ((text[:3], text[3:]), (text[-3:], text[:-3])):
        if _CODE.fullmatch(code) and _DIGITS.fullmatch(rest):
            if currency and code.upper() != currency:
                raise InvalidInput(
                    field,
                    spoken.gettext(
                        "This account is in %(currency)s, not in %(other)s.", currency=currency, other=code.upper()
                    ),
                )
            return rest.strip()
    return text


def _what_is_wrong(text: str, spoken: Language) -> str:
    shown = text if len(text) <= _SHOWN_CHARS_MAX else f"{text[:_SHOWN_CHARS_MAX]}…"
    if spoken.code == ENGLISH.code and _DECIMAL_COMMA.fullmatch(text):
        return f"Write the decimals of {shown} after a point, as in 1,234.50."
    if _SEVERAL.fullmatch(text):
        return spoken.gettext("“%(text)s” looks like several amounts; write one, such as 12.50.", text=shown)
    return spoken.gettext("“%(text)s” is not an amount; write one such as 12.50.", text=shown)
