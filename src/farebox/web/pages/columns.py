"""Amounts in a column of a page's tables: their decimal points stand below one another.

A browser can't align at a point, so numbers with fewer decimals than others of their column are filled up with zeros
that nobody sees or hears. This is done to finished pages: templates need not look at a column before they write it.
"""

import re
from functools import cache
from typing import Final

from farebox.service.languages import ENGLISH, Language

_TABLE: Final = re.compile(r"<tbody>.*?</tbody>", re.DOTALL)
_ROW: Final = re.compile(r"<tr\b[^>]*>.*?</tr>", re.DOTALL)
_CELL: Final = re.compile(r"(<td\b(?:\s[^>]*)?>)(.*?)</td>", re.DOTALL)
_IS_NUMBER: Final = re.compile(r'<td\s[^>]*class="(?:[^"]*\s)?num[\s"]')


def align_columns(page: str, spoken: Language = ENGLISH) -> str:
    """Fill the amounts of each column of each table up to the decimals of the one that has most."""
    if 'class="num' not in page:
        return page
    return _TABLE.sub(lambda table: _align(table[0], spoken.group_sign, spoken.decimal_sign), page)


@cache
def _number(group: str, point: str) -> re.Pattern[str]:
    return re.compile(rf"((?:\s|<[^>]*>)*[^\d<>\s]?\d[\d{re.escape(group)}]*)({re.escape(point)}\d+)?", re.ASCII)


def _align(table: str, group: str, point: str) -> str:
    numbers: list[tuple[int, int, int]] = []
    places: dict[int, int] = {}
    for row in _ROW.finditer(table):
        for column, cell in enumerate(_CELL.finditer(table, *row.span())):
            number = _number(group, point).match(table, *cell.span(2)) if _IS_NUMBER.match(cell[1]) else None
            if number is not None:
                # How many characters the point and the decimals take.
                decimals = len(number[2] or "")
                numbers.append((column, number.end(), decimals))
                places[column] = max(places.get(column, 0), decimals)
    filled, done = [], 0
    for column, end, decimals in numbers:
        if missing := places[column] - decimals:
            zeros = "0" * missing if decimals else f"{point}{'0' * (missing - 1)}"
            filled += [table[done:end], f'<span class="pad" aria-hidden="true">{zeros}</span>']
            done = end
    return "".join([*filled, table[done:]])
