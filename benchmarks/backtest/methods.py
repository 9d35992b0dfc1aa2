"""The forecasts of run-outs that are compared: ours, the baseline, and the peers' by days."""

import json
import math
import subprocess
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from benchmarks.backtest.cases import Case
from benchmarks.backtest.shapes import HOURS_PER_DAY, HOURS_PER_WEEK
from farebox.service.insight.burn_model import HOUR, BurnCurve, learn
from farebox.service.insight.forecast import RUNWAY_DAYS_MAX, spending_history

OURS: Final = "Farebox"
BASELINE: Final = "last 7 days' mean"
PEERS: Final = ("seasonal naive", "AutoETS")
HOURS_MAX: Final = RUNWAY_DAYS_MAX * HOURS_PER_DAY
"""What lasts longer is told to last so long."""

_PEERS_PROGRAM: Final = Path(__file__).with_name("peers.py")


class RunOut(Struct, frozen=True):
    """When a balance is used up, in hours from now: likely, and within a range, if the method has one."""

    likely: float
    low: float | None = None
    high: float | None = None


class Answers(Struct, frozen=True):
    """What a method told of each case's balances, in order, and the milliseconds that each case took."""

    method: str
    run_outs: Sequence[Sequence[RunOut]]
    milliseconds: Sequence[float]


def ours(cases: Sequence[Case]) -> Answers:
    """Forecast as the service does, from what usage would have told it."""

    def forecast(case: Case) -> list[RunOut]:
        end = case.first_hour + len(case.past)
        by_hour = {hour: spent for hour, spent in enumerate(case.past, case.first_hour) if spent}
        first_hour, spent = spending_history(by_hour, end)
        model = learn(spent, first_hour)
        if model is None:
            return [RunOut(HOURS_MAX, 0, HOURS_MAX) for _ in case.balances]
        curves = model.curves(end * HOUR)
        return [
            RunOut(*(_hours(curve, balance.amount) for curve in (curves.usual, curves.fast, curves.slow)))
            for balance in case.balances
        ]

    return _timed(OURS, cases, forecast)


def baseline(cases: Sequence[Case]) -> Answers:
    """Divide the balance by the mean of the last seven days, or of as many as there are."""

    def forecast(case: Case) -> list[RunOut]:
        week = case.past[-HOURS_PER_WEEK:]
        mean = sum(week) / len(week)
        return [RunOut(min(balance.amount / mean if mean else math.inf, HOURS_MAX)) for balance in case.balances]

    return _timed(BASELINE, cases, forecast)


def peers(cases: Sequence[Case], python: Path) -> list[Answers]:
    """Let the peers forecast days, in their own environment, and see when the sums of these reach each balance."""
    request = json.dumps([_days(case) for case in cases])
    done = subprocess.run([python, _PEERS_PROGRAM], input=request, text=True, check=True, stdout=subprocess.PIPE)
    answers: list[Any] = json.loads(done.stdout)
    return [
        Answers(
            method,
            [
                [
                    RunOut(
                        _reached(answer[method]["mean"], balance.amount),
                        _reached(answer[method]["high"], balance.amount),
                        _reached(answer[method]["low"], balance.amount),
                    )
                    for balance in case.balances
                ]
                for case, answer in zip(cases, answers, strict=True)
            ],
            [answer[method]["milliseconds"] for answer in answers],
        )
        for method in PEERS
    ]


def _timed(method: str, cases: Sequence[Case], forecast: Callable[[Case], list[RunOut]]) -> Answers:
    run_outs, milliseconds = [], []
    for case in cases:
        started = time.process_time()
        run_outs.append(forecast(case))
        milliseconds.append(1_000 * (time.process_time() - started))
    return Answers(method, run_outs, milliseconds)


def _hours(curve: BurnCurve, amount: int) -> float:
    duration = curve.duration_of(amount)
    return HOURS_MAX if duration is None else min(duration / HOUR, HOURS_MAX)


def _days(case: Case) -> list[int]:
    """Sum the past up by days of 24 hours back from now; what is left over at its start is dropped."""
    start = len(case.past) % HOURS_PER_DAY
    ends = range(start, len(case.past), HOURS_PER_DAY)
    return [sum(case.past[end : end + HOURS_PER_DAY]) for end in ends]


def _reached(days: Sequence[float], amount: int) -> float:
    """Tell after how many hours daily sums reach an amount, evenly within a day."""
    sums = [0.0, *accumulate(max(day, 0.0) for day in days)]
    day = bisect_left(sums, amount)
    if day == len(sums):
        return HOURS_MAX
    return HOURS_PER_DAY * (day - 1 + (amount - sums[day - 1]) / (sums[day] - sums[day - 1]))
