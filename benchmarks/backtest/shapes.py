"""Merchants that never were, of several shapes: what each spends in every hour, before and after a moment called now.

All is drawn from a seed: the same shape and seed are the same merchant for ever, on every machine.
"""

import math
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from msgspec import Struct

HOURS_PER_DAY: Final = 24
HOURS_PER_WEEK: Final = 168
FIRST_MONDAY: Final = 4 * HOURS_PER_DAY
"""1970 began on a Thursday; hours are counted from its first one, in UTC."""

PAST_DAYS: Final = 90
FUTURE_DAYS: Final = 45
_WEEKS_SINCE_1970: Final = 2_900
_POISSON_EXACT_MAX: Final = 30.0
_WORKING_HOURS: Final = (8, 19)


class ShapedMerchant(Struct, frozen=True):
    """One merchant's spending by hours.

    `first_hour` counts hours since 1970, UTC. Each hour has its number of requests and what they cost, in micros. `now`
    is the number of hours that lie in the past; what comes after is what a forecast is held to.
    """

    shape: str
    seed: int
    first_hour: int
    requests: tuple[int, ...]
    spent: tuple[int, ...]
    now: int

    @property
    def past(self) -> tuple[int, ...]:
        """The micros spent in each hour up to now."""
        return self.spent[: self.now]

    @property
    def future(self) -> tuple[int, ...]:
        """The micros that will be spent in each hour from now on."""
        return self.spent[self.now :]


class _Dice:
    """Draws the numbers of one merchant."""

    def __init__(self, shape: str, seed: int) -> None:
        self.random = random.Random(f"{shape} {seed}")

    def between(self, low: float, high: float) -> float:
        return self.random.uniform(low, high)

    def factor(self, spread: float) -> float:
        """Draw a factor around 1 whose logarithm has this standard deviation, and whose mean is 1."""
        return math.exp(self.random.gauss(-spread * spread / 2, spread))

    def count(self, mean: float) -> int:
        """Draw a Poisson count; of large ones by the normal distribution."""
        if mean > _POISSON_EXACT_MAX:
            return max(round(self.random.gauss(mean, math.sqrt(mean))), 0)
        threshold, product, count = math.exp(-mean), self.random.random(), 0
        while product > threshold:
            product *= self.random.random()
            count += 1
        return count


def merchant(shape: str, seed: int, *, past_days: int = PAST_DAYS, future_days: int = FUTURE_DAYS) -> ShapedMerchant:
    """Draw a merchant of one of SHAPES. One that is new has a shorter past than `past_days`."""
    dice = _Dice(shape, seed)
    hours = (past_days + future_days) * HOURS_PER_DAY
    price = round(10 ** dice.between(2, 5))
    level = 10 ** dice.between(1, 3.5)
    first_hour = FIRST_MONDAY + _WEEKS_SINCE_1970 * HOURS_PER_WEEK + dice.random.randrange(HOURS_PER_WEEK)
    rates = SHAPES[shape](dice, first_hour, hours)
    requests = [dice.count(level * rate) for rate in rates]
    # A request costs more or less by what is asked for; many together come to about the mean.
    spent = [round(count * price * dice.factor(0.5 / math.sqrt(count))) if count else 0 for count in requests]
    now = past_days * HOURS_PER_DAY - dice.random.randrange(HOURS_PER_DAY)
    start = now - dice.random.randrange(2 * HOURS_PER_DAY, 14 * HOURS_PER_DAY) if shape == "new" else 0
    return ShapedMerchant(shape, seed, first_hour + start, tuple(requests[start:]), tuple(spent[start:]), now - start)


def _steady(dice: _Dice, first_hour: int, hours: int) -> Iterator[float]:
    """Spend about as much in every hour, by day and by night."""
    return _with_days(dice, first_hour, hours, profile=_profile(dice, night=0.7, weekend=0.95), spread=0.08)


def _weekly(dice: _Dice, first_hour: int, hours: int) -> Iterator[float]:
    """Spend in working hours, and little at week-ends."""
    profile = _profile(dice, night=dice.between(0.02, 0.3), weekend=dice.between(0.05, 0.4))
    return _with_days(dice, first_hour, hours, profile=profile, spread=0.12)


