"""The sums spent in each hour, worked out of a book as far as it is rolled up, beside those that are kept."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from farebox.core.accounts import Kind
from farebox.core.money import format_amount
from farebox.core.transfers import Transfer

HOUR_MICROS: Final = 3_600_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SIGNS: Final[Mapping[int, int]] = {Kind.CHARGE: 1, Kind.CAPTURE: 1, Kind.REFUND: -1}


class HourReplay:
    """One merchant's transfers, fed in order of seq: what they come to is compared with the hours as stored."""

    def __init__(self, rolled_up_seq: int, kept: Mapping[int, int]) -> None:
        """Start at the empty book.

        Args:
            rolled_up_seq: the last transfer that is in the sums, 0 for none.
            kept: micros spent, less what was refunded, by the hour's number since 1970, UTC.
        """
        self.rolled_up_seq = rolled_up_seq
        self._kept = kept
        self.spent: dict[int, int] = {}
        """What the transfers that are rolled up come to, by hour."""

    def feed_all(self, transfers: Iterable[Transfer]) -> None:
        """Count transfers, those that are rolled up."""
        last, spent = self.rolled_up_seq, self.spent
        for transfer in transfers:
            sign = _SIGNS.get(transfer.kind)
            if sign and transfer.seq <= last:
                hour = transfer.committed_at // HOUR_MICROS
                spent[hour] = spent.get(hour, 0) + sign * transfer.amount

    def finish(self, last_seq: int) -> Iterator[str]:
        """Compare the book, which ends at `last_seq`, with what is stored, and yield the first hour that differs."""
        if self.rolled_up_seq > last_seq:
            yield f"what was spent by hour is summed up to seq {self.rolled_up_seq}, where there is no transfer yet"
        spent, kept = self.spent, self._kept
        if spent == kept:
            return
        differing = sorted(hour for hour in spent.keys() | kept.keys() if spent.get(hour, 0) != kept.get(hour, 0))
        if differing:
            hour = differing[0]
            began_at = f"{_EPOCH + timedelta(hours=hour):%Y-%m-%dT%H:%MZ}"
            sums = (
                f"{format_amount(kept.get(hour, 0))} is kept, its transfers come to {format_amount(spent.get(hour, 0))}"
            )
            more = f"; hours that differ besides: {len(differing) - 1}" if differing[1:] else ""
            yield f"what was spent in the hour from {began_at}: {sums}{more}"
