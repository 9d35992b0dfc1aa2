"""Grants: credit that was not paid for, each a lot of its merchant's wallet. Paid money is one lot more, without end.

A request takes from lots in one order: the lowest priority first, then what ends soonest, then given before paid, then
the oldest. Paid money has the priority 0 and no end; the credit limit is drawn last of all. What a transfer took from
grants, or gave back to them, stands on it as a text: `1:500000,4:20` is the grant's number and micros, in the order of
spending. A transfer of kind GRANT has the terms instead: `1:100000000;priority=5;expires=1798761600000000;types=a b`.
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Final, TypeAlias

from msgspec import Struct

from farebox.core import ids

PAID_PRIORITY: Final = 0
PRIORITY_MAX: Final = 100
TYPES_MAX: Final = 50
WAITING_MICROS_MAX: Final = 2 * 366 * 24 * 3600 * 1_000_000
"""How far ahead a grant may start: two years."""
STARTS_AGO_MICROS_MAX: Final = 24 * 3600 * 1_000_000
"""How long ago the start may be that is named; it starts at once then. A day, so that a date may be today's."""
GRANTS_LOADED_MAX: Final = 8
"""Of how many of a merchant's grants a batch sees at first, at most: most requests take from the first one or two."""

Parts: TypeAlias = tuple[tuple[int, int], ...]
"""Micros by the number of a grant, in the order of spending."""

OWN: Final = 0
"""Stands for the merchant's own money where grants have their numbers."""

_NEVER: Final = 2**63
_GIVEN, _PAID = 0, 1

Order: TypeAlias = tuple[int, int, int, int]
"""Where a lot stands in the order of spending."""

PAID_ORDER: Final[Order] = (PAID_PRIORITY, _NEVER, _PAID, 0)


class GrantState(IntEnum):
    """Where a grant stands; ENDED is final. The number is what the database stores."""

    WAITING = 1
    """It starts later."""
    OPEN = 2
    """It started, and its time is not over; there may be nothing left of it."""
    ENDED = 3
    """Its time is over, or support took back what was left."""


class GrantTerms(Struct, frozen=True, gc=False):
    """The terms of a grant. Amounts are micros; times microseconds since 1970."""

    amount: int
    priority: int = PAID_PRIORITY
    starts_at: int | None = None
    """When it starts; None for at once."""
    expires_at: int | None = None
    types: str | None = None
    """The request types that it pays for, sorted, separated by one space; None for all."""


class Grant(Struct, frozen=True, gc=False):
    """Credit of a merchant that was not paid for, number `number` of its book. Amounts are micros.

    `left` is what the wallet has of it: nothing while it waits and once it has ended, and nothing of what holds set
    aside. Its time is over at the very microsecond of `expires_at`. Times are microseconds since 1970.
    """

    merchant_id: int
    number: int
    amount: int
    left: int
    reference: str
    reason: str
    idempotency_key: str
    fingerprint: bytes
    priority: int = PAID_PRIORITY
    starts_at: int = 0
    """When it was made, unless it starts later."""
    expires_at: int | None = None
    types: str | None = None
    """The request types that it pays for, sorted, separated by one space; None for all."""
    state: int = GrantState.OPEN
    transfer_seq: int | None = None
    """The transfer that brought it; None while it waits, and if it never started."""
    ended_at: int | None = None
    """Its end as agreed, or when support ended it before."""

    @property
    def id(self) -> str:
        """The public id, made from the merchant's number and the grant's own."""
        return ids.book_id(ids.GRANT, merchant_id=self.merchant_id, seq=self.number)

    @property
    def order(self) -> Order:
        """Where it stands in the order of spending."""
        return order_of(self.number, self)

    @property
    def due_at(self) -> int | None:
        """When it starts, if it waits, or ends, if it is open; None if neither will ever be."""
        if self.state == GrantState.WAITING:
            return self.starts_at
        return self.expires_at if self.state == GrantState.OPEN else None

    @property
    def terms(self) -> GrantTerms:
        """Its terms, as the transfer that brings it tells them."""
        return GrantTerms(self.amount, self.priority, None, self.expires_at, self.types)

    @property
    def lot(self) -> "GrantLot":
        """What a request must know of it, as long as it is open."""
        return GrantLot(self.number, self.left, self.priority, self.expires_at, self.types)


class GrantLot(Struct, frozen=True, gc=False):
    """What a request must know of a grant that it may take from."""

    number: int
    left: int
    """Micros."""
    priority: int = PAID_PRIORITY
    expires_at: int | None = None
    types: str | None = None

    @property
    def order(self) -> Order:
        """Where it stands in the order of spending."""
        return order_of(self.number, self)

    def pays_for(self, request_type: str) -> bool:
        """Whether a request of this type may take from it."""
        return self.types is None or request_type in self.types.split(" ")