def _growing(dice: _Dice, first_hour: int, hours: int) -> Iterator[float]:
    """Spend more from week to week, at a pace that wanders."""
    profile = _profile(dice, night=0.4, weekend=dice.between(0.4, 0.9))
    days = _with_days(dice, first_hour, hours, profile=profile, spread=0.12)
    pace, grown = dice.between(0.005, 0.03), 0.1
    for hour, rate in enumerate(days):
        if hour % HOURS_PER_DAY == 0:
            pace = min(max(pace + dice.random.gauss(0, 0.002), 0.0), 0.04)
        grown *= math.exp(pace / HOURS_PER_DAY)
        yield rate * grown


def _bursty(dice: _Dice, first_hour: int, hours: int) -> Iterator[float]:
    """Run jobs now and then that take some hours, of very different sizes, and hardly anything between them."""
    apart, left, size = dice.between(12, 60), 0, 0.0
    for _ in range(hours):
        if left == 0 and dice.random.random() < 1 / apart:
            left, size = 1 + dice.count(5), 3 * dice.factor(0.8)
        yield size if left else 0.01
        left = max(left - 1, 0)


def _stopped(dice: _Dice, first_hour: int, hours: int) -> Iterator[float]:
    """Spend for some weeks, stop for some days, come back at another level, and stop for good in the end, perhaps."""
    profile = _profile(dice, night=0.4, weekend=dice.between(0.4, 0.9))
    is_on, left, level = True, 0, 1.0
    for rate in _with_days(dice, first_hour, hours, profile=profile, spread=0.12):
        if left == 0:
            is_on, level = not is_on, dice.factor(0.3)
            days = dice.between(5, 20) if is_on else dice.between(2, 8)
            left = round(days * HOURS_PER_DAY)
        left -= 1
        yield rate * level if is_on else 0.0


def _new(dice: _Dice, first_hour: int, hours: int) -> Iterator[float]:
    """Spend like one of the others, and have begun a few days ago."""
    others = (_steady, _weekly, _weekly, _growing)
    return others[dice.random.randrange(len(others))](dice, first_hour, hours)


def _seasonal(dice: _Dice, first_hour: int, hours: int) -> Iterator[float]:
    """Spend by a season of some weeks beside the week's, with a peak at the end of each month of 30 days."""
    profile = _profile(dice, night=0.3, weekend=dice.between(0.3, 0.8))
    period, depth = dice.between(25, 60) * HOURS_PER_DAY, dice.between(0.25, 0.55)
    phase, peak = dice.between(0, 2 * math.pi), dice.between(1.2, 2.0)
    for hour, rate in enumerate(_with_days(dice, first_hour, hours, profile=profile, spread=0.12)):
        is_month_end = (first_hour + hour) // HOURS_PER_DAY % 30 >= 27
        yield rate * (1 + depth * math.sin(2 * math.pi * hour / period + phase)) * (peak if is_month_end else 1)


SHAPES: Final[Mapping[str, Callable[[_Dice, int, int], Iterator[float]]]] = {
    "steady": _steady,
    "weekly": _weekly,
    "growing": _growing,
    "bursty": _bursty,
    "stopped": _stopped,
    "new": _new,
    "seasonal": _seasonal,
}
"""Each shape's rates, by the hour, around 1."""


def _profile(dice: _Dice, *, night: float, weekend: float) -> tuple[float, ...]:
    """Make a week of hours: busy in the working hours of some time zone, less at night and at week-ends."""
    shift = dice.random.randrange(HOURS_PER_DAY)
    first, last = _WORKING_HOURS
    profile = []
    for hour in range(HOURS_PER_WEEK):
        day, local = divmod((hour + shift) % HOURS_PER_WEEK, HOURS_PER_DAY)
        share = 1.0 if first <= local < last else night
        profile.append(share * (weekend if day >= 5 else 1.0))
    mean = sum(profile) / HOURS_PER_WEEK
    return tuple(share / mean for share in profile)


def _with_days(
    dice: _Dice, first_hour: int, hours: int, *, profile: tuple[float, ...], spread: float
) -> Iterator[float]:
    """Follow a week's profile; days differ by chance, and one day is a little like the day before it."""
    drift = 0.0
    for number in range(hours):
        hour = first_hour + number
        if number == 0 or hour % HOURS_PER_DAY == 0:
            drift = 0.6 * drift + dice.random.gauss(0, spread * 0.8)
        yield profile[(hour - FIRST_MONDAY) % HOURS_PER_WEEK] * math.exp(drift)
