"""A move of money by hand: a top-up, adjustment or reversal that went through."""

from msgspec import Struct

from farebox.core.money import format_amount
from farebox.core.transfers import Transfer
from farebox.presenters.fields import Amount, AvailableAfter, PostedAfter, TransferId


class MoveData(Struct, frozen=True, rename="camel"):
    """A move of money that went through."""

    transfer_id: TransferId
    amount: Amount
    balance: PostedAfter
    available: AvailableAfter


def move_data(transfer: Transfer) -> MoveData:
    """Tell of a move of money that went through."""
    return MoveData(
        transfer_id=transfer.id,
        amount=format_amount(transfer.amount),
        balance=format_amount(transfer.posted_after),
        available=format_amount(transfer.wallet_after),
    )
