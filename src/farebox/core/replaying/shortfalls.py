"""Replaying shortfalls: what requests left uncollected, what is owed of top-ups, and that it is paid first."""

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec.structs import replace

from farebox.core.accounts import Account, Kind
from farebox.core.credit.shortfalls import Shortfall, is_payment, paid_part, payment_key, payments
from farebox.core.holds import above_key
from farebox.core.money import format_amount
from farebox.core.transfers import Transfer

_SPENDING_KINDS: Final = frozenset({Kind.CHARGE, Kind.HOLD})
_SHORT_KINDS: Final = frozenset({Kind.CHARGE, Kind.TOP_UP_REVERSAL})


class ShortfallReplay:
    """The transfers of one book, fed in order of seq."""

    def __init__(self) -> None:
        """Start at the empty book."""
        self.owed = 0
        """The sum that is owed, in micros."""
        self._rows: dict[int, Shortfall] = {}
        self._expected: list[tuple[Shortfall, int, str]] = []
        """What the next transfers have to pay: of which, how much, and under which key."""
        self._before: Transfer | None = None

    def feed(self, transfer: Transfer) -> Iterator[str]:
        """Apply a transfer, and yield what is wrong with it."""
        # Credit that has gone back into a grant that is over ends first.
        if is_payment(transfer):
            yield from self._pay(transfer)
        elif transfer.kind != Kind.GRANT_EXPIRY:
            yield from self._missed()
        if transfer.kind in _SPENDING_KINDS and self.owed and transfer.amount:
            yield "spends while money is owed"
        if transfer.kind == Kind.CHARGE and (
            transfer.refers_to is not None or transfer.idempotency_key[:6] == "above "
        ):
            yield from self._above_faults(transfer)
        if transfer.uncollected is not None:
            yield from self._add(transfer, transfer.uncollected)
        brought = _brought(transfer)
        if self.owed and brought:
            self._expected = [
                (row, amount, payment_key(row.seq, transfer.seq))
                for row, amount in payments([row for row in self._rows.values() if row.owed], brought)
            ]
        self._before = transfer

    def skip(self) -> None:
        """Know that plain charges came, while nothing was owed."""
        self._before = None

    def finish(self, account: Account, stored: Iterable[Shortfall]) -> Iterator[str]:
        """Compare what is missing with what is stored of it, and yield what differs."""
        yield from self._missed()
        if account.owed != self.owed:
            yield f"{format_amount(account.owed)} is owed, its transfers come to {format_amount(self.owed)}"
        rows = {row.seq: row for row in stored}
        for seq in sorted(rows.keys() | self._rows.keys()):
            if rows.get(seq) != self._rows.get(seq):
                yield f"what is stored of what seq {seq} left uncollected is not what its transfers come to"

    def _missed(self) -> Iterator[str]:
        if self._expected:
            amount = sum(amount for _, amount, _ in self._expected)
            self._expected = []
            yield f"{format_amount(amount)} of what is owed was to be paid before it"

    def _pay(self, transfer: Transfer) -> Iterator[str]:
        if not self._expected:
            yield "pays what is owed, which nothing before it brought"
            return
        row, amount, key = self._expected.pop(0)
        if (transfer.amount, transfer.refers_to, transfer.idempotency_key) != (amount, row.top_up_seq, key):
            yield f"was to pay {format_amount(amount)} of what is owed for seq {row.top_up_seq}"
        self.owed -= amount
        self._rows[row.seq] = replace(row, owed=row.owed - amount)

    def _add(self, transfer: Transfer, amount: int) -> Iterator[str]:
        if transfer.kind not in _SHORT_KINDS or amount < 0 or is_payment(transfer):
            yield "leaves something uncollected, which only charges and reversals of top-ups do"
            return
        row = Shortfall(transfer.merchant_id, transfer.seq, transfer.committed_at, amount)
        if transfer.kind == Kind.TOP_UP_REVERSAL:
            self.owed += amount
            row = replace(row, owed=amount, top_up_seq=transfer.refers_to)
        self._rows[transfer.seq] = row

    def _above_faults(self, transfer: Transfer) -> Iterator[str]:
        """Compare what was taken above a hold with the capture that it belongs to, right before it."""
        before = self._before
        told = (Kind.CAPTURE, transfer.refers_to, transfer.request_type, transfer.fingerprint)
        if before is None or told != (before.kind, before.refers_to, before.request_type, before.fingerprint):
            yield "takes more than a hold had, but does not follow its capture"
        if transfer.idempotency_key != above_key(transfer.refers_to or 0):
            yield "is not under the key of what is above its hold"


def _brought(transfer: Transfer) -> int:
    """Tell how much paid money a transfer brings; nothing if it can't be read what of it was given, which is told."""
    try:
        return paid_part(transfer)
    except ValueError:
        return 0
