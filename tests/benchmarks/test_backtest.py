"""The forecast holds on merchants of every shape, in short: its range covers what came, and it beats a week's mean."""

import json
from collections.abc import Sequence
from datetime import date

import pytest

from benchmarks.backtest import cases, methods, scores
from benchmarks.backtest.__main__ import DOCUMENT, RESULTS
from benchmarks.backtest.cases import Balance, Case
from benchmarks.backtest.methods import BASELINE, OURS, PEERS, Answers, RunOut
from benchmarks.backtest.shapes import FUTURE_DAYS, HOURS_PER_DAY, PAST_DAYS, SHAPES, merchant
from benchmarks.backtest.traffic import pages_of
from farebox.service.insight.forecast import WINDOW_DAYS

MERCHANTS = 24
BALANCES = 5


@pytest.mark.parametrize("shape", SHAPES)
def test_a_merchant_is_the_same_for_ever(shape: str) -> None:
    one = merchant(shape, 1)
    assert merchant(shape, 1) == one
    assert merchant(shape, 2) != one
    assert len(one.spent) == len(one.requests) == len(one.past) + len(one.future)
    assert FUTURE_DAYS * HOURS_PER_DAY <= len(one.future) <= (FUTURE_DAYS + 1) * HOURS_PER_DAY
    assert len(one.past) <= PAST_DAYS * HOURS_PER_DAY
    assert all((micros > 0) == (count > 0) for micros, count in zip(one.spent, one.requests, strict=True))


def test_the_range_holds_four_times_of_five_whatever_the_shape() -> None:
    """Some percent beside 80 are chance with so few merchants; `make backtest` has more of them, and peers."""
    some = list(cases.synthetic(MERCHANTS, BALANCES))
    by_shape = {score.shape: score for score in scores.scores_of(some, methods.ours(some))}
    assert {*SHAPES, scores.ALL} == set(by_shape)
    assert {} == {shape: score.covered for shape, score in by_shape.items() if not 66 <= (score.covered or 0) <= 95}
    assert 74 <= (by_shape[scores.ALL].covered or 0) <= 88
    means = {score.shape: score for score in scores.scores_of(some, methods.baseline(some))}
    assert {} == {
        shape: (by_shape[shape].share, means[shape].share)
        for shape in ("steady", "weekly", "growing", "bursty", "stopped", "seasonal", scores.ALL)
        if by_shape[shape].share >= means[shape].share
    }


def test_balances_run_out_within_the_days_that_are_looked_at() -> None:
    for case in cases.synthetic(3, BALANCES):
        days = range(2, 14) if case.shape == "new" else (WINDOW_DAYS,)
        assert len(case.past) // HOURS_PER_DAY in days
        for balance in case.balances:
            assert HOURS_PER_DAY <= balance.hours <= cases.AHEAD_DAYS[1] * HOURS_PER_DAY


def case_of(*balances: tuple[int, int], past: Sequence[int] = (10,) * 200) -> Case:
    return Case("steady", 0, tuple(past), tuple(Balance(*balance) for balance in balances))


def test_the_baseline_divides_by_the_last_week() -> None:
    (told,) = methods.baseline([case_of((240, 1), (10**9, 1), past=(0,) * 100 + (10,) * 168)]).run_outs
    assert [RunOut(24.0), RunOut(methods.HOURS_MAX)] == told
    (told,) = methods.baseline([case_of((240, 1), past=(10,) * 24 + (0,) * 168)]).run_outs
    assert [RunOut(methods.HOURS_MAX)] == told


def test_what_is_too_early_to_tell_is_told_as_all_there_may_be() -> None:
    (told,) = methods.ours([case_of((240, 1), past=(10,) * 5)]).run_outs
    assert [RunOut(methods.HOURS_MAX, 0, methods.HOURS_MAX)] == told


def test_a_score_counts_what_came_before_within_and_after_a_range() -> None:
    case = case_of((1, 48), (2, 48), (3, 48), (4, 48))
    told = [RunOut(24, 20, 30), RunOut(48, 40, 50), RunOut(72, 48.5, 80), RunOut(96, 50, 120)]
    score, _ = scores.scores_of([case], Answers(OURS, [told], [1.0]))
    assert (4, 50.0, 25.0, 25.0) == (score.balances, score.covered, score.early, score.late)
    assert (1.0, 50.0, False) == (score.days, score.share, score.is_calibrated)
    other, _ = scores.scores_of([case], Answers(BASELINE, [[RunOut(48.0)] * 4], [0.0]))
    assert (None, None, 0.0) == (other.covered, other.width, other.days)
    (line,) = scores.better_peers([score, other], OURS)
    assert "On steady, last 7 days' mean is better: median error 0.00 against 1.00 days" in line
    text = "\n".join(scores.table([score, other]))
    assert "steady, 4 balances" in text
    assert ["covered", "error"] == [name for name, _ in scores.draw([score, other])]


def test_traffic_is_read_day_by_day_and_a_gap_has_none() -> None:
    text = "Page,date,value\nb,2015-07-01,24\na,2015-07-03,48\na,2015-07-01,24.0\n"
    one, other = pages_of(text)
    assert ("a", "b") == (one.name, other.name)
    assert one.first_hour == (date(2015, 7, 1) - date(1970, 1, 1)).days * 24
    assert (10_000,) * 24 + (0,) * 24 + (20_000,) * 24 == one.spent


def test_the_document_shows_the_last_run() -> None:
    """Its table comes from the results that lie beside it."""
    kept = [scores.Score(**fields) for fields in json.loads((RESULTS / "backtest.json").read_text())]
    assert {OURS, BASELINE, *PEERS} == {score.method for score in kept}
    assert {*SHAPES, cases.REAL, scores.ALL} == {score.shape for score in kept}
    document = DOCUMENT.read_text()
    assert "\n".join(scores.table(kept)) in document
    assert all(f"- {line}" in document for line in scores.better_peers(kept, OURS))
    assert all(score.is_calibrated for score in kept if score.method == OURS)
    assert all(score.milliseconds < scores.MILLISECONDS_MAX for score in kept if score.method == OURS)
