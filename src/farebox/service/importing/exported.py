"""What other systems export, as JSON, read member by member; and the files of an import that are written of it.

All of it may raise InvalidInput, which names the place and what those systems have there.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation, localcontext
from pathlib import Path
from typing import Final

from msgspec import Struct

from farebox.core.currencies import decimals_of
from farebox.core.money import format_amount
from farebox.service.errors import InvalidInput
from farebox.service.importing.rows import BALANCES, COLUMNS, KEYS, MERCHANTS
from farebox.service.plain_values import kind_of

DIGITS_MAX: Final = 60
"""Of a number in an export; sums and differences of such are exact."""

_MICROS_DECIMALS: Final = 6


class Converted(Struct, frozen=True):
    """Rows of an import's files that were made of an export, by file and column, and remarks with their counts."""

    rows: Mapping[str, Sequence[Mapping[str, str]]]
    remarks: Counter[str]


class Entry(Struct, frozen=True):
    """An object of an export; members that are not asked for may be there, with any value."""

    path: str
    values: Mapping[str, object]

    @classmethod
    def of(cls, path: str, value: object) -> "Entry":
        """Take a value that must be an object."""
        if not isinstance(value, Mapping):
            raise InvalidInput(path, f"this is {kind_of(value)}; it must be an object")
        return cls(path, value)

    def text(self, name: str) -> str:
        """Read a text; empty if it is absent or null."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, str):
            raise InvalidInput(f"{self.path}.{name}", f"this is {kind_of(value)}; it must be a text")
        return (value or "").strip()

    def required(self, name: str) -> str:
        """Read a text that must be there."""
        text = self.text(name)
        if not text:
            raise InvalidInput(f"{self.path}.{name}", "this is missing; the export is not whole")
        return text

    def flag(self, name: str) -> bool:
        """Read a truth value; false if it is absent or null."""
        return self.values.get(name) is True

    def number(self, name: str) -> Decimal | None:
        """Read a number, exactly as it was written; None if it is absent or null."""
        value = self.values.get(name)
        if value is None:
            return None
        try:
            if not isinstance(value, str) or len(value) > DIGITS_MAX:
                raise InvalidOperation
            number = Decimal(value)
            if not number.is_finite() or abs(number) >= Decimal(10) ** 13:
                raise InvalidOperation
        except InvalidOperation as error:
            raise InvalidInput(f"{self.path}.{name}", f"{str(value)[:40]!r} is no amount") from error
        return number


def entries(path: str, value: object) -> list[Entry]:
    """Take a list of objects."""
    if not isinstance(value, list):
        raise InvalidInput(path, f"this is {kind_of(value)}; it must be a list")
    return [Entry.of(f"{path}[{place}]", item) for place, item in enumerate(value)]


def difference(minuend: Decimal, subtrahend: Decimal) -> Decimal:
    """Subtract exactly."""
    with localcontext(prec=4 * DIGITS_MAX):
        return minuend - subtrahend


def in_minor_units(amount: Decimal, currency: str) -> str:
    """Write an amount that is not below zero in whole smallest units of a currency, rounded up: to the merchant's good.

    >>> in_minor_units(Decimal("12.340000001"), "USD"), in_minor_units(Decimal("1234"), "JPY")
    ('12.35', '1234.00')
    """
    unit = 10 ** decimals_of(currency)
    with localcontext(prec=4 * DIGITS_MAX):
        scaled = amount * unit
        minor = int(scaled)
        if scaled != minor:
            minor += 1
    return format_amount(minor * 10**_MICROS_DECIMALS // unit)


def write_files(converted: Converted, folder: Path) -> list[Path]:
    """Write an import's files into a folder that has none of them.

    Raises:
        InvalidInput: one of them is there, or can't be written.
    """
    written = []
    for name in (MERCHANTS, BALANCES, KEYS):
        rows = converted.rows.get(name, ())
        if not rows:
            continue
        path = folder / name
        columns = (*COLUMNS[name].required, *COLUMNS[name].optional)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8", newline="") as file:
                sheet = csv.writer(file)
                sheet.writerow(columns)
                sheet.writerows([row.get(column, "") for column in columns] for row in rows)
        except FileExistsError as error:
            raise InvalidInput("write", f"{path} is there already; name another folder, or remove it") from error
        except OSError as error:
            raise InvalidInput("write", f"{path} can't be written: {error.strerror}") from error
        written.append(path)
    return written


def one_line(text: str, chars_max: int, otherwise: str) -> str:
    """Make a text of others one line that can be a name; `otherwise` if nothing is left of it."""
    shown = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(shown.split())[:chars_max].strip() or otherwise


def ensure_whole(what: str, count: int, totals: Iterable[Decimal | None]) -> None:
    """See that an export that is made page by page has all pages; each page says how many things there are in all.

    Raises:
        InvalidInput: some are missing.
    """
    total = max((int(number) for number in totals if number is not None), default=0)
    if total > count:
        raise InvalidInput("FILE", f"there are {total:,} {what}, and the files have {count:,}; fetch every page")
