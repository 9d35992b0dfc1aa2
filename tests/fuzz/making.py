"""What inputs are made of: by chance from a seed, most of them nearly right, since those get furthest.

A maker takes a Random and returns an input. Property tests look for examples with Hypothesis, which takes a millisecond
or more for each and makes the one that fails short; a million inputs want makers that take a hundredth of that.
"""

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final, TypeVar

T = TypeVar("T")
Make = Callable[[Random], T]

ODD: Final[tuple[str, ...]] = (
    *("", " ", "\t", "\n", "\r\n", "\x00", "\x1f", "\x7f", "\x85", "\u00a0", "\u200b", "\u2028", "\ufeff", "\u202e"),
    *(
        "\u0663",
        "\uff11",
        "\u00b2",
        "\u0130",
        "\u0131",
        "\u212a",
        "\u00df",
        "\u00e9",
        "e\u0301",
        "\u5317",
        "\U0001f4b0",
    ),
    *("\ud800", "\udcff", "\uffff", "\U0010ffff"),
    *(
        "-",
        "+",
        ".",
        ",",
        ":",
        ";",
        "/",
        "\\",
        "'",
        '"',
        "%",
        "%00",
        "%ff",
        "&",
        "=",
        "?",
        "#",
        "@",
        "[",
        "]",
        "{",
        "}",
    ),
    *("0", "1", "9", "00", "1e5", "NaN", "Infinity", "-0", "0x1", "null", "true", "../", "//", "<b>", "${x}", "' --"),
    *("9" * 20, "1" * 400, "x" * 200, "9223372036854775807", "9223372036854775808", "-9223372036854775809"),
)
"""Pieces that programs stumble over."""

ODD_BYTES: Final[tuple[bytes, ...]] = (
    *(text.encode("utf-8", "surrogatepass") for text in ODD),
    *(b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xe2\x82", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", b"\xff\xfe", b"\x80"),
)

_EDITS_MAX: Final = 3
_CUT_MAX: Final = 4


def just(*values: T) -> Make[T]:
    """Take one of these."""
    return lambda random: random.choice(values)


def one_of(*makers: Make[Any]) -> Make[Any]:
    """Make what one of these makes."""
    return lambda random: random.choice(makers)(random)


def maybe(make: Make[T]) -> Make[T | None]:
    """Make something, or nothing."""
    return lambda random: make(random) if random.random() < 0.7 else None


def several(make: Make[T], at_most: int) -> Make[list[T]]:
    """Make up to so many."""
    return lambda random: [make(random) for _ in range(random.randint(0, at_most))]


def chars(alphabet: Sequence[str], at_most: int, *, at_least: int = 0) -> Make[str]:
    """Make a text of these characters or pieces."""
    return lambda random: "".join(random.choices(alphabet, k=random.randint(at_least, at_most)))


def digits(at_most: int, *, at_least: int = 1) -> Make[str]:
    """Make digits."""
    return chars("0123456789", at_most, at_least=at_least)


def joined(*makers: Make[str]) -> Make[str]:
    """Make a text of parts."""
    return lambda random: "".join(make(random) for make in makers)


def any_text(random: Random) -> str:
    """Make any text: of odd pieces, of all that Unicode has, or of ASCII."""
    match random.randrange(3):
        case 0:
            return "".join(random.choices(ODD, k=random.randint(0, 6)))
        case 1:
            return "".join(chr(random.randrange(0x110000)) for _ in range(random.randint(0, 12)))
    return "".join(chr(random.randrange(128)) for _ in range(random.randint(0, 40)))


def any_bytes(random: Random) -> bytes:
    """Make any bytes."""
    if random.random() < 0.5:
        return random.randbytes(random.randint(0, 40))
    return b"".join(random.choices(ODD_BYTES, k=random.randint(0, 8)))


def edited(make: Make[str]) -> Make[str]:
    """Make a text and spoil it here and there, or leave it as it is."""

    def spoil(random: Random) -> str:
        text = make(random)
        for _ in range(random.randint(0, _EDITS_MAX)):
            start, end = _cut(random, len(text))
            piece = random.choice((random.choice(ODD), text[start:end], text[start:end].swapcase(), ""))
            text = text[:start] + piece + text[end if random.random() < 0.7 else start :]
        return text

    return spoil


def edited_bytes(make: Make[bytes]) -> Make[bytes]:
    """Make bytes and spoil them here and there, or leave them as they are."""

    def spoil(random: Random) -> bytes:
        content = make(random)
        for _ in range(random.randint(0, _EDITS_MAX)):
            start, end = _cut(random, len(content))
            piece = random.choice((random.choice(ODD_BYTES), content[start:end], random.randbytes(1), b""))
            content = content[:start] + piece + content[end if random.random() < 0.7 else start :]
        return content if random.random() < 0.9 else content[: random.randint(0, len(content))]

    return spoil


def _cut(random: Random, length: int) -> tuple[int, int]:
    start = random.randint(0, length)
    return start, random.randint(start, min(length, start + _CUT_MAX))


def json_value(random: Random, depth: int = 3) -> Any:
    """Make any value that JSON can write, and some that it can't."""
    match random.randrange(9 if depth else 7):
        case 0:
            return None
        case 1:
            return random.random() < 0.5
        case 2:
            return random.choice((0, 1, -1, 7, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 10**30))
        case 3:
            return random.choice((0.0, -0.0, 1.0, 1.5, 1e300, float("nan"), float("inf")))
        case 4 | 5 | 6:
            return any_text(random)
        case 7:
            return [json_value(random, depth - 1) for _ in range(random.randint(0, 3))]
    return {any_text(random): json_value(random, depth - 1) for _ in range(random.randint(0, 3))}


def json_object(random: Random, pairs: Sequence[tuple[str, Any]]) -> bytes:
    """Write an object of these pairs, which may repeat a name, in one of the ways in which JSON can be written."""
    colons = random.choice(((":",), (": ",), (":", " :", ": ", "\n:", "\t:\r")))
    is_ascii = random.random() < 0.5
    fields = [
        f"{_name(random, name, is_ascii=is_ascii)}{random.choice(colons)}{json.dumps(value, ensure_ascii=is_ascii)}"
        for name, value in pairs
    ]
    return ("{" + random.choice((",", ", ", "\n,")).join(fields) + "}").encode("utf-8", "surrogatepass")


def _name(random: Random, name: str, *, is_ascii: bool) -> str:
    if name and random.random() < 0.05:
        return '"' + "".join(f"\\u{ord(char):04x}" if ord(char) < 0x10000 else char for char in name) + '"'
    return json.dumps(name, ensure_ascii=is_ascii)
