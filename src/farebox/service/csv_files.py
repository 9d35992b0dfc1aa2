"""Lines of CSV (RFC 4180) in UTF-8, for spreadsheets."""

import csv
import io
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import astuple

_FORMULA_STARTS: Final = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""Where a formula may begin; some spreadsheets take the four signs in their full-width form as well."""


def defused(text: str | None) -> str | None:
    """Keep a spreadsheet from taking people's texts for formulas: one that begins like a formula gets an apostrophe."""
    return f"'{text}" if text is not None and text.startswith(_FORMULA_STARTS) else text


def csv_lines(rows: Sequence[Sequence[Any]]) -> bytes:
    """Write rows; what is absent is an empty cell."""
    sheet = io.StringIO(newline="")
    csv.writer(sheet).writerows(rows)
    return sheet.getvalue().encode()


def csv_of(kind: type[Struct], data: Iterable[Struct], *, texts: Collection[str] = ()) -> bytes:
    """Write data of a kind under the names that its fields have in JSON; `texts` are the fields that people write."""
    columns = kind.__struct_encode_fields__
    return csv_lines([columns, *(csv_row(columns, astuple(item), texts=texts) for item in data)])


def csv_row(columns: Sequence[str], values: Iterable[Any], *, texts: Collection[str]) -> list[Any]:
    """Make a row of values, of which those in the columns of `texts` were written by people."""
    return [defused(value) if name in texts else value for name, value in zip(columns, values, strict=True)]
