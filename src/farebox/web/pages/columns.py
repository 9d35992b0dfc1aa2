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
    numbers: list[tuple[int, int, int]] = []
    places: dict[int, int] = {}
    for row in _ROW.finditer(table):
        for column, cell in enumerate(_CELL.finditer(table, *row.span())):
            number = _NUMBER.match(table, *cell.span(2)) if _IS_NUMBER.match(cell[1]) else None
            if number is not None:
                # How many characters the point and the decimals take.
                decimals = len(number[2] or "")
                numbers.append((column, number.end(), decimals))
                places[column] = max(places.get(column, 0), decimals)
    filled, done = [], 0
    for column, end, decimals in numbers:
        if missing := places[column] - decimals:
            zeros = "0" * missing if decimals else f".{'0' * (missing - 1)}"
            filled += [table[done:end], f'<span class="pad" aria-hidden="true">{zeros}</span>']
            done = end
    return "".join([*filled, table[done:]])
