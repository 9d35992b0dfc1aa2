"""Thresholds in days left: an episode begins by two looks, ends beyond a margin or by money, and is told once."""

import random
from collections.abc import Sequence
from typing import Final

import pytest

from farebox.core.alerting.runway_thresholds import DAY, LOOK_MICROS, RunwayEpisode, ends_beyond, look, told
from tests.support.ledger import ANN, NOW

NEAR: Final = 6 * DAY
FAR: Final = 30 * DAY


class Looks:
    """A merchant that is looked at again and again, and told whenever that is due."""

    def __init__(self, *thresholds: int) -> None:
        self.thresholds = thresholds
        self.episodes: Sequence[RunwayEpisode] = ()
        self.told: list[int] = []
        self.now = NOW
        self.seq = 1
        self.arrived_seq = 0

    def look(self, lasts: int | None, *, later: int = LOOK_MICROS) -> list[int]:
        """Look after some time, and return what was told: the lowest threshold, if any."""
        self.now += later
        until = None if lasts is None else self.now + lasts
        self.episodes, due = look(
            ANN, self.thresholds, self.episodes, until=until, now=self.now, arrived_seq=self.arrived_seq
        )
        if due:
            self.told.append(due[0])
            number = len(self.told)
            self.episodes = told(self.episodes, due, alert_number=number, seq=self.seq)
        return list(due[:1])

    def pay(self) -> None:
        self.seq += 1
        self.arrived_seq = self.seq


def test_it_takes_two_looks_to_tell_and_no_third_one_tells_again() -> None:
    walk = Looks(7)
    assert [[], [7], [], []] == [walk.look(NEAR) for _ in range(4)]


def test_two_looks_at_one_moment_are_one() -> None:
    walk = Looks(7)
    assert [[], []] == [walk.look(NEAR), walk.look(NEAR, later=LOOK_MICROS - 1)]
    assert [7] == walk.look(NEAR, later=1)


def test_a_single_look_below_a_threshold_is_forgotten() -> None:
    walk = Looks(7)
    assert [[]] * 5 == [walk.look(lasts) for lasts in (NEAR, FAR, NEAR, FAR, NEAR)]


def test_what_lasts_exactly_so_long_is_not_short() -> None:
    walk = Looks(7)
    assert [[]] * 3 == [walk.look(7 * DAY) for _ in range(3)]
    assert [[], [7]] == [walk.look(7 * DAY - 1) for _ in range(2)]


def test_a_forecast_that_wobbles_around_the_border_is_told_once() -> None:
    wobble = random.Random(15)
    walk = Looks(7)
    for _ in range(500):
        walk.look(7 * DAY + wobble.randrange(-DAY, ends_beyond(7) - 7 * DAY))
    assert [7] == walk.told


def test_an_episode_ends_well_beyond_the_threshold_and_another_one_is_told_anew() -> None:
    walk = Looks(7)
    for lasts in (NEAR, NEAR, ends_beyond(7) - 1, NEAR, NEAR):
        walk.look(lasts)
    assert [7] == walk.told
    for lasts in (ends_beyond(7), NEAR, NEAR):
        walk.look(lasts)
    assert [7, 7] == walk.told


def test_money_that_arrives_ends_an_episode_even_if_it_is_too_little() -> None:
    walk = Looks(7)
    for _ in range(3):
        walk.look(NEAR)
    walk.pay()
    assert [[], [7], []] == [walk.look(NEAR) for _ in range(3)]
    assert [7, 7] == walk.told


def test_several_thresholds_at_once_are_one_alert_that_names_the_lowest() -> None:
    walk = Looks(3, 7, 14)
    assert [[], [7], []] == [walk.look(NEAR) for _ in range(3)]
    assert [[], [3], []] == [walk.look(2 * DAY) for _ in range(3)]
    assert [7, 3] == walk.told


def test_what_cant_be_forecast_neither_begins_nor_ends_an_episode() -> None:
    walk = Looks(7)
    assert [[]] * 4 == [walk.look(lasts) for lasts in (NEAR, None, NEAR, None)]
    assert [[], [7], [], [], []] == [walk.look(lasts) for lasts in (NEAR, NEAR, None, None, NEAR)]


def test_a_threshold_that_was_removed_is_forgotten() -> None:
    walk = Looks(7)
    walk.look(NEAR)
    walk.thresholds = (3,)
    assert [] == walk.look(NEAR)
    assert [] == list(walk.episodes)


@pytest.mark.parametrize(("days", "beyond"), [(1, 2), (4, 5), (5, 7), (7, 9), (30, 38), (90, 113)])
def test_the_margin_is_a_quarter_in_whole_days(days: int, beyond: int) -> None:
    assert beyond * DAY == ends_beyond(days)
