"""Unusual spending: what a merchant spends in five minutes, held to its own days."""

from typing import Final

import pytest

from farebox.service.insight.unusual_spending import (
    DAYS_MIN,
    PERCENT_MAX,
    PERCENT_MIN,
    TRANSFERS_MIN,
    WINDOW_SECONDS,
    Reading,
    Readings,
    SpendingWindow,
    is_unusual,
    limit_of,
)
from tests.support.ledger import NOW, SECOND, UNIT

STEP: Final = 20 * SECOND
WINDOW: Final = WINDOW_SECONDS * SECOND


def test_a_new_merchant_has_no_limit() -> None:
    assert limit_of([]) is None
    assert limit_of([UNIT] * (DAYS_MIN - 1)) is None
    assert limit_of([UNIT] * DAYS_MIN) is not None


def test_a_steady_merchants_limit_is_half_above_its_highest_day() -> None:
    assert PERCENT_MIN * 12 * UNIT // 100 == limit_of(
        [10 * UNIT, 11 * UNIT, 9 * UNIT, 12 * UNIT, 10 * UNIT, 8 * UNIT, UNIT]
    )


def test_a_wild_merchants_limit_is_further_away_but_never_out_of_reach() -> None:
    assert 2 * 20 * UNIT == limit_of([10 * UNIT] * 8 + [20 * UNIT])
    assert PERCENT_MAX * 900 * UNIT // 100 == limit_of([10 * UNIT] * 8 + [900 * UNIT])


def test_the_order_of_days_makes_no_difference() -> None:
    peaks = [UNIT * number for number in (5, 1, 9, 2, 7, 3, 8, 4)]
    assert limit_of(peaks) == limit_of(peaks[::-1]) == limit_of(sorted(peaks))


@pytest.mark.parametrize(
    ("spent", "transfers", "limit", "expected"),
    [
        (11, TRANSFERS_MIN, 10, True),
        (10, TRANSFERS_MIN, 10, False),
        (11, TRANSFERS_MIN - 1, 10, False),
        (11, TRANSFERS_MIN, None, False),
    ],
)
def test_what_is_unusual_is_above_the_limit_and_many_requests(
    spent: int, transfers: int, limit: int | None, expected: bool
) -> None:
    assert expected == is_unusual(SpendingWindow(spent, 7, 7 + transfers), limit)


def test_a_window_is_what_was_spent_in_five_minutes() -> None:
    readings = Readings()
    windows = [readings.add(Reading(NOW + number * STEP, number * UNIT, number)) for number in range(40)]
    assert 0 == windows[0].spent
    assert [number * UNIT for number in range(16)] == [window.spent for window in windows[:16]]
    assert {15 * UNIT} == {window.spent for window in windows[15:]}
    assert (24, 39, 15) == (windows[-1].after_seq, windows[-1].last_seq, windows[-1].transfers)


def test_a_rush_after_a_rest_is_all_that_came_since() -> None:
    readings = Readings()
    readings.add(Reading(0, 1_000, 10))
    assert SpendingWindow(400, 10, 50, 10) == readings.add(Reading(240 * SECOND, 1_400, 50))
    assert SpendingWindow(500, 10, 60, 50) == readings.add(Reading(260 * SECOND, 1_500, 60))


def test_what_was_spent_while_nobody_read_is_in_no_window() -> None:
    readings = Readings()
    readings.add(Reading(NOW, UNIT, 1))
    window = readings.add(Reading(NOW + 3 * WINDOW, 900 * UNIT, 900))
    assert (0, 0) == (window.spent, window.transfers)
    assert UNIT == readings.add(Reading(NOW + 3 * WINDOW + STEP, 901 * UNIT, 901)).spent


def test_what_is_given_back_is_not_spent() -> None:
    readings = Readings()
    readings.add(Reading(NOW, 10 * UNIT, 1))
    assert 0 == readings.add(Reading(NOW + STEP, 4 * UNIT, 2)).spent


def test_a_reading_that_came_late_is_passed_over() -> None:
    readings = Readings()
    readings.add(Reading(NOW, 10 * UNIT, 5))
    readings.add(Reading(NOW + STEP, 12 * UNIT, 7))
    assert SpendingWindow(2 * UNIT, 5, 7, 5) == readings.add(Reading(NOW + 2 * STEP, 11 * UNIT, 6))


def test_readings_are_forgotten() -> None:
    readings = Readings()
    readings.add(Reading(NOW, UNIT, 1))
    assert not readings.forget_before(NOW)
    assert readings.forget_before(NOW + 1)
