"""The backtest of unusual spending in its short form: honest merchants of every shape, and leaks at some of them."""

from typing import Final

import pytest

from benchmarks.backtest.shapes import SHAPES, merchant
from benchmarks.backtest.unusual import (
    EVEN,
    RUSHES,
    TOLD_MINUTES,
    Found,
    leaks_found,
    live,
    summed_up,
)

DAYS: Final = {"past_days": 35, "future_days": 14}
SEED: Final = 3


@pytest.mark.parametrize("evenness", [EVEN, RUSHES])
def test_honest_merchants_are_told_of_less_than_once_a_quarter(evenness: float) -> None:
    lives = [live(merchant(shape, SEED, **DAYS), evenness) for shape in SHAPES]
    assert sum(len(life.alarms) for life in lives) < sum(life.quarters for life in lives)


@pytest.mark.parametrize(("shape", "factor"), [("steady", 10), ("steady", 50), ("weekly", 50)])
def test_a_leak_is_told_within_five_minutes(shape: str, factor: float) -> None:
    shaped = merchant(shape, SEED, **DAYS)
    found = leaks_found(live(shaped, EVEN), shaped, factor=factor)
    assert [] == [minutes for minutes in found if minutes is None or minutes > TOLD_MINUTES]


@pytest.mark.parametrize("shape", ["steady", "weekly"])
def test_a_slow_leak_is_not_found(shape: str) -> None:
    shaped = merchant(shape, SEED, **DAYS)
    assert {None} == set(leaks_found(live(shaped, EVEN), shaped, factor=0.5))


def test_what_became_of_leaks_is_summed_up() -> None:
    assert Found(4, 2, 3, 7) == summed_up([1, None, 5, 7])
    assert Found(3, 1, 1, None) == summed_up([None, 5, None])
