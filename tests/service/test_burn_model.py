"""A merchant's burn as it is learnt: profile, level, growth, range, and the curves ahead."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.service.insight.burn_model import (
    DAY,
    DAYS_AHEAD,
    HOUR,
    HOURS_PER_DAY,
    HOURS_PER_WEEK,
    BurnCurve,
    BurnModel,
    learn,
)
from tests.support.burn import even_burn

FIRST_HOUR: Final = 490_000
UNIT: Final = 1_000_000


def learnt(spent: Sequence[int], first_hour: int = FIRST_HOUR) -> BurnModel:
    model = learn(spent, first_hour)
    assert model is not None
    return model


def end_of(spent: Sequence[int], first_hour: int = FIRST_HOUR) -> int:
    return (first_hour + len(spent)) * HOUR


@pytest.mark.parametrize("hours", [0, 1, 23])
def test_less_than_a_day_teaches_nothing(hours: int) -> None:
    assert learn([UNIT] * hours, FIRST_HOUR) is None


@pytest.mark.parametrize("spent", [[0] * 24, [-5] * 100])
def test_no_spending_teaches_nothing(spent: list[int]) -> None:
    assert learn(spent, FIRST_HOUR) is None


@pytest.mark.parametrize("hours", [24, 25, 47, 48, 24 * 7, 24 * 7 + 5, 24 * 13, 24 * 14 + 23, 24 * 84])
def test_an_even_burn_goes_on_evenly(hours: int) -> None:
    spent = [10 * UNIT] * hours
    curves = learnt(spent).curves(end_of(spent) + 17)
    assert [240 * UNIT * day for day in range(1, DAYS_AHEAD + 1)] == list(curves.usual.days)
    for amount in (1, 10 * UNIT, 35 * UNIT, 240 * UNIT, 1000 * UNIT):
        assert curves.usual.duration_of(amount) == amount * DAY // (240 * UNIT)


def test_a_single_hour_long_ago_is_a_small_burn() -> None:
    """It was spent fifty hours ago, so about half of it a day."""
    spent = [48 * UNIT] + [0] * 49
    usual = learnt(spent).curves(end_of(spent)).usual
    assert 15 * UNIT < usual.days[0] < 30 * UNIT
    assert learnt(spent).days == 2


def test_a_weeks_hours_are_learnt_and_come_again() -> None:
    """Ten in each of the working hours from Monday to Friday, and nothing else: 1970 began on a Thursday."""

    def burn(hour: int) -> int:
        return 10 * UNIT if (hour // 24 + 3) % 7 < 5 and 8 <= hour % 24 < 18 else 0

    end = FIRST_HOUR + 56 * 24
    spent = [burn(hour) for hour in range(FIRST_HOUR, end)]
    model = learnt(spent)
    for ahead in (0, 5, 24, 77, 168):
        usual = model.curves((end + ahead) * HOUR).usual
        total = 0
        for hour in range(HOURS_PER_WEEK):
            assert abs(usual.burned_after(hour * HOUR) - total) < UNIT // 100
            total += burn(end + ahead + hour)
    # Nothing was ever told wrong, so the range is narrow, on idle days as well.
    curves = model.curves(end * HOUR)
    assert curves.fast.days[6] < 1.02 * curves.usual.days[6] < 1.04 * curves.slow.days[6]


def test_hours_of_the_day_are_learnt_from_a_few_days() -> None:
    spent = [UNIT if hour % 24 < 6 else 0 for hour in range(FIRST_HOUR, FIRST_HOUR + 3 * 24)]
    weights = learnt(spent).weights
    assert min(weights[:6]) > 3
    assert max(weights[6:24]) < 0.1
    assert weights[:24] * 7 == weights


def test_chance_is_not_taken_for_a_profile() -> None:
    spent = [UNIT + (hour * 7919 % 101 - 50) * UNIT // 100 for hour in range(56 * 24)]
    assert all(0.8 < weight < 1.25 for weight in learnt(spent).weights)


def test_recent_days_weigh_more() -> None:
    """The level moved three weeks ago: the burn of now counts, not that of before."""
    spent = [10 * UNIT] * (24 * 40) + [30 * UNIT] * (24 * 21)
    usual = learnt(spent).curves(end_of(spent)).usual
    assert 0.95 < usual.days[0] / (720 * UNIT) < 1.05


def test_growth_goes_on_and_fades() -> None:
    """It grew by two per cent a day for weeks."""
    spent = [round(UNIT * math.exp(0.02 * hour / 24)) for hour in range(70 * 24)]
    model = learnt(spent)
    assert model.growth > 0.01
    days = (0, *model.curves(end_of(spent)).usual.days)
    first, week, last = (days[day + 1] - days[day] for day in (0, 7, 300))
    assert first > 24 * spent[-1] * 0.9
    assert 1.03 < week / first < 1.02**7
    assert last < 1.5 * first


def test_a_merchant_that_stopped_lasts_longer_from_day_to_day() -> None:
    spent = [UNIT] * (24 * 40)
    durations = []
    for idle_days in range(5):
        hours = spent + [0] * (24 * idle_days)
        durations.append(learnt(hours).curves(end_of(hours)).slow.duration_of(240 * UNIT) or math.inf)
    assert sorted(durations) == durations
    assert durations[-1] > 3 * durations[0]


@given(st.integers(1, 30), st.integers(0, 10**15), st.integers(0, 10**15), st.randoms(use_true_random=False))
def test_curves_rise_and_the_range_holds_the_usual(days: int, low: int, more: int, dice: object) -> None:
    spent = [low + more * (hour * hour % 7) // 7 if hour % 3 else 0 for hour in range(24 * days)]
    model = learn(spent, FIRST_HOUR)
    if model is None:
        assert not any(spent)
        return
    curves = model.curves(end_of(spent) + 12_345_678)
    for curve in (curves.fast, curves.usual, curves.slow):
        assert DAYS_AHEAD == len(curve.days)
        assert all(one <= other for one, other in pairwise((0, *curve.days)))
    for fast, usual, slow in zip(curves.fast.days, curves.usual.days, curves.slow.days, strict=True):
        assert slow <= usual <= fast


_SHARES: Final = st.lists(st.integers(0, 5), min_size=24, max_size=24).filter(any)


@given(st.lists(st.integers(0, 10**9), min_size=3, max_size=20), _SHARES, st.integers(0, 20 * DAY))
def test_what_is_burned_until_a_time_takes_until_then(days: list[int], hours: list[int], after: int) -> None:
    ends, total = [], 0
    for burned in days:
        total += burned
        ends.append(total)
    last = max(hour for hour in range(HOURS_PER_DAY) if hours[hour])
    shares = tuple(1.0 if hour >= last else sum(hours[: hour + 1]) / sum(hours) for hour in range(HOURS_PER_DAY))
    curve = BurnCurve(tuple(ends), (shares,) * 7)
    burned = curve.burned_after(after)
    assert 0 <= burned <= total
    duration = curve.duration_of(burned)
    assert duration is not None
    assert duration <= after + HOUR // 1000
    assert abs(curve.burned_after(duration) - burned) <= 2
    assert curve.duration_of(total + 1) is None
    assert curve.burned_after(400 * DAY) == total
    assert bisect_left(ends, burned) * DAY <= duration or burned == 0


def test_nothing_takes_no_time() -> None:
    curve = even_burn(24).curves(0).usual
    assert (0, 0, HOUR) == (curve.duration_of(-1), curve.duration_of(0), curve.duration_of(1))
    assert (0, 0, 1) == (curve.burned_after(-HOUR), curve.burned_after(0), curve.burned_after(HOUR))
