"""A merchant's burn learnt from what it spent in each hour, and how far a forecast of it goes wrong.

The model has a week's profile, hour by hour; a level, on which recent days weigh more; and, where it was so before,
a growth that fades. How fast the past fades, and whether growth counts, is what would have foretold this merchant's own
past best. Its errors there, by how many days ahead, are the range.

A week is one of UTC: in which zone a merchant works shows in its profile, whatever the zone is called. Where a zone
changes its offset, the profile is an hour late for some weeks.

All of it is statistics: numbers are floats in here, and whole micros and microseconds when they leave.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final

from msgspec import Struct

HOURS_PER_DAY: Final = 24
HOURS_PER_WEEK: Final = 168
DAYS_PER_WEEK: Final = 7
HOUR: Final = 3_600_000_000
DAY: Final = HOURS_PER_DAY * HOUR

DAYS_AHEAD: Final = 366
"""How far a curve goes. Weeks of burn tell nothing of what comes after a year."""

HORIZONS: Final = (1, 2, 4, 7, 14, 28)
"""Over how many days ahead forecasts are held to a merchant's past."""

_FAR: Final = 364
_FADINGS: Final = (0.7, 0.87, 0.95, 1.0)
"""The weight of a day, where the day after it weighs 1: half of the weight is on 2, 5, 14 days, or on all alike."""

_FADING_YOUNG: Final = 0.95
_YOUNG_DAYS: Final = 6
"""So few days don't tell which fading is best."""

_FADING_FAST: Final = 0.87
_FADING_SLOW: Final = 0.95
_GROWTH_DAYS_APART_MIN: Final = 2.0
_GROWTH_MAX: Final = 0.04
_GROWTH_FADES: Final = 0.93
"""Growth is what parts a fast level from a slow one, at most 4 % a day, and it fades by 7 % a day."""

_SINGLE_WEEK_KEPT: Final = (0.8, 0.5, 0.3)
"""How much of a single week is believed of its days, its hours, and its single cells."""

_FIRST_PART: Final = 5
"""Forecasts from the first fifth of the past are no measure: they knew less than is known now."""

_NO_WEIGHT: Final = 1e-9
"""The weight of a day whose hours weigh nothing, which is divided by."""

_IDLE_SHARE: Final = 0.02
"""Errors are ratios; so much of a usual burn is added on both sides, so that nothing spent is an error with an end."""

_SPREAD_FIRST: Final = 0.22
_SPREAD_MIN: Final = 0.02
_SPREAD_GROWS: Final = 0.3
"""The spread of errors in logarithms that is expected before there are any, and how it grows by days ahead: days to
the power of this."""

_WEIGHT_FIRST: Final = 3.0
_WEIGHT_NEXT: Final = 1.0
_WEIGHT_POOLED: Final = 3.0
_WEIGHT_NORMAL: Final = 4.0
"""How many errors of its own weigh as much as what is expected, of the first horizon and of the others; as much as all
horizons together; and as much as a normal distribution."""

_DEPENDENCE: Final = 0.5
"""Errors of windows that overlap tell less than their number: of so much of each further day, nothing."""

_TAIL: Final = 0.1
_TAIL_NORMAL: Final = 1.2816
_TAIL_MIN: Final = 0.15
_WIDER: Final = 1.08
_WIDER_YOUNG: Final = 1.3
"""The range is from one to nine tenths of the errors, a little wider as the past is always known better, and more so
before there are two weeks."""


