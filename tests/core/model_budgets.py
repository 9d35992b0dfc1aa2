"""What API keys may spend, slow and obvious: what was spent is read out of all the moves that name the key."""

from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from farebox.core.credit.budgets import BudgetUnit


@dataclass(frozen=True)
class KeyLimits:
    """How much a key may spend, by day, week, month of a zone, or in all."""

    zone: str
    amounts: dict[BudgetUnit, Decimal]


def stretch(unit: BudgetUnit, zone: str, at: int) -> tuple[int, ...]:
    """Name the day, week or month that a clock of a zone shows."""
    clock = datetime.fromtimestamp(at // 10**6, ZoneInfo(zone))
    match unit:
        case BudgetUnit.DAY:
            return clock.year, clock.month, clock.day
        case BudgetUnit.WEEK:
            return clock.isocalendar()[:2]
        case BudgetUnit.MONTH:
            return clock.year, clock.month
    return ()


def last_day(unit: BudgetUnit, zone: str, at: int) -> date:
    """Name the last day of the day, week or month that a clock of a zone shows."""
    today = datetime.fromtimestamp(at // 10**6, ZoneInfo(zone)).date()
    match unit:
        case BudgetUnit.DAY:
            return today
        case BudgetUnit.WEEK:
            return today + timedelta(days=6 - today.weekday())
        case BudgetUnit.MONTH:
            return today.replace(day=monthrange(today.year, today.month)[1])
    return date.max


def spent(moves: Sequence[Any], key: int, unit: BudgetUnit, zone: str, at: int) -> Decimal:
    """Sum up what charges and holds that name a key took in the stretch of a time, without what went back of them."""
    total = Decimal(0)
    for seq, move in enumerate(moves, 1):
        if (
            move.key == key
            and move.word in ("charge", "hold")
            and stretch(unit, zone, move.at) == stretch(unit, zone, at)
        ):
            captures = {number for number, one in enumerate(moves, 1) if one.word == "capture" and one.refers_to == seq}
            back = [
                one.amount
                for one in moves
                if (one.word in ("refund", "release", "expire") and one.refers_to == seq)
                or (one.word == "refund" and one.refers_to in captures)
            ]
            total += move.amount - sum(back, Decimal(0))
    return total


def left(moves: Sequence[Any], key: int | None, limits: KeyLimits | None, at: int) -> Decimal | None:
    """Tell how much a key may still take at a time; None if nothing limits it."""
    if key is None or limits is None:
        return None
    return max(
        Decimal(0),
        min(amount - spent(moves, key, unit, limits.zone, at) for unit, amount in limits.amounts.items()),
    )
