"""How values go to SQLite, which has no lists: one is bound as JSON, which a statement takes apart again."""

from typing import Any

import msgspec


def bound(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Write the lists among a statement's values as JSON."""
    if list not in map(type, values):
        return values
    return tuple(msgspec.json.encode(value).decode() if isinstance(value, list) else value for value in values)
