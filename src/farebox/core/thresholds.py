"""Low-balance thresholds: when each is told of, and when it watches again. docs/explanation/alerts.md has the rule.

An episode of a threshold is a stretch of time in which the posted balance counts as below it. Each episode is told of
when it begins, and never again. A threshold is armed while no episode runs. Those of a new book are armed as well, even
above its balance of 0: nothing is told of it before money has moved, and then whatever is below.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from farebox.core.currencies import format_money, format_money_with_code

THRESHOLDS_MAX: Final = 5


class Threshold(Struct, frozen=True, gc=False, array_like=True):
    """An amount of posted balance, in micros, to be warned below; armed while no episode of it runs."""

    amount: int
    is_armed: bool


Told = tuple[tuple[Threshold, ...], int | None]
"""Thresholds after a change, and the lowest of those whose episode it began; None if it began none."""


def fall(thresholds: tuple[Threshold, ...], posted: int) -> Told:
    """Begin an episode of each armed threshold above `posted`; called for what takes posted down.

    Several make one alert, which names the lowest.
    """
    told: int | None = None
    for threshold in thresholds:
        if threshold.is_armed and posted < threshold.amount and (told is None or threshold.amount < told):
            told = threshold.amount
    if told is None:
        return thresholds, None
    return tuple(Threshold(item.amount, item.is_armed and posted >= item.amount) for item in thresholds), told


def money_arrives(thresholds: tuple[Threshold, ...], posted: int) -> Told:
    """End every episode, and begin one of each threshold that the money leaves `posted` below.

    Called for top-ups, upward adjustments and grants alone. Several make one alert, which names the lowest.
    """
    below = lowest_above(thresholds, posted)
    if below is None and all(threshold.is_armed for threshold in thresholds):
        return thresholds, None
    return tuple(Threshold(item.amount, posted >= item.amount) for item in thresholds), below


def ended_by(before: Iterable[Threshold], after: Iterable[Threshold]) -> list[int]:
    """List the thresholds whose episodes are over since `before`, ascending."""
    running = {threshold.amount for threshold in before if not threshold.is_armed}
    return sorted(threshold.amount for threshold in after if threshold.is_armed and threshold.amount in running)


def replace_amounts(thresholds: tuple[Threshold, ...], amounts: Iterable[int], posted: int) -> Told:
    """Set the amounts to be warned below, and begin an episode of each that is newly set above `posted`.

    An amount that was there already keeps its state: it did not change. The result is in ascending order.
    """
    known = {threshold.amount: threshold for threshold in thresholds}
    wanted = sorted(set(amounts))
    new = tuple(Threshold(amount, posted >= amount) for amount in wanted if amount not in known)
    changed = {threshold.amount: threshold for threshold in (*thresholds, *new)}
    return tuple(changed[amount] for amount in wanted), lowest_above(new, posted)


def lowest_above(thresholds: Iterable[Threshold], posted: int) -> int | None:
    """Return the lowest amount that `posted` is below, or None if it is below none."""
    return min((threshold.amount for threshold in thresholds if posted < threshold.amount), default=None)


def is_allowed(amount: int, credit_limit: int) -> bool:
    """Tell whether posted can come to be below an amount: it is positive, or within the credit limit."""
    return amount > 0 or (credit_limit > 0 and amount >= -credit_limit)


def out_of_reach(amount: int, credit_limit: int, currency: str) -> str:
    """Say why an amount is not allowed as a threshold."""
    if credit_limit == 0:
        never = f"{format_money(amount, currency)} is never reached"
        return f"{never}: without a credit limit a threshold is more than 0, such as 12.50"
    limit = format_money_with_code(credit_limit, currency)
    return (
        f"{format_money(amount, currency)} is below what the credit limit of {limit} allows: "
        f"a threshold is {format_money(-credit_limit, currency)} or more"
    )
