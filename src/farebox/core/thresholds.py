"""Low-balance thresholds: when one fires, when it falls silent, when it is armed again (DESIGN section 5)."""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

THRESHOLDS_MAX: Final = 5


class Threshold(Struct, frozen=True, gc=False, array_like=True):
    """An amount of posted balance, in micros, to be warned below; armed until it fires."""

    amount: int
    is_armed: bool


def fire_below(thresholds: tuple[Threshold, ...], posted: int) -> tuple[tuple[Threshold, ...], int | None]:
    """Silence every armed threshold above `posted` and return the lowest of them, or None if none fires.

    An armed threshold was at or below posted before, so one that is now above it has just been crossed. Several make
    one alert, which names the lowest.
    """
    fired: int | None = None
    for threshold in thresholds:
        if threshold.is_armed and posted < threshold.amount and (fired is None or threshold.amount < fired):
            fired = threshold.amount
    if fired is None:
        return thresholds, None
    return tuple(Threshold(item.amount, item.is_armed and posted >= item.amount) for item in thresholds), fired


def arm_reached(thresholds: tuple[Threshold, ...], posted: int) -> tuple[Threshold, ...]:
    """Arm again every threshold that `posted` has come back to; called for top-ups and adjustments alone."""
    for threshold in thresholds:
        if not threshold.is_armed and posted >= threshold.amount:
            return tuple(Threshold(item.amount, item.is_armed or posted >= item.amount) for item in thresholds)
    return thresholds


def replace_amounts(
    thresholds: tuple[Threshold, ...], amounts: Iterable[int], posted: int
) -> tuple[tuple[Threshold, ...], int | None]:
    """Set the amounts to be warned below, and fire those newly set above `posted` (the lowest is named).

    An amount that was there already keeps its state: it did not change. The result is in ascending order.
    """
    known = {threshold.amount: threshold for threshold in thresholds}
    changed = tuple(known.get(amount, Threshold(amount, True)) for amount in sorted(set(amounts)))
    return fire_below(changed, posted)
