"""Budgets: how much the API keys of a merchant may spend in a day, week, month or in all, and what they have spent.

A charge or hold that names such a key counts when it is committed, with its whole amount. What a release, the end of a
hold or a refund gives back is taken off again, of the period in which the charge or hold was counted. So what was spent
in a period is told by the book's transfers alone, whenever the limit was set.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from functools import lru_cache
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from farebox.core.accounts import Kind
from farebox.core.currencies import format_money, format_money_with_code
from farebox.core.pricing.times import CalendarUnit, calendar_bounds

BudgetKey = tuple[int, int]
"""A merchant and the number of the budget, which is that of the first API key that it was for."""

COUNTED_KINDS: Final = frozenset({Kind.CHARGE, Kind.HOLD})
RETURNED_KINDS: Final = frozenset({Kind.RELEASE, Kind.EXPIRE, Kind.REFUND})


class BudgetUnit(IntEnum):
    """How long a limit is for. The number is what the database stores."""

    DAY = 1
    WEEK = 2
    MONTH = 3
    TOTAL = 4


BUDGET_WORDS: Final[dict[int, Literal["day", "week", "month", "total"]]] = {
    BudgetUnit.DAY: "day",
    BudgetUnit.WEEK: "week",
    BudgetUnit.MONTH: "month",
    BudgetUnit.TOTAL: "total",
}
"""The units as the API writes them."""

_EACH: Final[dict[int, str]] = {
    BudgetUnit.DAY: "per day",
    BudgetUnit.WEEK: "per week",
    BudgetUnit.MONTH: "per month",
    BudgetUnit.TOTAL: "in all",
}
_CALENDAR: Final[dict[int, CalendarUnit]] = {
    BudgetUnit.DAY: CalendarUnit.DAY,
    BudgetUnit.WEEK: CalendarUnit.WEEK,
    BudgetUnit.MONTH: CalendarUnit.MONTH,
}


_PERIODS_MAX: Final = 256
"""Of so many periods it is kept when they begin and end. The charges of a batch share their time, and most a zone."""


class Budget(Struct, frozen=True, gc=False):
    """One limit of a budget, and what was spent of it in the last period in which anything was. Amounts are micros.

    A merchant's keys that name `budget_id` spend from it together: a key and its successors.
    """

    merchant_id: int
    budget_id: int
    unit: int
    amount: int
    zone: str
    """The IANA time zone whose days, weeks and months these are."""
    starts_at: int = 0
    """When the period began that `spent` is of, in microseconds since 1970; 0 for a limit in all."""
    spent: int = 0
    told_starts_at: int | None = None
    """When the last period began in which a refusal for this limit was told; None if none was."""

    @property
    def words(self) -> str:
        """How long the limit is for, as a sentence says it."""
        return _EACH[self.unit]

    def left(self, at: int) -> int:
        """Tell how much is left at a time; nothing if a limit was lowered below what was spent."""
        return max(0, self.amount - self.spent_at(at))

    def spent_at(self, at: int) -> int:
        """Tell how much is spent at a time of the period that it is in: nothing of one that begins."""
        return self.spent if period_of(self.unit, self.zone, at)[0] <= self.starts_at else 0

    def at(self, at: int) -> "Budget":
        """Return the budget as it stands at a time."""
        starts_at = period_of(self.unit, self.zone, at)[0]
        return self if starts_at <= self.starts_at else replace(self, starts_at=starts_at, spent=0)

    def ends_at(self, at: int) -> int | None:
        """Tell when the budget of a time starts anew; None if it never does."""
        return period_of(self.unit, self.zone, at)[1]

    def refusal(self, amount: int, at: int, currency: str) -> str:
        """Say that an amount exceeds the limit at a time, what is left of it and when it starts anew."""
        ends_at = self.ends_at(at)
        anew = "it does not start anew" if ends_at is None else f"it starts anew at {_time(ends_at)}"
        return (
            f"The API key's budget is exceeded: {format_money_with_code(amount, currency)} needed, "
            f"{format_money(self.left(at), currency)} left of {format_money_with_code(self.amount, currency)} "
            f"{self.words}; {anew}"
        )

    def facts(self, amount: int, at: int) -> dict[str, object]:
        """Tell the same of an alert."""
        starts_at, ends_at = period_of(self.unit, self.zone, at)
        return {
            "budget_id": self.budget_id,
            "unit": BUDGET_WORDS[self.unit],
            "amount": self.amount,
            "spent": self.spent_at(at),
            "needed": amount,
            "starts_at": None if ends_at is None else starts_at,
            "ends_at": ends_at,
        }


@lru_cache(_PERIODS_MAX)
def period_of(unit: int, zone: str, at: int) -> tuple[int, int | None]:
    """Tell when the period of a time began, and when it ends; a limit in all has one period without end."""
    calendar_unit = _CALENDAR.get(unit)
    return (0, None) if calendar_unit is None else calendar_bounds(calendar_unit, zone, at)


class Budgets:
    """The budgets that a batch meets, and over them the ones that it changed."""

    def __init__(self, stored: Mapping[BudgetKey, Sequence[Budget]]) -> None:
        """Start from the budgets as stored."""
        self._rows = dict(stored)
        self._changed: dict[BudgetKey, Sequence[Budget]] = {}
        self._standing: dict[BudgetKey, tuple[int, Sequence[Budget], Sequence[Budget]]] = {}
        """A time, the rows as they were looked at then, and these as they stand at that time."""

    def exceeded(self, key: BudgetKey, amount: int, at: int) -> Budget | None:
        """Find the limit that an amount exceeds; None if it exceeds none.

        Of several limits that are exceeded, the one is named that goes on for longest.
        """
        exceeded = [
            budget
            for budget, now in zip(self._of(key), self._at(key, at), strict=True)
            if amount > max(0, now.amount - now.spent)
        ]
        if not exceeded:
            return None
        endless = [budget for budget in exceeded if budget.unit == BudgetUnit.TOTAL]
        return endless[0] if endless else max(exceeded, key=lambda budget: (budget.ends_at(at) or 0, budget.unit))

    def tell(self, key: BudgetKey, limit: Budget, at: int) -> bool:
        """Note that a refusal for a limit is told at a time; return False if one was told in this period before."""
        starts_at = period_of(limit.unit, limit.zone, at)[0]
        if limit.told_starts_at == starts_at:
            return False
        told = replace(limit, told_starts_at=starts_at)
        self._put(key, [told if budget is limit else budget for budget in self._of(key)])
        return True

    def left(self, key: BudgetKey, at: int) -> int:
        """Tell how much every limit of a budget leaves at a time."""
        return min(budget.left(at) for budget in self._of(key))

    def spend(self, key: BudgetKey, amount: int, at: int) -> None:
        """Count what a charge or hold takes at a time, which must not be before that of any earlier one."""
        spent = [replace(budget, spent=budget.spent + amount) for budget in self._at(key, at)]
        self._put(key, spent)
        self._standing[key] = (at, spent, spent)

    def give_back(self, key: BudgetKey, amount: int, counted_at: int) -> None:
        """Take off what goes back of a charge or hold that was counted at a time, unless its period is over."""
        self._put(
            key,
            [
                replace(budget, spent=budget.spent - amount) if counted_at >= budget.starts_at else budget
                for budget in self._of(key)
            ],
        )

    def changed(self) -> list[Budget]:
        """List the budgets that changed, as they are now."""
        return [budget for _, budgets in sorted(self._changed.items()) for budget in budgets]

    def _at(self, key: BudgetKey, at: int) -> Sequence[Budget]:
        """Return a budget's rows as they stand at a time; a charge asks for them twice, and a batch shares its time."""
        found = self._of(key)
        standing = self._standing.get(key)
        if standing is None or standing[0] != at or standing[1] is not found:
            standing = self._standing[key] = (at, found, [budget.at(at) for budget in found])
        return standing[2]

    def _of(self, key: BudgetKey) -> Sequence[Budget]:
        return self._rows.get(key, ())

    def _put(self, key: BudgetKey, budgets: Sequence[Budget]) -> None:
        self._changed[key] = self._rows[key] = budgets


def _time(micros: int) -> str:
    """Write a time to the second, in UTC: every calendar's periods begin at one."""
    return f"{datetime.fromtimestamp(micros // 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"
