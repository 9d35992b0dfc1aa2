"""Which passwords may be chosen: long ones that nobody would try first.

How soon a password would be guessed is estimated by zxcvbn, from lists of passwords and words that were ever leaked or
published, and from the person's own name and address. It is loaded when the first password is chosen: its lists take
15 MB, which a server where nobody chooses a password need not keep.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from farebox.service.errors import InvalidInput

CHARS_MIN: Final = 10
CHARS_MAX: Final = 200

SCORE_MIN: Final = 3
"""zxcvbn's "safely unguessable": more than a hundred million guesses."""

ESTIMATED_CHARS_MAX: Final = 50
"""How much of a password is estimated, as that takes ever longer: what begins with this much is strong if this is."""

SPELLINGS_MAX: Final = 8
"""In how many ways the symbols of a password are read as characters; each way is looked up in every list."""

_CHARS_APART_MIN: Final = 5
_INPUT_CHARS_MAX: Final = 100
_NEUTRAL: Final = "\x00"
"""A character that is read as no other."""

_WORD: Final = re.compile(r"[^\W_]+")


def check_strength(field: str, password: str, *, email: str, name: str) -> None:
    """Check that a password is one to choose.

    It takes up to a tenth of a second: not for the event loop.

    Args:
        field: where it was typed.
        password: what was typed.
        email: whose password it is to be, which others know.
        name: what they are called, which others know as well.

    Raises:
        InvalidInput: saying what would be right.
    """
    if not CHARS_MIN <= len(password) <= CHARS_MAX:
        raise InvalidInput(field, f"A password has {CHARS_MIN} to {CHARS_MAX} characters")
    plain = password.casefold()
    if len(set(plain)) < _CHARS_APART_MIN:
        raise InvalidInput(field, f"Use at least {_CHARS_APART_MIN} different characters")
    local_part = email.partition("@")[0].casefold()
    is_address = plain in email.casefold()
    is_name = bool(local_part) and local_part in plain and len(plain) - len(local_part) < CHARS_MIN // 2
    if is_address or is_name:
        raise InvalidInput(field, "A password that resembles your address is the first that others try")
    estimate = _estimate(password, known={"farebox", *_words_of(email), *_words_of(name)})
    if estimate["score"] >= SCORE_MIN:
        return
    if any(match.get("dictionary_name") == "user_inputs" for match in estimate["sequence"]):
        raise InvalidInput(field, "A password that resembles your name or address is among the first that others try")
    raise InvalidInput(field, "That is one of the passwords that others try first; add a few words of your own")


def _estimate(password: str, *, known: set[str]) -> Mapping[str, Any]:
    from zxcvbn import zxcvbn

    return zxcvbn(_readable(password[:ESTIMATED_CHARS_MAX]), user_inputs=sorted(known))


def _words_of(text: str) -> Iterator[str]:
    """Give a name or an address as a whole, each of its words, and all of them in one."""
    short = text[:_INPUT_CHARS_MAX].casefold()
    words = _WORD.findall(short)
    yield from (short, "".join(words), *words)


def _readable(password: str) -> str:
    """Blank symbols out where too many could be read as the same character.

    zxcvbn reads symbols as characters, such as 4 or @ as an a, in every combination: a password of fifty symbols would
    take it seconds. A character that is written with several symbols is read from the first of them alone.
    """
    from zxcvbn.matching import L33T_TABLE

    # For each character, the symbols of this password that are read as it, in the order of their coming.
    symbols = [[symbol for symbol in dict.fromkeys(password) if symbol in table] for table in L33T_TABLE.values()]
    if math.prod(max(len(several), 1) for several in symbols) <= SPELLINGS_MAX:
        return password
    surplus = {symbol for several in symbols for symbol in several[1:]}
    return "".join(_NEUTRAL if char in surplus else char for char in password)