class BurnCurve(Struct, frozen=True):
    """How much is burned from a moment on: micros by the end of each day of 24 hours after it.

    `shares` tell, for each of seven days in turn, what share of a day's burn is burned by the end of each of its hours.
    """

    days: tuple[int, ...]
    shares: tuple[tuple[float, ...], ...]

    def duration_of(self, amount: int) -> int | None:
        """Tell after how many microseconds so many micros are burned, rounded down; None if not by the last day."""
        if amount <= 0:
            return 0
        day = bisect_left(self.days, amount)
        if day == len(self.days):
            return None
        before = self.days[day - 1] if day else 0
        shares = self.shares[day % DAYS_PER_WEEK]
        share = (amount - before) / (self.days[day] - before)
        hour = bisect_left(shares, share)
        start = shares[hour - 1] if hour else 0.0
        return day * DAY + int((hour + (share - start) / (shares[hour] - start)) * HOUR)

    def burned_after(self, duration: int) -> int:
        """Tell how many micros are burned after so many microseconds; all that is told by the last day after that."""
        day, rest = divmod(max(duration, 0), DAY)
        if day >= len(self.days):
            return self.days[-1]
        before = self.days[day - 1] if day else 0
        hour, part = divmod(rest, HOUR)
        shares = self.shares[day % DAYS_PER_WEEK]
        start = shares[hour - 1] if hour else 0.0
        share = start + (shares[hour] - start) * part / HOUR
        return before + int((self.days[day] - before) * share)


class BurnCurves(Struct, frozen=True):
    """The burn ahead: as it is likely to go, and the fast and the slow end of the range in which four of five lie."""

    usual: BurnCurve
    fast: BurnCurve
    slow: BurnCurve


class BurnModel(Struct, frozen=True):
    """The burn of a merchant, as it was learnt.

    `weights` are the week's hours, from the first hour of 1970 on, around 1; `level` is what an hour of weight 1 burns,
    in micros, and `growth` how much more each day, as a logarithm that fades. `low` and `high` are the range's ends, by
    HORIZONS and _FAR, as logarithms. `days` is how many days it was learnt from.
    """

    weights: tuple[float, ...]
    level: float
    growth: float
    low: tuple[float, ...]
    high: tuple[float, ...]
    days: int

    def curves(self, now: int) -> BurnCurves:
        """Tell the burn from a moment on, microseconds since 1970, which is soon after what was learnt from."""
        hour, part = divmod(now, HOUR)
        part_left = 1 - part / HOUR
        cells = [self.weights[(hour + ahead) % HOURS_PER_WEEK] for ahead in range(HOURS_PER_WEEK + 1)]
        hours = [part_left * cells[ahead] + (1 - part_left) * cells[ahead + 1] for ahead in range(HOURS_PER_WEEK)]
        days = [hours[start : start + HOURS_PER_DAY] for start in range(0, HOURS_PER_WEEK, HOURS_PER_DAY)]
        shares = tuple(_shares(day) for day in days)
        sums = [sum(day) for day in days]
        usual, fast, slow = [0], [0], [0]
        weight = 0.0
        for day, (low, high) in enumerate(zip(_by_day(self.low), _by_day(self.high), strict=True)):
            weight += sums[day % DAYS_PER_WEEK]
            burned = self.level * weight
            if self.growth:
                burned *= math.exp(self.growth * _GROWTH_BY_DAY[day + 1])
            usual.append(max(round(burned), usual[-1]))
            fast.append(max(round(burned * math.exp(high)), fast[-1]))
            slow.append(max(round(burned * math.exp(low)), slow[-1]))
        return BurnCurves(*(BurnCurve(tuple(ends[1:]), shares) for ends in (usual, fast, slow)))


