"""A markup, and a choice of names, as people write them."""

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Final

from farebox.service.errors import InvalidInput

_MARKUP: Final = re.compile(r"([+-]?)\s?([0-9]{1,6}(?:\.[0-9]{1,6})?)\s?%", re.ASCII)
_HUNDRED: Final = 100
_FILTER_CHARS_MAX: Final = 200


def read_markup(field: str, text: str) -> Fraction:
    """Read how many times as much everything is to cost: +20 % is 6/5, -5% is 19/20.

    Raises:
        InvalidInput: it is no percentage, or leaves nothing of a price.
    """
    found = _MARKUP.fullmatch(text.strip())
    if found is None:
        raise InvalidInput(field, f"{text[:20]!r} is no markup; write one such as +20% or -5%")
    share = Fraction(found[2]) / _HUNDRED
    factor = 1 - share if found[1] == "-" else 1 + share
    if factor <= 0:
        raise InvalidInput(field, f"{text[:20]!r} leaves nothing of a price")
    return factor


def read_filter(field: str, text: str) -> Callable[[str], bool]:
    """Read which names are meant: a pattern such as `gpt-*`, or a regular expression between slashes.

    `*` stands for any characters, `?` for one; all else, brackets too, for itself. A regular expression may match
    anywhere in a name.

    Raises:
        InvalidInput: it is too long, or no regular expression.
    """
    if not text or len(text) > _FILTER_CHARS_MAX:
        raise InvalidInput(field, f"write a pattern of 1 to {_FILTER_CHARS_MAX} characters, such as gpt-*")
    if len(text) > 1 and text.startswith("/") and text.endswith("/"):
        try:
            expression = re.compile(text[1:-1])
        except (re.error, OverflowError) as error:
            raise InvalidInput(field, f"this is no regular expression: {error}") from error
        return lambda name: expression.search(name) is not None
    pattern = re.compile("".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in text), re.DOTALL)
    return lambda name: pattern.fullmatch(name) is not None
