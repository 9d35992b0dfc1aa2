"""Files of price lists as plain values: JSON whose numbers stay the text that was written, and TOML."""

import json
import tomllib
from collections import Counter
from collections.abc import Mapping
from typing import Final, cast

from farebox.service.errors import InvalidInput

FILE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Ten times what the largest known list has."""

_BLANK: Final = b"\xef\xbb\xbf \t\r\n"


def read_json(data: bytes, field: str = "FILE") -> object:
    """Read JSON with every number as the text that it is written as, so that none passes through a float.

    Raises:
        InvalidInput: it is no JSON, or an object has one name twice, of which a program would take either.
    """
    _check_size(data, field)
    try:
        values = json.loads(
            data.decode("utf-8-sig"),
            parse_float=str,
            parse_int=str,
            parse_constant=_refuse_constant,
            object_pairs_hook=_members,
        )
        if b"\\ud" in data.lower():
            # An escape of half a character, which nothing can be written with.
            json.dumps(values, ensure_ascii=False).encode()
        return cast(object, values)
    except InvalidInput:
        raise
    except (ValueError, RecursionError) as error:
        raise InvalidInput(field, f"this is no JSON: {error}") from error


def read_file(data: bytes) -> object:
    """Read a file of Farebox's own format: JSON, which begins with a brace, or else TOML.

    Raises:
        InvalidInput: it is no JSON or TOML.
    """
    _check_size(data, "FILE")
    is_json = data.lstrip(_BLANK).startswith(b"{")
    try:
        text = data.decode("utf-8-sig")
        if not is_json:
            return tomllib.loads(text)
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_members)
    except InvalidInput:
        raise
    except (ValueError, RecursionError) as error:
        raise InvalidInput("FILE", f"this is no {'JSON' if is_json else 'TOML'}: {error}") from error


def _check_size(data: bytes, field: str) -> None:
    if len(data) > FILE_BYTES_MAX:
        raise InvalidInput(field, f"this has {len(data):,} bytes; a list has {FILE_BYTES_MAX:,} at most")


def _refuse_constant(text: str) -> object:
    raise InvalidInput("FILE", f"{text} is no number of JSON")


def _members(pairs: list[tuple[str, object]]) -> Mapping[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise InvalidInput("FILE", f"{twice[:80]!r} stands twice in one object; only one of the two can be meant")
    return members
