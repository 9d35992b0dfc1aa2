"""Unusual spending on merchants that never were: how often honest ones are told of, and how soon a leak is found.

Each merchant of `shapes` lives through its days by the minute, with the detector that the server runs: what counts is
what it spends in five minutes. An hour's requests fall on its minutes evenly, or in rushes. A leak is a key that asks
for so many times what the merchant usually spends, from a moment on.

    python -m benchmarks.backtest.unusual --merchants 10
"""

import argparse
import math
import random
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from benchmarks.backtest.shapes import HOURS_PER_DAY, SHAPES, ShapedMerchant, merchant
from farebox.service.insight.unusual_spending import HISTORY_DAYS, WINDOW_SECONDS, SpendingWindow, is_unusual, limit_of

EVEN: Final = 5.0
RUSHES: Final = 0.1
"""How an hour's requests fall on its minutes: the smaller, the more of them come in a few minutes."""

FACTORS: Final = (3, 5, 10, 20, 50)
"""How much more a leak spends than the merchant does in the mean of the four weeks before."""

LEAKS: Final = 8
"""How many leaks each merchant has for each factor, each at another moment and for itself."""

TOLD_MINUTES: Final = 5
QUARTER_DAYS: Final = 91
_WINDOW_MINUTES: Final = WINDOW_SECONDS // 60
_MINUTES_PER_HOUR: Final = 60
_QUIET_MINUTES: Final = 6 * _MINUTES_PER_HOUR
_MEAN_HOURS: Final = 28 * HOURS_PER_DAY
_EXACT_MAX: Final = 400
"""Above so many requests an hour's minutes are drawn by the normal distribution."""


class Minute(Struct, frozen=True):
    """What a merchant asked for within a minute: requests, and what they cost in micros."""

    requests: int
    spent: int


class Day(Struct, frozen=True):
    """A day of a merchant's life: the first of its minutes, and the limit that it is held to; None while it is new."""

    first_minute: int
    limit: int | None


class Life(Struct, frozen=True):
    """A merchant's life by the minute, and what the detector made of it."""

    minutes: Sequence[Minute]
    days: Sequence[Day]
    alarms: Sequence[int]
    """The minutes in which unusual spending was told of."""

    @property
    def quarters(self) -> float:
        """How many quarters of a year it lasts."""
        return len(self.minutes) / (QUARTER_DAYS * HOURS_PER_DAY * _MINUTES_PER_HOUR)


class Found(Struct, frozen=True):
    """Of so many leaks, how many were found in time, how many within an hour, and after how long in the middle."""

    leaks: int
    in_time: int
    within_an_hour: int
    minutes: int | None


def live(shaped: ShapedMerchant, evenness: float) -> Life:
    """Let a merchant live through its hours."""
    minutes = list(_minutes(shaped, evenness))
    days, alarms, peaks = [], [], list[int]()
    first_hour = shaped.first_hour
    window, requests, quiet_until = 0, 0, 0
    peak, limit = 0, None
    for number, minute in enumerate(minutes):
        hour = first_hour + number // _MINUTES_PER_HOUR
        if number == 0 or (hour % HOURS_PER_DAY == 0 and number % _MINUTES_PER_HOUR == 0):
            if peak:
                peaks = [*peaks, peak][-HISTORY_DAYS:]
            peak, limit = 0, limit_of(peaks)
            days.append(Day(number, limit))
        left = minutes[number - _WINDOW_MINUTES] if number >= _WINDOW_MINUTES else Minute(0, 0)
        window += minute.spent - left.spent
        requests += minute.requests - left.requests
        if is_unusual(SpendingWindow(window, 0, requests), limit):
            if number >= quiet_until:
                alarms.append(number)
            quiet_until = number + _QUIET_MINUTES
        peak = max(peak, window if limit is None else min(window, limit))
    return Life(minutes, days, alarms)


def leak_found_after(life: Life, start: int, *, factor: float) -> int | None:
    """Tell after how many minutes a leak is told of that begins in a minute; None if not within an hour."""
    before = life.minutes[max(start - _MEAN_HOURS * _MINUTES_PER_HOUR, 0) : start]
    spent = round(factor * sum(minute.spent for minute in before) / len(before))
    requests = factor * sum(minute.requests for minute in before) / len(before)
    for after in range(1, _MINUTES_PER_HOUR + 1):
        end = start + after
        usual = life.minutes[max(end - _WINDOW_MINUTES, 0) : end]
        leaked = min(after, _WINDOW_MINUTES)
        window = SpendingWindow(
            sum(minute.spent for minute in usual) + leaked * spent,
            0,
            sum(minute.requests for minute in usual) + int(leaked * requests),
        )
        if is_unusual(window, _limit_at(life, end - 1)):
            return after
    return None