def learn(spent: Sequence[int], first_hour: int) -> BurnModel | None:
    """Learn a merchant's burn.

    Args:
        spent: micros spent in each hour, less what was refunded, the oldest first.
        first_hour: the hour of the first, counted since 1970, UTC.

    Returns:
        The model, or None if there is less than a day, or nothing was spent.
    """
    count, rest = divmod(len(spent), HOURS_PER_DAY)
    if count == 0:
        return None
    # The hours left over at the start are a shorter day, which weighs less.
    starts = [*([0] if rest else []), *range(rest, len(spent), HOURS_PER_DAY)]
    ends = [*starts[1:], len(spent)]
    days = [float(max(sum(spent[start:end]), 0)) for start, end in zip(starts, ends, strict=True)]
    if not any(days):
        return None
    weights = _profile([float(max(micros, 0)) for micros in spent], first_hour)
    sums = [
        sum(weights[hour % HOURS_PER_WEEK] for hour in range(first_hour + start, first_hour + end)) or _NO_WEIGHT
        for start, end in zip(starts, ends, strict=True)
    ]
    trial = _Past(days, sums, first=2 if rest else 1).best()
    low, high = _range(trial.errors, weeks=count // DAYS_PER_WEEK)
    return BurnModel(weights, trial.levels[-1], trial.growths[-1], low, high, count)


class _Trial(Struct, frozen=True):
    """One way to forecast, held to the past: the level and growth at the end of each day, and the errors by horizon."""

    levels: Sequence[float]
    growths: Sequence[float]
    errors: Mapping[int, Sequence[float]]

    @property
    def score(self) -> float:
        """The mean error, over horizons of which there is enough; less is better."""
        total = weight = 0.0
        for horizon, errors in self.errors.items():
            if horizon > 1 and errors:
                share = min(len(errors) / horizon, 3.0)
                total += share * sum(map(abs, errors)) / len(errors)
                weight += share
        return total / weight if weight else 0.0


class _Past:
    """A merchant's past days: what was spent on each, and how much its hours weigh.

    `first` is after how many of them a forecast is worth trying.
    """

    def __init__(self, days: Sequence[float], sums: Sequence[float], *, first: int) -> None:
        self._days = days
        self._sums = sums
        self._first = max(first, len(days) // _FIRST_PART)
        self._spent = [0.0, *accumulate(days)]
        self._weights = [0.0, *accumulate(sums)]

    def best(self) -> _Trial:
        """Try all fadings, and growth, and return what would have told the past best."""
        if len(self._days) <= _YOUNG_DAYS:
            return self._try(self._levels(_FADING_YOUNG)[0], None)
        levels = {fading: self._levels(fading) for fading in _FADINGS}
        trials = [self._try(values, None) for values, _ in levels.values()]
        growing = self._growing(levels[_FADING_FAST], levels[_FADING_SLOW])
        return min([*trials, self._try(*growing)], key=lambda trial: trial.score)

    def _levels(self, fading: float) -> tuple[list[float], list[float]]:
        """Tell the level at the end of each day, and how old what it is made of is on average, in days."""
        spent = weight = age = 0.0
        levels, ages = [0.0], [0.0]
        for day, day_weight in zip(self._days, self._sums, strict=True):
            age = fading * (age + weight) + 0.5 * day_weight
            spent = fading * spent + day
            weight = fading * weight + day_weight
            levels.append(spent / weight)
            ages.append(age / weight)
        return levels, ages

    def _growing(
        self, fast: tuple[list[float], list[float]], slow: tuple[list[float], list[float]]
    ) -> tuple[list[float], list[float]]:
        """Tell levels brought up to the day, and growths, from a level that forgets fast and one that doesn't."""
        levels, growths = [], []
        for level, age, slow_level, slow_age in zip(*fast, *slow, strict=True):
            growth = 0.0
            if level > 0 and slow_level > 0 and slow_age - age >= _GROWTH_DAYS_APART_MIN:
                growth = min(max(math.log(level / slow_level) / (slow_age - age), -_GROWTH_MAX), _GROWTH_MAX)
            growths.append(growth)
            levels.append(level * math.exp(growth * age))
        return levels, growths

    def _try(self, levels: Sequence[float], growths: Sequence[float] | None) -> _Trial:
        """Forecast each horizon from each past day on, and compare with what came."""
        count, spent, weights = len(self._days), self._spent, self._weights
        idle = _IDLE_SHARE * spent[count] / count
        errors = {}
        for horizon in HORIZONS:
            origins = range(self._first, count - horizon + 1)
            grown = _GROWTH_BY_DAY[horizon]
            factors = [1.0] * count if growths is None else [math.exp(growth * grown) for growth in growths]
            errors[horizon] = [
                math.log(
                    (spent[day + horizon] - spent[day] + idle * horizon)
                    / (levels[day] * factors[day] * (weights[day + horizon] - weights[day]) + idle * horizon)
                )
                for day in origins
            ]
        return _Trial(levels, growths or [0.0] * (count + 1), errors)


def _profile(hours: Sequence[float], first_hour: int) -> tuple[float, ...]:
    """Learn how much each hour of the week weighs, around 1.

    The days of the week and the hours of the day are learnt first, then each hour of the week, and each only as far as
    it differs from what is known without it by more than chance would have it.
    """
    if len(hours) < HOURS_PER_WEEK:
        days = list(_cycles(hours, first_hour, HOURS_PER_DAY))
        day = _shrunk(days, [1.0] * HOURS_PER_DAY, _SINGLE_WEEK_KEPT[1])
        return tuple(day * DAYS_PER_WEEK)
    weeks = list(_cycles(hours, first_hour, HOURS_PER_WEEK))
    if not weeks:
        return (1.0,) * HOURS_PER_WEEK
    cuts = range(0, HOURS_PER_WEEK, HOURS_PER_DAY)
    by_day = [[sum(week[cut : cut + HOURS_PER_DAY]) / HOURS_PER_DAY for cut in cuts] for week in weeks]
    by_hour = [[sum(week[hour::HOURS_PER_DAY]) / DAYS_PER_WEEK for hour in range(HOURS_PER_DAY)] for week in weeks]
    days_kept, hours_kept, cells_kept = _SINGLE_WEEK_KEPT
    day_weights = _shrunk(by_day, [1.0] * DAYS_PER_WEEK, days_kept)
    hour_weights = _shrunk(by_hour, [1.0] * HOURS_PER_DAY, hours_kept)
    expected = [day * hour for day in day_weights for hour in hour_weights]
    cells = _shrunk(weeks, expected, cells_kept)
    mean = sum(cells) / HOURS_PER_WEEK
    return tuple(cell / mean for cell in cells)


def _cycles(hours: Sequence[float], first_hour: int, length: int) -> Iterator[list[float]]:
    """Cut hours into whole days or weeks up to the last hour; each begins with its own first hour and has the mean 1.

    One in which nothing was spent tells nothing, and is left out.
    """
    for end in range(len(hours), length - 1, -length):
        cycle = hours[end - length : end]
        mean = sum(cycle) / length
        if mean > 0:
            turn = -(first_hour + end) % length
            yield [value / mean for value in (*cycle[turn:], *cycle[:turn])]


def _shrunk(samples: Sequence[Sequence[float]], expected: Sequence[float], single_kept: float) -> list[float]:
    """Return the samples' means, drawn to what is expected as far as their differences may be chance.

    It is the empirical Bayes estimate: the variance of the means is compared with the variance within the samples.
    """
    count = len(samples)
    if count == 0:
        return list(expected)
    columns = list(zip(*samples, strict=True))
    means = [sum(column) / count for column in columns]
    kept = single_kept
    if count > 1:
        between = sum((mean - value) ** 2 for mean, value in zip(means, expected, strict=True))
        squares = sum(value * value for sample in samples for value in sample)
        noise = (squares - count * sum(mean * mean for mean in means)) / (count * (count - 1))
        kept = max(1 - noise / between, 0.0) if between > 0 else 0.0
    return [max(value + kept * (mean - value), 0.0) for mean, value in zip(means, expected, strict=True)]


def _range(errors: Mapping[int, Sequence[float]], *, weeks: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Tell the range's ends by horizon, as logarithms, from a merchant's own past errors.

    The spread of each horizon is its own as far as there are errors, else that of the one before, which grows. The
    shape is that of all horizons together, and each horizon's own where it has many.
    """
    spreads, own_weights, pooled = [], [], []
    expected, before, weight_expected = _SPREAD_FIRST, 1, _WEIGHT_FIRST
    for horizon in HORIZONS:
        some = errors[horizon]
        expected *= (horizon / before) ** _SPREAD_GROWS
        one = 1 / (1 + _DEPENDENCE * (horizon - 1))
        weight = len(some) * one
        squares = one * sum(error * error for error in some)
        variance = (squares + weight_expected * expected * expected) / (weight + weight_expected)
        spread = max(math.sqrt(variance), _SPREAD_MIN)
        pooled += [(error / spread, one) for error in some]
        spreads.append(spread)
        own_weights.append(weight)
        expected, before, weight_expected = spread, horizon, _WEIGHT_NEXT
    tails = _tails(pooled)
    wider = _WIDER * (math.sqrt((weeks + 1) / (weeks - 1)) if weeks > 1 else _WIDER_YOUNG)
    ends = []
    for horizon, spread, weight in zip(HORIZONS, spreads, own_weights, strict=True):
        low, high = (spread * tail for tail in tails)
        some = sorted(errors[horizon])
        if some:
            cut = max(int(_TAIL * (len(some) + 1)) - 1, 0)
            total = weight + _WEIGHT_POOLED
            low = (weight * min(some[cut], 0.0) + _WEIGHT_POOLED * low) / total
            high = (weight * max(some[-1 - cut], 0.0) + _WEIGHT_POOLED * high) / total
        ends.append((wider * low, wider * high))
    far = (_FAR / HORIZONS[-1]) ** _SPREAD_GROWS
    ends.append((ends[-1][0] * far, ends[-1][1] * far))
    return tuple(low for low, _ in ends), tuple(high for _, high in ends)


def _tails(pooled: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Tell between which errors, in spreads, four of five lie; each has its weight."""
    total = sum(weight for _, weight in pooled)
    low = high = 0.0
    reached = 0.0
    for error, weight in sorted(pooled):
        if reached < _TAIL * total:
            low = error
        if reached < (1 - _TAIL) * total:
            high = error
        reached += weight
    low, high = min(low, -_TAIL_MIN), max(high, _TAIL_MIN)
    expected = _WEIGHT_NORMAL * _TAIL_NORMAL
    return (total * low - expected) / (total + _WEIGHT_NORMAL), (total * high + expected) / (total + _WEIGHT_NORMAL)


def _by_day(ends: Sequence[float]) -> Iterator[float]:
    """Draw what is known at the horizons out to each of DAYS_AHEAD days, evenly in the logarithm of days."""
    for _, left, right, share in _BETWEEN:
        yield ends[left] + share * (ends[right] - ends[left])


def _between() -> Iterator[tuple[int, int, int, float]]:
    known = (*HORIZONS, _FAR)
    for day in range(1, DAYS_AHEAD + 1):
        right = min(max(bisect_left(known, day), 1), len(known) - 1)
        share = math.log(day / known[right - 1]) / math.log(known[right] / known[right - 1])
        yield day, right - 1, right, min(share, 1.0)


def _growth_by_day() -> Iterator[float]:
    """Yield how many days of growth a day has on average, of those from now on, as growth fades; none first."""
    yield 0.0
    step, grown, total = 1.0, 0.0, 0.0
    for day in range(1, DAYS_AHEAD + 1):
        step *= _GROWTH_FADES
        grown += step
        total += grown
        yield total / day


def _shares(hours: Sequence[float]) -> tuple[float, ...]:
    """Tell which share of a day is burned by the end of each hour; evenly, if no hour weighs anything."""
    total = sum(hours)
    if total <= 0:
        return tuple((hour + 1) / HOURS_PER_DAY for hour in range(HOURS_PER_DAY))
    shares = [burned / total for burned in accumulate(hours)]
    last = max(hour for hour in range(HOURS_PER_DAY) if hours[hour] > 0)
    return (*shares[:last], *(1.0,) * (HOURS_PER_DAY - last))


_BETWEEN: Final = tuple(_between())
_GROWTH_BY_DAY: Final = tuple(_growth_by_day())
