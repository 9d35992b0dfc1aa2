"""Rows of an import's files, checked: what each says, in the ledger's terms.

A merchant is named by its reference, the name that it had in the other system; its number here is derived of that, so
that the same reference is the same merchant, however often and from whichever file it comes.
"""

from collections.abc import Callable
from functools import cache
from hashlib import blake2b
from typing import Final, TypeVar

from msgspec import Struct

from farebox.core import ids
from farebox.service import inputs
from farebox.service.errors import InvalidInput
from farebox.service.importing.tables import Columns, Problems, Row
from farebox.service.people.api_keys import imported_digest

MERCHANTS: Final = "merchants.csv"
BALANCES: Final = "balances.csv"
PRICES: Final = "prices.csv"
KEYS: Final = "keys.csv"

COLUMNS: Final = {
    MERCHANTS: Columns(("reference", "name", "currency"), ("thresholds", "email")),
    BALANCES: Columns(("reference", "balance")),
    PRICES: Columns(("type", "unit_price"), ("starts_at",)),
    KEYS: Columns(("reference", "sha256"), ("name", "hint", "expires_at")),
}
"""The files of an import, in the order in which they are read, and their columns."""

_FIRST_MS: Final = 1_577_836_800_000
"""2020-01-01: ids of imports sort ahead of those of merchants that were made here, all of which are younger."""

_SPAN_BITS: Final = 36
_REFERENCE_PERSON: Final = b"import merchant"
_SHA256_CHARS: Final = 64
_HINT_CHARS_MAX: Final = 12


class ImportedMerchant(Struct, frozen=True):
    """A line of merchants.csv; thresholds are micros."""

    merchant_id: int
    reference: str
    name: str
    currency: str
    thresholds: tuple[int, ...]
    email: str | None


class ImportedBalance(Struct, frozen=True):
    """A line of balances.csv, in micros."""

    merchant_id: int
    reference: str
    amount: int


class ImportedKey(Struct, frozen=True):
    """A line of keys.csv; the digest is as it is stored."""

    merchant_id: int
    reference: str
    digest: bytes
    hint: str
    name: str | None
    expires_at: int | None


def merchant_id_of(reference: str) -> int:
    """Derive a merchant's number of its reference.

    57 bits of it are a digest, so that of 100,000 references two agree once in 30 million imports; that is found
    before anything is written.
    """
    number = int.from_bytes(blake2b(reference.encode(), digest_size=8, person=_REFERENCE_PERSON).digest(), "big")
    time_ms = _FIRST_MS + (number >> ids.RANDOM_BITS) % (1 << _SPAN_BITS)
    return ids.new_number(time_ms, number % (1 << ids.RANDOM_BITS))


_Value = TypeVar("_Value")


class RowReader:
    """Reads the cells of one row; what is wrong with them is noted, and `is_good` tells whether anything was."""

    def __init__(self, row: Row, problems: Problems) -> None:
        """Read this row, and note its problems there."""
        self._row = row
        self._problems = problems
        self.is_good = True

    def read(self, column: str, check: Callable[[str, str], _Value], otherwise: _Value) -> _Value:
        """Read a cell by one of the checks of `inputs`; what is wrong comes out as `otherwise`."""
        try:
            return check(column, self._row.cells[column])
        except InvalidInput as error:
            self.is_good = False
            self._problems.add(self._row.place(column), error.message)
            return otherwise

    def optional(self, column: str, check: Callable[[str, str], _Value]) -> _Value | None:
        """Read a cell that may be empty."""
        if not self._row.cells[column]:
            return None
        checked: Callable[[str, str], _Value | None] = check
        return self.read(column, checked, None)


def read_merchant(row: Row, problems: Problems) -> ImportedMerchant | None:
    """Read a line of merchants.csv; None if something is wrong with it."""
    reader = RowReader(row, problems)
    reference = reader.read("reference", inputs.reference, "")
    name, currency = reader.read("name", inputs.name, ""), reader.read("currency", _currency, "")
    none: tuple[int, ...] = ()
    thresholds = reader.read(
        "thresholds",
        lambda field, text: inputs.thresholds(field, text.split(), credit_limit=0, currency=currency),
        none,
    )
    email = reader.optional("email", inputs.email)
    if not reader.is_good:
        return None
    return ImportedMerchant(merchant_id_of(reference), reference, name, currency, thresholds, email)


def read_balance(row: Row, problems: Problems) -> ImportedBalance | None:
    """Read a line of balances.csv; None if something is wrong with it."""
    reader = RowReader(row, problems)
    reference = reader.read("reference", inputs.reference, "")
    amount = reader.read("balance", _balance, 0)
    return ImportedBalance(merchant_id_of(reference), reference, amount) if reader.is_good else None


def read_key(row: Row, problems: Problems) -> ImportedKey | None:
    """Read a line of keys.csv; None if something is wrong with it."""
    reader = RowReader(row, problems)
    reference = reader.read("reference", inputs.reference, "")
    digest = reader.read("sha256", _sha256, "")
    name, hint = reader.optional("name", inputs.name), reader.optional("hint", _hint)
    expires_at = reader.optional("expires_at", inputs.time)
    if not reader.is_good:
        return None
    stored = imported_digest(bytes.fromhex(digest))
    return ImportedKey(merchant_id_of(reference), reference, stored, hint or "imported", name, expires_at)


def price_list_of(rows: list[tuple[Row, str]]) -> dict[str, object]:
    """Write lines of prices.csv, each with its checked type, as a price list of Farebox's own format."""
    prices: dict[str, list[object]] = {}
    for row, request_type in rows:
        entry = {"unitPrice": row.cells["unit_price"]}
        if row.cells["starts_at"]:
            entry["startsAt"] = row.cells["starts_at"]
        prices.setdefault(request_type, []).append(entry)
    return dict(prices)


def read_price(row: Row, problems: Problems) -> str | None:
    """Read a line of prices.csv and return its type; None if something is wrong with it."""
    reader = RowReader(row, problems)
    request_type = reader.read("type", inputs.request_type, "")
    reader.read("unit_price", _unit_price, 0)
    reader.optional("starts_at", inputs.time)
    return request_type if reader.is_good else None


@cache
def _currency_fault(code: str) -> str | None:
    try:
        inputs.currency("currency", code)
    except InvalidInput as error:
        return error.message
    return None


def _currency(field: str, text: str) -> str:
    """Check a currency; what was found out about a code is kept, as most rows have the same few."""
    message = _currency_fault(text[:4])
    if message is not None:
        raise InvalidInput(field, message)
    return text


def _balance(field: str, text: str) -> int:
    if text.startswith("-"):
        raise InvalidInput(
            field,
            f"{text[:20]!r} is below zero; a prepaid balance begins at zero or above: write 0, and settle what is owed "
            "where the merchant comes from",
        )
    return inputs.amount(field, text, is_zero_allowed=True)


def _unit_price(field: str, text: str) -> int:
    return inputs.amount(field, text, is_zero_allowed=True)


def _sha256(field: str, text: str) -> str:
    lowered = text.lower()
    if len(lowered) != _SHA256_CHARS or not all(char in "0123456789abcdef" for char in lowered):
        raise InvalidInput(
            field, f"{text[:12]!r} is no SHA-256 digest; write 64 hexadecimal digits, and never the key itself"
        )
    return lowered


def _hint(field: str, text: str) -> str:
    inputs.name(field, text)
    if len(text) > _HINT_CHARS_MAX:
        raise InvalidInput(
            field, f"this has {len(text)} characters; a hint has {_HINT_CHARS_MAX} at most, such as sk-…Zb4A"
        )
    return text
