"""Deriving anew, offline, what an export's transfers say of given credit: its grants' terms stand in the export itself.

From a book's first transfer on everything is known, so each transfer has to name just what the order of spending comes
to. An export that begins in the middle of a book, and continues no other, has transfers that name grants which were
made before. Nothing is known of those, so they are taken as they are written; what is known of the others holds all the
same: none gives more than it has, after its end, or for a type that it does not pay for.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from farebox.core.accounts import EFFECTS, Kind
from farebox.core.replaying.grants import GrantReplay
from farebox.core.transfers import Transfer

KEPT_MAX: Final = 100_000
"""How many charges that took of grants are kept, for refunds to be held against; of older ones refunds are believed."""

_REFUNDED_KINDS: Final = frozenset({Kind.CHARGE, Kind.CAPTURE})


class GrantCheck:
    """The grants that exports have named, and what is left of them: one for exports that continue each other."""

    def __init__(self, *, kept_max: int = KEPT_MAX) -> None:
        """Start before the first export."""
        self._kept_max = kept_max
        self._replay = GrantReplay(is_whole=False)
        self._kept: OrderedDict[int, tuple[Transfer, int]] = OrderedDict()
        """Charges and captures that took of grants, and how much of each has gone back, by their seq."""
        self._kept_from = 0
        """The seq from which on all such charges are kept."""
        self._seq = 0

    def begin(self, first_seq: int) -> None:
        """Start with an export; what was known goes on if the one before it ended right there."""
        if first_seq != self._seq + 1:
            self.forget(first_seq)
        if first_seq == 1:
            self._replay = GrantReplay()

    def faults(self, transfer: Transfer) -> Iterator[str]:
        """Go on to a transfer, and yield what is wrong with what it says of grants."""
        self._seq = transfer.seq
        wallet_before = transfer.wallet_after - EFFECTS[Kind(transfer.kind)].wallet * transfer.amount
        original, returned = self._kept.get(transfer.refers_to or 0, (None, 0))
        yield from self._replay.feed(transfer, wallet_before, returned)
        if self._replay.refunds:
            refund = self._replay.refunds.pop()
            if original is not None:
                yield from self._replay.refund_faults(refund, original)
                self._kept[original.seq] = original, returned + transfer.amount
            elif transfer.given is not None and refund.original_seq >= self._kept_from:
                yield "it gives back to grants what was not taken from them"
        if transfer.kind in _REFUNDED_KINDS and transfer.given is not None:
            self._kept[transfer.seq] = transfer, 0
            if len(self._kept) > self._kept_max:
                self._kept_from = self._kept.popitem(last=False)[0] + 1

    def forget(self, next_seq: int) -> None:
        """Know nothing any more: a transfer that may have changed it can't be read."""
        self._replay = GrantReplay(is_whole=False)
        self._kept.clear()
        self._kept_from = next_seq
        self._seq = next_seq - 1

    def finish(self) -> Iterator[str]:
        """Yield what is wrong once no more transfers come."""
        return self._replay.unended()
