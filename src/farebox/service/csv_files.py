"""Lines of CSV (RFC 4180) in UTF-8, for spreadsheets."""

import csv
import io
from collections.abc import Sequence
from typing import Any, Final

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
