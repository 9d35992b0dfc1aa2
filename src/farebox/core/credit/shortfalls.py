"""Shortfalls: what was due and was not there to be taken, of a request or of a top-up that was taken back.

Of a request nothing more is taken later; support is told of it. What a reversal of a top-up could not take back is
owed: the paid money that comes into the wallet next pays it, the oldest reversal first, and nothing is spent meanwhile.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from msgspec import Struct

from farebox.core.accounts import Kind
from farebox.core.credit.grants import read_given
from farebox.core.transfers import Transfer

OWED_MAX: Final = 100
"""How many reversals a merchant can owe for at once: what comes in posts a transfer for each that it pays."""

PAYING_KINDS: Final = frozenset({Kind.TOP_UP, Kind.ADJUSTMENT_CREDIT, Kind.REFUND, Kind.RELEASE, Kind.EXPIRE})
"""The kinds that bring paid money into the wallet; what they bring pays what is owed."""


class Above(StrEnum):
    """What becomes of what a request comes to above what is there for it: above its hold, or what can be spent."""

    REFUSE = "refuse"
    CHARGE = "charge"
    """A capture takes it from the wallet, or is refused as a whole; a charge takes nothing else anyway."""
    UNCOLLECTED = "uncollected"
    """The wallet gives what it has, and what is missing is written down."""


class Shortfall(Struct, frozen=True, gc=False):
    """What the transfer of this seq was due beyond its amount. Amounts are micros, times microseconds since 1970."""

    merchant_id: int
    seq: int
    at: int
    amount: int
    owed: int = 0
    """The part that is still to be paid, if a top-up was taken back."""
    top_up_seq: int | None = None
    """The top-up that was taken back; None if a request left it uncollected."""


def payment_key(seq: int, after: int) -> str:
    """Write the idempotency key of what pays for the reversal of this seq, with what the transfer `after` brought."""
    return f"owed {seq} after {after}"


def is_payment(transfer: Transfer) -> bool:
    """Tell whether a transfer pays what is owed, rather than taking a top-up back as somebody asked."""
    return transfer.kind == Kind.TOP_UP_REVERSAL and transfer.idempotency_key.startswith("owed ")


def paid_part(transfer: Transfer) -> int:
    """Tell how much paid money a transfer brings into the wallet, in micros; what is given credit pays nothing."""
    if transfer.kind not in PAYING_KINDS:
        return 0
    return transfer.amount - sum(amount for _, amount in read_given(transfer.given))


def payments(owing: Iterable[Shortfall], amount: int) -> list[tuple[Shortfall, int]]:
    """Share an amount out among what is owed, the oldest first: each that is paid something, and how much."""
    shares = []
    for shortfall in owing:
        part = min(shortfall.owed, amount)
        if part:
            shares.append((shortfall, part))
        amount -= part
    return shares
