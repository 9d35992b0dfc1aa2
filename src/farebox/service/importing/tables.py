"""CSV of an import, read row by row: UTF-8, with or without a byte order mark, lines that end in LF or CRLF."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from farebox.service.errors import InvalidInput
from farebox.service.plain_values import listed

LINE_BYTES_MAX: Final = 65_536
PROBLEMS_MAX: Final = 20
"""How many of an import's problems are told at once."""


class Columns(Struct, frozen=True):
    """The columns that a file must have, and those that it may have."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


class Row(Struct, frozen=True):
    """One row: its line in the file, and its cells by column; a column that the file has not is an empty cell."""

    file: str
    line: int
    cells: Mapping[str, str]

    def place(self, column: str) -> str:
        """Name a cell for people."""
        return f"{self.file}, line {self.line}, {column}"


class Problems:
    """The faults of an import's files, by place, up to PROBLEMS_MAX; how many more there are is counted."""

    def __init__(self) -> None:
        """Start with none."""
        self._found: list[tuple[str, str]] = []
        self._more = 0

    def add(self, place: str, message: str) -> None:
        """Note a problem."""
        if len(self._found) < PROBLEMS_MAX:
            self._found.append((place, message))
        else:
            self._more += 1

    def take(self, others: "Problems") -> None:
        """Note what others found as well."""
        for place, message in others._found:
            self.add(place, message)
        self._more += others._more

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._found)

    def ensure_none(self) -> None:
        """Go on if there are none.

        Raises:
            InvalidInput: its field is the first one's place, and its message goes on with the others.
        """
        if not self._found:
            return
        (place, message), *others = self._found
        lines = [message, *(f"{other}: {what}" for other, what in others)]
        if self._more:
            lines.append(f"and {self._more:,} more")
        raise InvalidInput(place, "\n".join(lines))


def read_rows(path: Path, columns: Columns) -> Iterator[Row]:
    """Read a file's rows, with flat memory; empty lines are passed over.

    Raises:
        InvalidInput: it is no such CSV; the field names the file, and the line where there is one.
    """
    lines = _FileLines(path)
    reader = csv.reader(lines, strict=True)
    names: list[str] | None = None
    try:
        for cells in reader:
            if not cells:
                continue
            line = lines.number
            if names is None:
                names = _header(path.name, cells, columns)
            elif len(cells) != len(names):
                raise InvalidInput(
                    f"{path.name}, line {line}", f"this has {len(cells)} cells; the first line names {len(names)}"
                )
            else:
                yield Row(path.name, line, dict.fromkeys(columns.optional, "") | dict(zip(names, cells, strict=True)))
    except csv.Error as error:
        raise InvalidInput(f"{path.name}, line {lines.number}", f"this is no CSV: {error}") from error
    if names is None:
        raise InvalidInput(path.name, f"this is empty; its first line names the columns {listed(columns.required)}")


def _header(file: str, cells: list[str], columns: Columns) -> list[str]:
    known = (*columns.required, *columns.optional)
    for name in cells:
        if name not in known:
            raise InvalidInput(
                f"{file}, line 1", f"no column {name[:40]!r} is known here; there may be {listed(known)}"
            )
        if cells.count(name) > 1:
            raise InvalidInput(f"{file}, line 1", f"the column {name} stands there twice")
    for name in columns.required:
        if name not in cells:
            raise InvalidInput(
                f"{file}, line 1", f"the column {name} is missing; there must be {listed(columns.required)}"
            )
    return cells


class _FileLines:
    """The lines of a file as text, and the number of the one that was read last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        with self._path.open("rb") as file:
            while data := file.readline(LINE_BYTES_MAX + 1):
                self.number += 1
                if len(data) > LINE_BYTES_MAX:
                    raise InvalidInput(self._place, f"this has more than {LINE_BYTES_MAX:,} bytes")
                try:
                    text = data.decode("utf-8-sig" if self.number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise InvalidInput(self._place, "this is not UTF-8; save the file as CSV in UTF-8") from error
                yield text

    @property
    def _place(self) -> str:
        return f"{self._path.name}, line {self.number}"
