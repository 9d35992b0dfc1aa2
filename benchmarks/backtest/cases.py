"""What forecasts are held to: a past, a balance, and the hour in which what came after used it up."""

import random
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

from msgspec import Struct

from benchmarks.backtest.shapes import HOURS_PER_DAY, SHAPES, merchant
from benchmarks.backtest.traffic import Traffic
from farebox.service.insight.forecast import WINDOW_DAYS

REAL: Final = "wikipedia"
AHEAD_DAYS: Final = (1, 30)
"""Between these days from now the money runs out."""

_STEP_DAYS: Final = 15
"""How far apart the moments are at which real traffic is forecast."""


class Balance(Struct, frozen=True):
    """An amount, micros, and after how many hours it was used up."""

    amount: int
    hours: int


class Case(Struct, frozen=True):
    """The past of one merchant, hour by hour, and balances of now."""

    shape: str
    first_hour: int
    past: tuple[int, ...]
    balances: tuple[Balance, ...]


def synthetic(merchants: int, balances: int) -> Iterator[Case]:
    """Draw so many merchants of each shape, each with so many balances."""
    for shape in SHAPES:
        for seed in range(merchants):
            drawn = merchant(shape, seed)
            past = drawn.past[-WINDOW_DAYS * HOURS_PER_DAY :]
            first_hour = drawn.first_hour + drawn.now - len(past)
            dice = random.Random(f"balances {shape} {seed}")
            yield from _case(shape, first_hour, past, drawn.future, balances, dice)


def real(traffic: Sequence[Traffic], balances: int) -> Iterator[Case]:
    """Take each page at moments some days apart, each with so many balances."""
    for page in traffic:
        dice = random.Random(page.name)
        days = len(page.spent) // HOURS_PER_DAY
        for day in range(WINDOW_DAYS + 1, days - AHEAD_DAYS[1] - 1, _STEP_DAYS):
            now = day * HOURS_PER_DAY - dice.randrange(HOURS_PER_DAY)
            past = page.spent[now - WINDOW_DAYS * HOURS_PER_DAY : now]
            yield from _case(REAL, page.first_hour + now - len(past), past, page.spent[now:], balances, dice)


def _case(
    shape: str, first_hour: int, past: Sequence[int], future: Sequence[int], count: int, dice: random.Random
) -> Iterator[Case]:
    """Draw balances that run out in AHEAD_DAYS; a merchant that spends nothing then has none."""
    ends = list(accumulate(future))
    low, high = (ends[days * HOURS_PER_DAY - 1] for days in AHEAD_DAYS)
    if low == high:
        return
    amounts = [low + dice.randrange(high - low) + 1 for _ in range(count)]
    balances = tuple(
        Balance(amount, next(hour for hour, spent in enumerate(ends, 1) if spent >= amount)) for amount in amounts
    )
    yield Case(shape, first_hour, tuple(past), balances)
