"""Where a time lies in a book: its transfers have no gaps and their times never go backwards, so seq is searched.

It takes one query for each doubling of the book's length, each a few point look-ups: 20 for a million transfers. No
index over time is needed, and the book only grows, so what is found is of one piece without a transaction.
"""

from collections.abc import Sequence

from farebox.core.accounts import Account
from farebox.core.invariants import InvariantViolation
from farebox.core.transfers import Transfer
from farebox.storage.transfers import TransferStore


async def last_transfers(transfers: TransferStore, account: Account, moments: Sequence[int]) -> list[Transfer | None]:
    """Find the last transfer at or before each moment: one binary search over seq for all of them, a query a step.

    Args:
        transfers: where the book is.
        account: the merchant's account; transfers later than its own last one are not seen.
        moments: microseconds since 1970, in any order.

    Returns:
        For each moment its transfer, or None before the book's first.

    Raises:
        StoreUnavailable: the database can't be read.
        InvariantViolation: the book has a gap.
    """
    low = [0] * len(moments)
    high = [account.seq] * len(moments)
    read: dict[int, Transfer] = {}
    while unsettled := [index for index in range(len(moments)) if low[index] < high[index]]:
        middle = {index: (low[index] + high[index] + 1) // 2 for index in unsettled}
        read.update(await transfers_at(transfers, account.merchant_id, set(middle.values())))
        for index, seq in middle.items():
            if read[seq].committed_at <= moments[index]:
                low[index] = seq
            else:
                high[index] = seq - 1
    return [read.get(seq) for seq in low]


async def transfers_at(transfers: TransferStore, merchant_id: int, seqs: set[int]) -> dict[int, Transfer]:
    """Read single transfers of a book, all of which must be there.

    Raises:
        StoreUnavailable: the database can't be read.
        InvariantViolation: one is missing.
    """
    read = dict(await transfers.at(merchant_id, sorted(seqs)))
    if missing := seqs - read.keys():
        raise InvariantViolation(f"the transfer with seq {min(missing)} is missing from its book")
    return read