class FirstGrants(Struct, frozen=True):
    """The first open grants of a merchant that have something left, by number, in the order of spending."""

    lots: Mapping[int, GrantLot] = {}
    are_all: bool = True
    """Whether no other of the merchant's has anything left."""


class Taking(Struct, frozen=True, gc=False):
    """What a request takes of grants; the rest of its amount is paid money, or the credit limit."""

    parts: Parts
    given: int
    """How much of the amount these are, in micros."""
    is_covered: bool
    """Whether the amount is covered ahead of all lots that come later."""


def take(lots: Iterable[GrantLot], *, paid: int, request_type: str, amount: int) -> Taking:
    """Take an amount in the order of spending, as far as there is enough; paid money has its place among the lots.

    Args:
        lots: what is left of open grants, in the order of spending.
        paid: the paid money in the wallet; below zero if some of the credit limit is drawn.
        request_type: the type of the request.
        amount: micros.
    """
    parts: list[tuple[int, int]] = []
    rest, given, is_paid_ahead = amount, 0, True
    for lot in lots:
        if is_paid_ahead and lot.priority > PAID_PRIORITY:
            is_paid_ahead = False
            rest -= min(max(paid, 0), rest)
        if not rest:
            break
        if lot.left and (lot.types is None or lot.pays_for(request_type)):
            part = min(lot.left, rest)
            parts.append((lot.number, part))
            given += part
            rest -= part
            if not rest:
                # The next lot need not be looked at.
                break
    return Taking(tuple(parts), given, is_covered=not rest)


def in_order(parts: Parts, amount: int, priorities: Mapping[int, int]) -> Parts:
    """Tell all that a request took, in the order of spending; what it took of the merchant's own has the number OWN.

    The merchant's own is one part: paid money and the credit limit together, at the place of paid money.

    Args:
        parts: what it took of grants.
        amount: what it took in all, in micros.
        priorities: of those grants, by number.
    """
    ahead = tuple(part for part in parts if priorities[part[0]] <= PAID_PRIORITY)
    own = amount - sum(micros for _, micros in parts)
    return (*ahead, (OWN, own), *parts[len(ahead) :])


def given_between(taken: Parts, first: int, last: int) -> Parts:
    """Tell what of grants there is between two places of what a request took, counted in micros from its begin.

    A capture takes what is ahead of a place, and gives back what is behind it; refunds give back from the end.
    """
    found = []
    begin = 0
    for number, micros in taken:
        part = min(begin + micros, last) - max(begin, first)
        if part > 0 and number != OWN:
            found.append((number, part))
        begin += micros
    return tuple(found)


def order_of(number: int, terms: GrantTerms | Grant | GrantLot) -> Order:
    """Tell where the grant of a number stands in the order of spending."""
    return terms.priority, _NEVER if terms.expires_at is None else terms.expires_at, _GIVEN, number


def write_given(parts: Iterable[tuple[int, int]]) -> str | None:
    """Write what a transfer took from grants, or gave back to them; None for nothing."""
    return ",".join([f"{number}:{amount}" for number, amount in parts if amount]) or None


def read_given(text: str | None) -> Parts:
    """Read what `write_given` wrote, or the first part of what `write_terms` wrote.

    Raises:
        ValueError: the text can't be read.
    """
    if text is None:
        return ()
    pairs = (pair.split(":") for pair in text.partition(";")[0].split(","))
    return tuple((int(number), int(amount)) for number, amount in pairs)


def write_terms(number: int, terms: GrantTerms) -> str:
    """Write the terms of the grant of this number; one that is only requested has the number 0."""
    text = f"{number}:{terms.amount}"
    if terms.priority:
        text += f";priority={terms.priority}"
    if terms.starts_at is not None:
        text += f";starts={terms.starts_at}"
    if terms.expires_at is not None:
        text += f";expires={terms.expires_at}"
    if terms.types is not None:
        text += f";types={terms.types}"
    return text


def read_terms(text: str) -> tuple[int, GrantTerms]:
    """Read what `write_terms` wrote: the grant's number, and its terms.

    Raises:
        ValueError: the text can't be read.
    """
    first, *rest = text.split(";")
    number, amount = first.split(":")
    named = dict(part.split("=", 1) for part in rest)
    if not named.keys() <= {"priority", "starts", "expires", "types"}:
        raise ValueError("a grant's terms have a name that nobody knows")
    return int(number), GrantTerms(
        amount=int(amount),
        priority=int(named.get("priority", PAID_PRIORITY)),
        starts_at=_time(named, "starts"),
        expires_at=_time(named, "expires"),
        types=named.get("types"),
    )


def _time(named: Mapping[str, str], name: str) -> int | None:
    return int(named[name]) if name in named else None
