"""The rows of one table as a batch sees them, which `decide` changes before anything is written."""

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

_Row = TypeVar("_Row")


class BatchRows(Generic[_Row]):
    """Rows of one table as a batch sees them: those stored, and over them those that it made or changed.

    A row's key is its merchant's number and its own number within the merchant.
    """

    def __init__(self, stored: Mapping[tuple[int, int], _Row]) -> None:
        self._stored = stored
        self.new: dict[tuple[int, int], _Row] = {}
        self.changed: dict[tuple[int, int], _Row] = {}

    def __iter__(self) -> Iterator[_Row]:
        return iter({**self._stored, **self.new, **self.changed}.values())

    def get(self, merchant_id: int, number: int) -> _Row | None:
        return self.made(merchant_id, number) or self._stored.get((merchant_id, number))

    def made(self, merchant_id: int, number: int) -> _Row | None:
        """Find a row that this batch made or changed."""
        key = (merchant_id, number)
        return self.changed.get(key) or self.new.get(key)

    def replace(self, merchant_id: int, number: int, row: _Row) -> None:
        """Put a changed row in place of the one with this key; one that this batch made stays new."""
        key = (merchant_id, number)
        (self.new if key in self.new else self.changed)[key] = row
