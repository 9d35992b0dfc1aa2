"""Whose turn it is: mails are claimed of one merchant after the other, so that one with thousands holds up no other."""

from collections import Counter
from collections.abc import Sequence


def last_in_turn(merchant_ids: Sequence[int], after: int) -> int:
    """Tell which merchant was the last whose turn it was, so that the next claim begins with the one that follows.

    Args:
        merchant_ids: those of the mails that were claimed, one for each.
        after: the merchant after which that claim began.
    """
    if not merchant_ids:
        return after
    counts = Counter(merchant_ids)
    most = max(counts.values())
    return max(
        (merchant_id for merchant_id in counts if counts[merchant_id] == most),
        key=lambda merchant_id: (merchant_id <= after, merchant_id),
    )
