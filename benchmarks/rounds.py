"""Figures of several rounds: the median, and how far the rounds lie apart."""

import statistics
from collections.abc import Iterable

from msgspec import Struct


class Figure(Struct, frozen=True):
    """One figure as it came out over all rounds."""

    median: float
    lowest: float
    highest: float


def figure(values: Iterable[float], digits: int = 3) -> Figure:
    """Sum up the values of all rounds, to so many significant digits."""
    found = list(values)
    median, lowest, highest = (_rounded(it, digits) for it in (statistics.median(found), min(found), max(found)))
    return Figure(median, lowest, highest)


def ratio(over: float, under: float) -> float:
    """Divide, where a round so short that nothing came through counts as none."""
    return over / under if under else 0.0


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")