def leaks_found(life: Life, shaped: ShapedMerchant, *, factor: float, leaks: int = LEAKS) -> list[int | None]:
    """Try leaks at moments of the merchant's last weeks, each for itself; tell after how many minutes each is found."""
    dice = random.Random(f"{shaped.shape} {shaped.seed} leaks")
    last = len(life.minutes) - _MINUTES_PER_HOUR - 1
    first = max(shaped.now * _MINUTES_PER_HOUR, last // 2)
    return [leak_found_after(life, dice.randrange(first, last), factor=factor) for _ in range(leaks)]


def summed_up(found: Sequence[int | None]) -> Found:
    """Sum up what became of leaks."""
    after = sorted(minutes for minutes in found if minutes is not None)
    in_time = sum(minutes <= TOLD_MINUTES for minutes in after)
    middle = after[len(found) // 2] if len(after) > len(found) // 2 else None
    return Found(len(found), in_time, len(after), middle)


def _limit_at(life: Life, minute: int) -> int | None:
    return next((day.limit for day in reversed(life.days) if day.first_minute <= minute), None)


def _minutes(shaped: ShapedMerchant, evenness: float) -> Iterator[Minute]:
    dice = random.Random(f"{shaped.shape} {shaped.seed} {evenness}")
    for count, spent in zip(shaped.requests, shaped.spent, strict=True):
        if not count:
            yield from [Minute(0, 0)] * _MINUTES_PER_HOUR
            continue
        weights = [dice.gammavariate(evenness, 1) for _ in range(_MINUTES_PER_HOUR)]
        counts = _drawn(dice, count, weights)
        price = spent / max(sum(counts), 1)
        yield from [Minute(requests, round(requests * price)) for requests in counts]


def _drawn(dice: random.Random, count: int, weights: Sequence[float]) -> list[int]:
    """Spread an hour's requests over its minutes."""
    counts = [0] * len(weights)
    if count <= _EXACT_MAX:
        for minute in dice.choices(range(len(weights)), weights=weights, k=count):
            counts[minute] += 1
        return counts
    total = sum(weights)
    means = [count * weight / total for weight in weights]
    return [max(0, round(dice.gauss(mean, math.sqrt(mean)))) for mean in means]


def report(merchants: int) -> Iterator[str]:
    """Write the tables of all shapes, as Markdown."""
    yield "| shape | false alarms a quarter, evenly | in rushes | worst merchant |"
    yield "| --- | --- | --- | --- |"
    lives: dict[str, list[tuple[ShapedMerchant, Life]]] = {}
    for shape in SHAPES:
        rates: list[list[float]] = []
        for evenness in (EVEN, RUSHES):
            pairs = [(shaped, live(shaped, evenness)) for shaped in (merchant(shape, n) for n in range(merchants))]
            rates.append([len(life.alarms) / life.quarters for _, life in pairs])
            lives.setdefault(shape, pairs)
        even, rushes = (sum(each) / len(each) for each in rates)
        yield f"| {shape} | {even:.2f} | {rushes:.2f} | {max(max(each) for each in rates):.1f} |"
    yield ""
    yield f"| shape | {' | '.join(f'x{factor}' for factor in FACTORS)} |"
    yield f"| --- |{' --- |' * len(FACTORS)}"
    for shape, pairs in lives.items():
        cells = []
        for factor in FACTORS:
            found = summed_up([item for shaped, life in pairs for item in leaks_found(life, shaped, factor=factor)])
            cells.append(f"{100 * found.in_time // found.leaks} %, {100 * found.within_an_hour // found.leaks} %")
        yield f"| {shape} | {' | '.join(cells)} |"


def main() -> None:
    """Run the backtest and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--merchants", type=int, default=10, help="how many merchants of each shape")
    for line in report(parser.parse_args().merchants):
        print(line, flush=True)


if __name__ == "__main__":
    main()
