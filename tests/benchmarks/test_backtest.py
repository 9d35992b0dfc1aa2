"""The merchants that forecasts are held to."""

import pytest

from benchmarks.backtest.shapes import FUTURE_DAYS, HOURS_PER_DAY, PAST_DAYS, SHAPES, merchant


@pytest.mark.parametrize("shape", SHAPES)
def test_a_merchant_is_the_same_for_ever(shape: str) -> None:
    one = merchant(shape, 1)
    assert merchant(shape, 1) == one
    assert merchant(shape, 2) != one
    assert len(one.spent) == len(one.requests) == len(one.past) + len(one.future)
    assert FUTURE_DAYS * HOURS_PER_DAY <= len(one.future) <= (FUTURE_DAYS + 1) * HOURS_PER_DAY
    assert len(one.past) <= PAST_DAYS * HOURS_PER_DAY
    assert all((micros > 0) == (count > 0) for micros, count in zip(one.spent, one.requests, strict=True))
