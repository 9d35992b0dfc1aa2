"""Tables as their own database tells of them: nothing here names one of the ledger's, so none can be forgotten."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from farebox.storage.interface import SchemaMismatch

Row = tuple[Any, ...]

NOT_COPIED: Final = frozenset({"farebox_migration", "ledger_move", "ledger_change"})
"""Tables that tell of their own database, and not of the ledger in it."""

MADE_BY_INIT: Final = frozenset({"signing_seed"})
"""Tables in which a new schema has a row already. A copy replaces it."""

INTEGER: Final = "integer"
TEXT: Final = "text"
BYTES: Final = "bytes"
BOOLEAN: Final = "boolean"


class CopiedTable(Struct, frozen=True):
    """A table: the columns of its primary key, in that order, before all others by their names; none is generated."""

    name: str
    columns: tuple[str, ...]
    kinds: tuple[str, ...]
    key_width: int

    @property
    def key(self) -> tuple[str, ...]:
        """The columns of its primary key."""
        return self.columns[: self.key_width]

    def key_of(self, row: Sequence[Any]) -> Row:
        """Take the key from a row."""
        return tuple(row[: self.key_width])

    def written_key(self, key: Sequence[Any]) -> str:
        """Write a key as triggers do: a list in JSON, bytes as hexadecimal digits."""
        return msgspec.json.encode([value.hex() if isinstance(value, bytes) else value for value in key]).decode()

    def read_key(self, text: str) -> Row:
        """Read a key that was written so."""
        values: list[Any] = msgspec.json.decode(text)
        return tuple(
            bytes.fromhex(value) if kind == BYTES else value for value, kind in zip(values, self.kinds, strict=False)
        )


def make_table(name: str, kinds: Mapping[str, str], key: Sequence[str]) -> CopiedTable:
    """Put a table's columns into the order in which both engines read and write them.

    Raises:
        SchemaMismatch: the table has no primary key.
    """
    if not key:
        raise SchemaMismatch(f"the table {name} has no primary key, so it can't be copied")
    columns = (*key, *sorted(set(kinds) - set(key)))
    return CopiedTable(name, columns, tuple(kinds[column] for column in columns), len(key))


def tables_to_copy(source: Iterable[CopiedTable], target: Iterable[CopiedTable]) -> list[CopiedTable]:
    """List the tables to copy, as the target has them.

    Raises:
        SchemaMismatch: the two have not the same tables and columns, or a column has another kind of values.
    """
    ours = {table.name: table for table in source}
    theirs = {table.name: table for table in target}
    if odd := sorted(set(ours) ^ set(theirs)):
        raise SchemaMismatch(f"only one of the two databases has the table {odd[0]}; a ledger is copied between two")
    for name, table in ours.items():
        other = theirs[name]
        if (table.columns, table.key_width) != (other.columns, other.key_width):
            raise SchemaMismatch(f"the table {name} has other columns in the target")
        for column, kind, their_kind in zip(table.columns, table.kinds, other.kinds, strict=True):
            # SQLite keeps a boolean as 0 or 1.
            if kind != their_kind and {kind, their_kind} != {INTEGER, BOOLEAN}:
                raise SchemaMismatch(f"{name}.{column} is {kind} in the source and {their_kind} in the target")
    return [theirs[name] for name in sorted(theirs)]
