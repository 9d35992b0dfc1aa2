"""A move of money by hand: a top-up, adjustment or reversal that went through."""

from typing import Annotated

from msgspec import Meta, Struct

from farebox.core.accounts import Account
from farebox.core.credit.grants import Grant
from farebox.core.money import format_amount
from farebox.core.transfers import Transfer
from farebox.presenters.fields import Amount, AvailableAfter, PostedAfter, TransferId, amount_or_none


class MoveData(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A move of money that went through."""

    transfer_id: TransferId
    amount: Amount
    balance: PostedAfter
    available: AvailableAfter
    owed: Annotated[
        Amount | None,
        Meta(description="What a reversal could not take back, which is owed; absent if it could take back all."),
    ] = None


class ApprovedData(Struct, frozen=True, rename="camel"):
    """A request that was approved and is done: a move of money, a credit limit, or a grant that starts later."""

    transfer_id: Annotated[
        TransferId | None, Meta(description="Null for a credit limit, and for a grant that starts later.")
    ]
    amount: Annotated[Amount, Meta(description="Of a credit limit, the limit.")]
    balance: PostedAfter
    available: AvailableAfter


def approved_limit_data(account: Account) -> ApprovedData:
    """Tell of a credit limit that was approved, which the account now has; an approved move is told as any other."""
    return ApprovedData(None, *map(format_amount, (account.credit_limit, account.posted, account.available)))


def approved_grant_data(grant: Grant, account: Account) -> ApprovedData:
    """Tell of a grant that was approved and starts later; one that starts at once is told as any other move."""
    return ApprovedData(None, *map(format_amount, (grant.amount, account.posted, account.available)))


def move_data(transfer: Transfer) -> MoveData:
    """Tell of a move of money that went through."""
    return MoveData(
        transfer_id=transfer.id,
        amount=format_amount(transfer.amount),
        balance=format_amount(transfer.posted_after),
        available=format_amount(transfer.wallet_after),
        owed=amount_or_none(transfer.uncollected),
    )
