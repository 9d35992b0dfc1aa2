"""Revenue by a scan of all transfers: slow and plain, what the sums that are kept are held against."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from farebox.core.accounts import Kind
from farebox.core.credit.shortfalls import is_payment
from farebox.core.transfers import Transfer
from farebox.storage.months import Month
from farebox.storage.records import BalanceSum, MonthSum, RevenueSums

_SET_ASIDE: Final = (Kind.HOLD, Kind.RELEASE, Kind.EXPIRE)
_ARRIVES: Final = (Kind.TOP_UP, Kind.ADJUSTMENT_CREDIT, Kind.REFUND, Kind.GRANT)


def month_of(micros: int) -> Month:
    """Name the month of a time, microseconds since 1970, in UTC."""
    moment = datetime.fromtimestamp(micros // 1_000_000, UTC)
    return Month(moment.year, moment.month)


def given_part(transfer: Transfer) -> int:
    """Sum up what of a transfer was given credit."""
    parts = (transfer.given or "").split(";")[0]
    return sum(int(part.split(":")[1]) for part in parts.split(",") if part)


def scanned(books: Iterable[tuple[str, Sequence[Transfer]]], *, first: Month, last: Month) -> RevenueSums:
    """Read every transfer of every book, each with its currency, and sum up what the months came to."""
    moved: dict[tuple[Month, str, int, str], list[int]] = {}
    opening: dict[str, list[int]] = {}
    closing: dict[str, list[int]] = {}
    for currency, transfers in books:
        for balances, before in ((opening, first), (closing, last.plus(1))):
            earlier = [transfer for transfer in transfers if month_of(transfer.committed_at) < before]
            if earlier:
                _add(balances.setdefault(currency, [0, 0, 0, 0]), _balance(earlier))
        for transfer in transfers:
            month = month_of(transfer.committed_at)
            if first <= month <= last and transfer.kind not in _SET_ASIDE:
                place = (month, currency, transfer.kind, transfer.request_type or "")
                parts = (transfer.amount, given_part(transfer), transfer.uncollected or 0)
                _add(moved.setdefault(place, [0, 0, 0]), parts)
    return RevenueSums(
        [MonthSum(*place[:3], place[3] or None, *sums) for place, sums in sorted(moved.items())],
        _balances(opening),
        _balances(closing),
    )


def _balance(transfers: Sequence[Transfer]) -> tuple[int, int, int, int]:
    given = sum(
        given_part(transfer) * (1 if transfer.kind in _ARRIVES else -1)
        for transfer in transfers
        if transfer.kind not in _SET_ASIDE
    )
    paid = transfers[-1].posted_after - given
    back = [transfer for transfer in transfers if transfer.kind == Kind.TOP_UP_REVERSAL]
    owed = sum(-item.amount if is_payment(item) else item.uncollected or 0 for item in back)
    return max(paid, 0), max(-paid, 0), given, owed


def _add(sums: list[int], parts: Sequence[int]) -> None:
    for index, part in enumerate(parts):
        sums[index] += part


def _balances(found: Mapping[str, Sequence[int]]) -> dict[str, BalanceSum]:
    return {currency: BalanceSum(*sums) for currency, sums in found.items() if any(sums)}
