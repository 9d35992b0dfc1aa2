"""Amounts in a column of a page's tables: their decimal points stand below one another.

A browser can't align at a point, so numbers with fewer decimals than others of their column are filled up with zeros
that nobody sees or hears. This is done to finished pages: templates need not look at a column before they write it.
"""

import re
from typing import Final

_TABLE: Final = re.compile(r"<tbody>.*?</tbody>", re.DOTALL)
_ROW: Final = re.compile(r"<tr\b[^>]*>.*?</tr>", re.DOTALL)
_CELL: Final = re.compile(r"(<td\b(?:\s[^>]*)?>)(.*?)</td>", re.DOTALL)
_IS_NUMBER: Final = re.compile(r'<td\s[^>]*class="(?:[^"]*\s)?num[\s"]')
_NUMBER: Final = re.compile(r"((?:\s|<[^>]*>)*[^\d<>\s]?\d[\d,]*)(\.\d+)?", re.ASCII)


def align_columns(page: str) -> str:
    """Fill the amounts of each column of each table up to the decimals of the one that has most."""
    return _TABLE.sub(lambda table: _align(table[0]), page) if 'class="num' in page else page


def _align(table: str) -> str:
    places: dict[int, int] = {}
    for row in _ROW.findall(table):
        for column, decimals in _decimals(row).items():
            places[column] = max(places.get(column, 0), decimals)
    if not any(places.values()):
        return table
    return _ROW.sub(lambda row: _fill(row[0], places), table)


def _decimals(row: str) -> dict[int, int]:
    """Tell how many characters the point and the decimals take in each column that has a number in this row."""
    found = {}
    for column, (tag, content) in enumerate(_CELL.findall(row)):
        number = _NUMBER.match(content) if _IS_NUMBER.match(tag) else None
        if number is not None:
            found[column] = len(number[2] or "")
    return found


def _fill(row: str, places: dict[int, int]) -> str:
    decimals, column = _decimals(row), -1

    def fill(cell: re.Match[str]) -> str:
        nonlocal column
        column += 1
        missing = places.get(column, 0) - decimals.get(column, places.get(column, 0))
        if not missing:
            return cell[0]
        number = _NUMBER.match(cell[2])
        end = 0 if number is None else number.end()
        zeros = "0" * missing if decimals[column] else f".{'0' * (missing - 1)}"
        return f'{cell[1]}{cell[2][:end]}<span class="pad" aria-hidden="true">{zeros}</span>{cell[2][end:]}</td>'

    return _CELL.sub(fill, row)
