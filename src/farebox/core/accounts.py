"""A merchant's closed book: six accounts whose balances always sum to zero, and the rules of spending from them."""

from enum import IntEnum
from typing import Final

from msgspec import Struct

from farebox.core.thresholds import Threshold

GENESIS_HASH: Final = bytes(32)
"""The hash before a book's first transfer."""


class Kind(IntEnum):
    """What a transfer is. The number is what the database stores; it never changes meaning."""

    TOP_UP = 1
    TOP_UP_REVERSAL = 2
    CHARGE = 3
    REFUND = 4
    HOLD = 5
    CAPTURE = 6
    RELEASE = 7
    EXPIRE = 8
    ADJUSTMENT_CREDIT = 9
    ADJUSTMENT_DEBIT = 10
    GRANT = 11
    GRANT_EXPIRY = 12


KIND_WORDS: Final[dict[int, str]] = {
    Kind.TOP_UP: "top_up",
    Kind.TOP_UP_REVERSAL: "top_up_reversal",
    Kind.CHARGE: "charge",
    Kind.REFUND: "refund",
    Kind.HOLD: "hold",
    Kind.CAPTURE: "capture",
    Kind.RELEASE: "release",
    Kind.EXPIRE: "expire",
    Kind.ADJUSTMENT_CREDIT: "adjustment",
    Kind.ADJUSTMENT_DEBIT: "adjustment",
    Kind.GRANT: "grant",
    Kind.GRANT_EXPIRY: "grant_expiry",
}
"""The kinds as the API and the hash chain write them; an adjustment's accounts tell its direction."""

KIND_NAMES: Final[dict[int, str]] = {
    **KIND_WORDS,
    Kind.TOP_UP: "top-up",
    Kind.TOP_UP_REVERSAL: "reversal of a top-up",
    Kind.EXPIRE: "expiry of a hold",
    Kind.GRANT: "grant of credit",
    Kind.GRANT_EXPIRY: "end of a grant",
}
"""The kinds as a sentence names them."""

RETURNABLE_KINDS: Final[dict[Kind, frozenset[Kind]]] = {
    Kind.REFUND: frozenset({Kind.CHARGE, Kind.CAPTURE}),
    Kind.TOP_UP_REVERSAL: frozenset({Kind.TOP_UP}),
}
"""What each kind that gives back a transfer may give back."""


class Effect(Struct, frozen=True, gc=False):
    """The signs with which a kind's amount enters each account: one is -1 (debited), one is +1 (credited)."""

    wallet: int = 0
    held: int = 0
    revenue: int = 0
    funding: int = 0
    adjustments: int = 0
    promotions: int = 0


EFFECTS: Final[dict[Kind, Effect]] = {
    Kind.TOP_UP: Effect(funding=-1, wallet=+1),
    Kind.TOP_UP_REVERSAL: Effect(wallet=-1, funding=+1),
    Kind.CHARGE: Effect(wallet=-1, revenue=+1),
    Kind.REFUND: Effect(revenue=-1, wallet=+1),
    Kind.HOLD: Effect(wallet=-1, held=+1),
    Kind.CAPTURE: Effect(held=-1, revenue=+1),
    Kind.RELEASE: Effect(held=-1, wallet=+1),
    Kind.EXPIRE: Effect(held=-1, wallet=+1),
    Kind.ADJUSTMENT_CREDIT: Effect(adjustments=-1, wallet=+1),
    Kind.ADJUSTMENT_DEBIT: Effect(wallet=-1, adjustments=+1),
    Kind.GRANT: Effect(promotions=-1, wallet=+1),
    Kind.GRANT_EXPIRY: Effect(wallet=-1, promotions=+1),
}
"""Debit and credit of every kind. A balance here is credits less debits, in micros, so a book sums to zero."""


def debit_and_credit(kind: int) -> tuple[str, str]:
    """Name the account that a kind debits and the one that it credits."""
    effect = EFFECTS[Kind(kind)]
    signs = {name: getattr(effect, name) for name in effect.__struct_fields__}
    debit = next(name for name, sign in signs.items() if sign < 0)
    credit = next(name for name, sign in signs.items() if sign > 0)
    return debit, credit


DEBIT_AND_CREDIT: Final[dict[int, tuple[str, str]]] = {kind: debit_and_credit(kind) for kind in Kind}


class Account(Struct, frozen=True, gc=False):
    """One merchant's balances and rules as they stand after transfer number `seq`. All amounts are micros."""

    merchant_id: int
    currency: str
    wallet: int = 0
    held: int = 0
    revenue: int = 0
    funding: int = 0
    adjustments: int = 0
    promotions: int = 0
    credit_limit: int = 0
    is_frozen: bool = False
    seq: int = 0
    last_hash: bytes = GENESIS_HASH
    last_at: int = 0
    """Commit time of the last transfer, microseconds since 1970; a book's times never go backwards."""
    alerts_count: int = 0
    is_exhausted: bool = False
    """Whether a request was refused for lack of money, and that was told, since money last arrived."""
    given: int = 0
    """What the wallet has of grants of credit; the rest of it is paid money."""
    grants_count: int = 0
    grants_due_at: int | None = None
    """When the next grant of credit starts or ends, in microseconds since 1970."""
    owed: int = 0
    """The part of reversed top-ups that was spent already and is still to be paid."""
    closed_at: int | None = None
    """Since when the merchant is closed, in microseconds since 1970: its book is empty and moves no money."""
    thresholds: tuple[Threshold, ...] = ()

    @property
    def available(self) -> int:
        """The amount that may be spent before the credit limit: the wallet."""
        return self.wallet

    @property
    def paid(self) -> int:
        """What of the wallet was paid for; below zero as far as the credit limit is drawn on."""
        return self.wallet - self.given

    @property
    def posted(self) -> int:
        """What the merchant has paid or was given, and not yet spent: wallet and held."""
        return self.wallet + self.held

    @property
    def is_new(self) -> bool:
        """Whether no money has come in or gone out yet."""
        return self.revenue == self.funding == self.adjustments == self.promotions == 0

    def is_watched(self, threshold: Threshold) -> bool:
        """Whether posted is at a threshold or above, and will be told of when it falls below."""
        return threshold.is_armed and self.posted >= threshold.amount
