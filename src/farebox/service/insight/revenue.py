"""Revenue: what merchants paid in, used and are still owed, month by month in UTC, reconciled with their books.

Paid money that is not used yet is owed to the merchants in requests: deferred revenue. It becomes revenue when requests
are charged. Given credit was never paid for and becomes none. Money in holds is not used yet.

Books are rolled up into months beside the charges, and what is not rolled up yet is read from the books, so that the
figures are exact to the last transfer. See docs/decisions/0029-revenue-by-months.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from farebox.core.accounts import Kind
from farebox.core.prices import CLOCK_LAG_MICROS_MAX
from farebox.service import inputs
from farebox.service.clock import Clock
from farebox.service.errors import InvalidInput, translated
from farebox.storage.months import Month
from farebox.storage.records import BalanceSum, MonthSum
from farebox.storage.sums.revenue import RevenueStore

__all__ = [
    "HISTORY_MONTHS",
    "CurrencyRevenue",
    "Month",
    "MonthFigures",
    "MonthRevenue",
    "RevenueReader",
    "TypeRevenue",
    "net",
]

HISTORY_MONTHS: Final = 12
"""How many months a history has."""

_CONSUMING: Final = (Kind.CHARGE, Kind.CAPTURE)


class TypeRevenue(Struct, frozen=True):
    """What one request type came to in a month, in micros."""

    request_type: str
    consumed_paid: int = 0
    consumed_given: int = 0
    refunded_paid: int = 0
    refunded_given: int = 0
    uncollected: int = 0

    @property
    def recognised(self) -> int:
        """What became revenue: paid money that was used, less what was refunded of it."""
        return self.consumed_paid - self.refunded_paid


class CurrencyRevenue(Struct, frozen=True):
    """What all merchants of one currency came to in a month, in micros; `types` are sorted by name."""

    currency: str
    opening: BalanceSum
    closing: BalanceSum
    paid_in: int = 0
    taken_back: int = 0
    adjusted_up: int = 0
    adjusted_down: int = 0
    granted: int = 0
    ended: int = 0
    not_taken_back: int = 0
    """What top-ups that were taken back had spent already, and is owed since."""
    types: Sequence[TypeRevenue] = ()

    @property
    def consumed_paid(self) -> int:
        """Paid money that requests took."""
        return sum(line.consumed_paid for line in self.types)

    @property
    def consumed_given(self) -> int:
        """Given credit that requests took."""
        return sum(line.consumed_given for line in self.types)

    @property
    def refunded_paid(self) -> int:
        """Paid money that refunds gave back."""
        return sum(line.refunded_paid for line in self.types)

    @property
    def refunded_given(self) -> int:
        """Given credit that refunds gave back."""
        return sum(line.refunded_given for line in self.types)

    @property
    def uncollected(self) -> int:
        """What requests were due and was not there to be taken."""
        return sum(line.uncollected for line in self.types)

    @property
    def recognised(self) -> int:
        """What became revenue: paid money that was used, less what was refunded of it."""
        return self.consumed_paid - self.refunded_paid

    @property
    def change_paid(self) -> int:
        """By how much the paid money of all merchants changed."""
        return self.paid_in - self.taken_back + self.adjusted_up - self.adjusted_down - self.recognised

    @property
    def change_given(self) -> int:
        """By how much the given credit of all merchants changed."""
        return self.granted - self.ended - self.consumed_given + self.refunded_given

    @property
    def is_reconciled(self) -> bool:
        """Whether what moved, which is summed up, leads to what the books say that merchants have."""
        opening, closing = self.opening, self.closing
        return net(opening) + self.change_paid == net(closing) and opening.given + self.change_given == closing.given


class MonthRevenue(Struct, frozen=True):
    """A month, by currency. Once it `is_final`, nothing of it changes any more."""

    month: Month
    is_final: bool
    currencies: Sequence[CurrencyRevenue]


class MonthFigures(Struct, frozen=True):
    """What one month of a history came to, in micros: what became revenue, and what merchants had when it ended."""

    month: Month
    paid_in: int
    """Money paid in and adjusted, less what was taken back and adjusted away."""
    recognised: int
    promotional: int
    """Given credit that was used, less what was refunded of it."""
    closing: int
    """Paid money of all merchants, what they have drawn on credit limits taken off."""


class RevenueReader:
    """Reads revenue. Every method may raise Unavailable."""

    def __init__(self, revenue: RevenueStore, clock: Clock) -> None:
        """Read from this store."""
        self._revenue = revenue
        self._clock = clock

    def present_month(self) -> Month:
        """Return the month that it is."""
        return Month.of(self._clock.now())

    async def read(self, month: str | None) -> MonthRevenue:
        """Read a month, such as 2026-11; the present one, if none is named.

        Raises:
            InvalidInput: it is no month, or has not begun.
        """
        wanted = self._month(month)
        with translated():
            found = await self._revenue.months(wanted, wanted)
        currencies = sorted({*found.opening, *found.closing, *(line.currency for line in found.moved)})
        return MonthRevenue(
            wanted,
            self._clock.now() >= wanted.ends_at + CLOCK_LAG_MICROS_MAX,
            [
                _currency_revenue(
                    currency,
                    [line for line in found.moved if line.currency == currency],
                    found.opening.get(currency, BalanceSum()),
                    found.closing.get(currency, BalanceSum()),
                )
                for currency in currencies
            ],
        )

    async def history(self, month: str | None) -> Mapping[str, Sequence[MonthFigures]]:
        """Read the months up to one, HISTORY_MONTHS of them, by currency, oldest first.

        Raises:
            InvalidInput: it is no month, or has not begun.
        """
        last = self._month(month)
        first = last.plus(1 - HISTORY_MONTHS)
        with translated():
            found = await self._revenue.months(first, last)
        by_place: dict[tuple[str, Month], list[MonthSum]] = {}
        for line in found.moved:
            by_place.setdefault((line.currency, line.month), []).append(line)
        histories = {}
        for currency in sorted({*found.opening, *(name for name, _ in by_place)}):
            balance, figures = net(found.opening.get(currency, BalanceSum())), []
            for number in range(HISTORY_MONTHS):
                at = first.plus(number)
                came_to = _currency_revenue(currency, by_place.get((currency, at), []), BalanceSum(), BalanceSum())
                balance += came_to.change_paid
                paid_in = came_to.change_paid + came_to.recognised
                promotional = came_to.consumed_given - came_to.refunded_given
                figures.append(MonthFigures(at, paid_in, came_to.recognised, promotional, balance))
            histories[currency] = figures
        return histories

    def _month(self, text: str | None) -> Month:
        present = self.present_month()
        month = present if text is None else inputs.month("month", text)
        if month > present:
            raise InvalidInput("month", f"{month} has not begun")
        return month


def net(balance: BalanceSum) -> int:
    """Tell what paid money merchants have altogether, what others are below zero taken off."""
    return balance.paid - balance.drawn


def _currency_revenue(
    currency: str, moved: Sequence[MonthSum], opening: BalanceSum, closing: BalanceSum
) -> CurrencyRevenue:
    def came_to(kind: Kind) -> int:
        return sum(line.amount for line in moved if line.kind == kind)

    return CurrencyRevenue(
        currency,
        opening,
        closing,
        paid_in=came_to(Kind.TOP_UP),
        taken_back=came_to(Kind.TOP_UP_REVERSAL),
        adjusted_up=came_to(Kind.ADJUSTMENT_CREDIT),
        adjusted_down=came_to(Kind.ADJUSTMENT_DEBIT),
        granted=came_to(Kind.GRANT),
        ended=came_to(Kind.GRANT_EXPIRY),
        not_taken_back=sum(line.uncollected for line in moved if line.kind == Kind.TOP_UP_REVERSAL),
        types=[
            _type_revenue(name, [line for line in moved if line.request_type == name])
            for name in sorted({line.request_type for line in moved if line.request_type is not None})
        ],
    )


def _type_revenue(request_type: str, moved: Iterable[MonthSum]) -> TypeRevenue:
    sums = dict.fromkeys(("consumed_paid", "consumed_given", "refunded_paid", "refunded_given", "uncollected"), 0)
    for line in moved:
        what = "consumed" if line.kind in _CONSUMING else "refunded"
        sums[f"{what}_paid"] += line.amount - line.given
        sums[f"{what}_given"] += line.given
        sums["uncollected"] += line.uncollected
    return TypeRevenue(request_type, **sums)
