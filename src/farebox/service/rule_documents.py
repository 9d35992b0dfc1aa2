"""Rules as people write them down: a document in JSON, which begins with a brace, or else in TOML."""

import json
import tomllib
from typing import Any, Final

from farebox.core.pricing.rules import Rule
from farebox.service.errors import InvalidInput
from farebox.service.plain_values import shown
from farebox.service.price_texts import read_rule

DOCUMENT_CHARS_MAX: Final = 60_000


def parse_rule(field: str, text: str) -> Rule:
    """Read a rule out of a document.

    Raises:
        InvalidInput: it is no JSON or TOML, or no rule.
    """
    if len(text) > DOCUMENT_CHARS_MAX:
        raise InvalidInput(field, f"this has {len(text):,} characters; a rule has {DOCUMENT_CHARS_MAX:,} at most")
    if not text.strip():
        raise InvalidInput(field, "this is empty; write a rule in JSON or TOML")
    try:
        if text.lstrip().startswith("{"):
            value = json.loads(text, object_pairs_hook=_without_repetition)
        else:
            value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(field, f"this is no TOML, nor JSON, which begins with a brace: {error}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInput(field, f"this is no JSON: {error}") from error
    return read_rule(field, value)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{shown(repeated)} is given twice in one object")
    return members
