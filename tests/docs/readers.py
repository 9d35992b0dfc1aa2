"""What reads a page's JSON and TOML: Farebox's own readers, each for what they take for theirs."""

import json
import tomllib
from collections.abc import Callable
from typing import Any, Final

from farebox.config import Settings
from farebox.service.catalogue.own import read_own
from farebox.service.gate.files import read_rules
from farebox.service.price_texts import read_rule

_ENVELOPE: Final = {"isSuccess", "statusCode", "errorMessage", "data"}


def read(language: str, text: str) -> None:
    """Read a block as the part of Farebox that it is for.

    Raises:
        Exception: It is not written as that part wants it; the message says what is wrong.
    """
    if language == "toml":
        _reader_of(tomllib.loads(text), text)
        return
    for document in _documents(text):
        _reader_of(document, text)


def _documents(text: str) -> list[Any]:
    """Return a block's documents: one, or one on each line."""
    try:
        return [json.loads(text)]
    except ValueError:
        return [json.loads(line) for line in text.splitlines() if line.strip()]


def _reader_of(value: Any, text: str) -> None:
    if not isinstance(value, dict):
        raise TypeError("nothing of Farebox reads it: say what it is in a comment above")
    readers: list[tuple[bool, Callable[[], object]]] = [
        ("route" in value, lambda: read_rules(text)),
        ("lines" in value or "base" in value, lambda: read_rule("rule", value)),
        (isinstance(value.get("rule"), dict) and "type" in value, lambda: read_rule("rule", value["rule"])),
        (value.keys() <= set(Settings.__struct_fields__), lambda: Settings.of(**value)),
        (value.keys() >= _ENVELOPE, lambda: None),
        (all(isinstance(each, (dict, list)) for each in value.values()), lambda: list(read_own(value))),
    ]
    for is_its, read_it in readers:
        if is_its:
            read_it()
            return
    raise TypeError("nothing of Farebox reads it: say what it is in a comment above")
