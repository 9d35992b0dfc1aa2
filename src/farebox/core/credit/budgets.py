"""Budgets: how much the API keys of a merchant may spend in a day, week, month or in all, and what they have spent.

A charge or hold that names such a key counts when it is committed, with its whole amount. What a release, the end of a
hold or a refund gives back is taken off again, of the period in which the charge or hold was counted. So what was spent
in a period is told by the book's transfers alone, whenever the limit was set.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from farebox.core.accounts import Kind
from farebox.core.currencies import format_money, format_money_with_code
from farebox.core.pricing.times import CalendarUnit, calendar_bounds

BudgetKey = tuple[int, int]
"""A merchant and the number of the budget, which is that of the first API key that it was for."""

Spent: TypeAlias = tuple[int, int, int]
"""A merchant, the number of a budget, and how many micros more were spent of each of its limits."""

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


_ENDLESS: Final = 2**63
"""What a budget without limits leaves: more than any amount."""


class BudgetStanding(Struct, gc=False):
    """How a budget stands at a time, and what was spent of it since it was looked at. Amounts are micros."""

    at: int
    limits: Sequence[Budget]
    """As they stood when it was looked at."""
    room: int
    """What every limit leaves."""
    begins_anew: bool
    """Whether a period begins that differs from the stored one."""
    spent: int = 0
    is_spent: bool = False
    """Whether anything was counted, be it nothing that was to be paid."""

    def spend(self, amount: int) -> None:
        """Count what a charge or hold takes."""
        self.spent += amount
        self.room = max(0, self.room - amount)
        self.is_spent = True


class Budgets:
    """The budgets that a batch meets, and over them the ones that it changed.

    What charges and holds take is summed up for each, and comes to its rows when these are looked at.
    """

    def __init__(self, stored: Mapping[BudgetKey, Sequence[Budget]]) -> None:
        """Start from the budgets as stored."""
        self._rows = dict(stored)
        self._changed: dict[BudgetKey, Sequence[Budget]] = {}
        self._standing: dict[BudgetKey, BudgetStanding] = {}

    def standing(self, key: BudgetKey, at: int) -> BudgetStanding:
        """Look at a budget as it stands at a time, until something else becomes of it; a batch shares its time."""
        standing = self._standing.get(key)
        if standing is None or standing.at != at:
            limits = found = self._of(key)
            room, begins_anew = _ENDLESS, False
            for limit in found:
                left = limit.amount - limit.spent
                if period_of(limit.unit, limit.zone, at)[0] > limit.starts_at:
                    left, begins_anew = limit.amount, True
                # Nothing is left of a limit that was lowered below what was spent.
                if left < room:
                    room = max(0, left)
            if begins_anew:
                limits = [limit.at(at) for limit in found]
            standing = self._standing[key] = BudgetStanding(at, limits, room, begins_anew)
        return standing

    def exceeded(self, key: BudgetKey, amount: int, at: int) -> Budget | None:
        """Find the limit that an amount exceeds; None if it exceeds none.

        Of several limits that are exceeded, the one is named that goes on for longest.
        """
        if amount <= self.standing(key, at).room:
            return None
        exceeded = [budget for budget in self._of(key) if amount > budget.left(at)]
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
        self.standing(key, at).spend(amount)

    def give_back(self, key: BudgetKey, amount: int, counted_at: int) -> None:
        """Take off what goes back of a charge or hold that was counted at a time, unless its period is over."""
        self._put(
            key,
            [
                replace(budget, spent=budget.spent - amount) if counted_at >= budget.starts_at else budget
                for budget in self._of(key)
            ],
        )

    def spent(self) -> list[Spent]:
        """List how much was spent of the budgets of which that is all that changed."""
        return [
            (*key, standing.spent)
            for key, standing in self._standing.items()
            if standing.spent and not (standing.begins_anew or key in self._changed)
        ]

    def changed(self) -> list[Budget]:
        """List the other budgets that changed, as they are now."""
        for key, standing in list(self._standing.items()):
            if standing.begins_anew or key in self._changed:
                self._of(key)
        return [budget for _, budgets in sorted(self._changed.items()) for budget in budgets]

    def _of(self, key: BudgetKey) -> Sequence[Budget]:
        """Return a budget's rows, with what was spent since they were looked at."""
        standing = self._standing.pop(key, None)
        if standing is not None and standing.is_spent:
            self._put(key, [replace(limit, spent=limit.spent + standing.spent) for limit in standing.limits])
        return self._rows.get(key, ())

    def _put(self, key: BudgetKey, budgets: Sequence[Budget]) -> None:
        self._changed[key] = self._rows[key] = budgets


def _time(micros: int) -> str:
    """Write a time to the second, in UTC: every calendar's periods begin at one."""
    return f"{datetime.fromtimestamp(micros // 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"
