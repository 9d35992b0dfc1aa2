"""A move of money by hand: a top-up, adjustment or reversal that went through."""

from typing import Annotated

from msgspec import Meta, Struct

from farebox.core.accounts import Account
from farebox.core.money import format_amount
from farebox.core.transfers import Transfer
from farebox.presenters.fields import Amount, AvailableAfter, PostedAfter, TransferId


class MoveData(Struct, frozen=True, rename="camel"):
    """A move of money that went through."""

    transfer_id: TransferId
    amount: Amount
    balance: PostedAfter
    available: AvailableAfter


class ApprovedData(Struct, frozen=True, rename="camel"):
    """A request that was approved and is done: a move of money, or a credit limit, which moves none."""

    transfer_id: Annotated[TransferId | None, Meta(description="Null for a credit limit.")]
    amount: Annotated[Amount, Meta(description="Of a credit limit, the limit.")]
    balance: PostedAfter
    available: AvailableAfter


def approved_data(transfer: Transfer | None, account: Account) -> ApprovedData:
    """Tell of what was approved: the transfer that it became, or the credit limit that the account now has."""
    if transfer is None:
        amounts = (account.credit_limit, account.posted, account.available)
        return ApprovedData(None, *map(format_amount, amounts))
    move = move_data(transfer)
    return ApprovedData(move.transfer_id, move.amount, move.balance, move.available)


def move_data(transfer: Transfer) -> MoveData:
    """Tell of a move of money that went through."""
    return MoveData(
        transfer_id=transfer.id,
        amount=format_amount(transfer.amount),
        balance=format_amount(transfer.posted_after),
        available=format_amount(transfer.wallet_after),
    )
