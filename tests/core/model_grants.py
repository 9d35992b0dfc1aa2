"""Given credit in the slow model: a wallet is a list of lots, which every amount is taken from one lot after the other.

A lot is a grant, by its number, or paid money, which has none. Nothing that a book says of its grants is kept: what is
left of one is summed up over all moves, and what a refund gives back is read off the moves that went before.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeAlias

Parts: TypeAlias = tuple[tuple[int | None, Decimal], ...]
"""Amounts by the grant that they came from, one after the other; paid money has no number."""

FOR_EVER: Final = 10**20


@dataclass
class Lot:
    """A grant as support made it."""

    number: int
    amount: Decimal
    starts_at: int
    expires_at: int | None
    types: frozenset[str] | None
    priority: int
    reference: str
    reason: str
    asked: tuple[Any, ...]
    seq: int | None = None
    """The move that brought it; None while it waits."""
    is_over: bool = False
    is_by_support: bool = False
    """Whether support ended it, or it could not even begin: to end it once more is to ask again."""

    @property
    def end(self) -> int:
        """When it ends, at the latest."""
        return FOR_EVER if self.expires_at is None else self.expires_at

    def pays_for(self, request_type: str) -> bool:
        """Whether requests of a type may be paid with it."""
        return self.types is None or request_type in self.types

    def terms(self, micros: int) -> str:
        """Say what the move that brings it says of it."""
        parts = [f"{self.number}:{micros}"]
        if self.priority:
            parts.append(f"priority={self.priority}")
        if self.expires_at is not None:
            parts.append(f"expires={self.expires_at}")
        if self.types is not None:
            parts.append(f"types={' '.join(sorted(self.types))}")
        return ";".join(parts)


def taken(lots: Iterable[tuple[int | None, Decimal]], amount: Decimal) -> Parts | None:
    """Take an amount from lots, one after the other; None if they have less."""
    parts = []
    for number, left in lots:
        part = min(left, amount)
        if part > 0:
            parts.append((number, part))
            amount -= part
    return tuple(parts) if amount == 0 else None


def without(parts: Parts, amount: Decimal) -> Parts:
    """Leave out so much of parts, from the first one on."""
    rest = []
    for number, part in parts:
        gone = min(part, amount)
        amount -= gone
        if part > gone:
            rest.append((number, part - gone))
    return tuple(rest)


def backwards(parts: Parts, returned: Decimal, amount: Decimal) -> Parts:
    """Tell what an amount of parts gives back, the last one first, after so much of them went back before."""
    back = taken(without(parts[::-1], returned), amount)
    assert back is not None
    return back[::-1]
