"""Revenue: what moved in each month, and what merchants had when it ended, rolled up and read exactly."""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from farebox.storage.subject import SubjectStore

_BILLION: Final = 10**9
_MOVED, _OPENING = 0, 1


class MonthSum(Struct, frozen=True):
    """What the transfers of one month, currency, kind and request type came to, in micros.

    `month` is such as 202611, in UTC; `request_type` is None where the kind has none. `given` is the part of the amount
    that was given credit.
    """

    month: int
    currency: str
    kind: int
    request_type: str | None
    amount: int
    given: int
    uncollected: int


class BalanceSum(Struct, frozen=True):
    """What all merchants of a currency had at one moment, wallets and holds, in micros.

    `paid` is the paid money of those who have some, `drawn` what others spent beyond theirs on a credit limit, and
    `given` is given credit.
    """

    paid: int = 0
    drawn: int = 0
    given: int = 0


class RevenueSums(Struct, frozen=True):
    """Months in a row: what moved in each, and what merchants had before the first and after the last, by currency."""

    moved: Sequence[MonthSum]
    opening: Mapping[str, BalanceSum]
    closing: Mapping[str, BalanceSum]


class RevenueStore(SubjectStore):
    """The revenue of one database's merchants, all together. UsageStore rolls it up."""

    async def months(self, *, first: int, last: int, starts_at: int, ends_at: int) -> RevenueSums:
        """Sum months up, exact to the last transfer committed, whether or not it was rolled up yet.

        Args:
            first: the first month, such as 202611.
            last: the last month.
            starts_at: when the first month starts, in UTC, microseconds since 1970.
            ends_at: when the month after the last one starts.

        Returns:
            What moved in order of month, currency, kind and request type.
        """
        moved: list[MonthSum] = []
        opening: dict[str, BalanceSum] = {}
        closing: dict[str, BalanceSum] = {}
        for row in await self._rows("revenue", first, last, starts_at, ends_at):
            part, month, currency, kind, request_type, *halves = row
            sums = [billions * _BILLION + rest for billions, rest in zip(halves[::2], halves[1::2], strict=True)]
            if part == _MOVED:
                moved.append(MonthSum(month, currency, kind, request_type or None, *sums))
            elif any(sums):
                (opening if part == _OPENING else closing)[currency] = BalanceSum(*sums)
        return RevenueSums(moved, opening, closing)
