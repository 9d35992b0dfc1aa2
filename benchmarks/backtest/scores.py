"""How good each method was on each shape, and the tables and pictures of it."""

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct

from benchmarks.backtest.cases import Case
from benchmarks.backtest.methods import Answers
from benchmarks.backtest.shapes import HOURS_PER_DAY
from benchmarks.drawing import Bar, draw_bars

ALL: Final = "all shapes"
COVERED: Final = (70, 90)
"""A range of 80 % covers between these percentages of what came, on each shape."""

MILLISECONDS_MAX: Final = 5.0
_RATIO_MAX: Final = 1.0


class Score(Struct, frozen=True):
    """How good one method was on one shape.

    `covered` is a percentage, None without a range; `early` and `late` are those of ends before and after it. `width`
    is the median of the range's, and `days` of the error's, in days; `share` is the mean error, in percent of the time.
    """

    shape: str
    method: str
    balances: int
    covered: float | None
    early: float | None
    late: float | None
    width: float | None
    days: float
    share: float
    milliseconds: float

    @property
    def is_calibrated(self) -> bool:
        """Whether the range covers about as much as it says."""
        low, high = COVERED
        return self.covered is not None and low <= self.covered <= high


def scores_of(cases: Sequence[Case], answers: Answers) -> Iterator[Score]:
    """Score a method on each shape, and on all merchants that were drawn together."""
    shapes = list(dict.fromkeys(case.shape for case in cases))
    for shape in shapes:
        yield _score(shape, answers, [number for number, case in enumerate(cases) if case.shape == shape], cases)
    yield _score(ALL, answers, range(len(cases)), cases)


def _score(shape: str, answers: Answers, numbers: Iterable[int], cases: Sequence[Case]) -> Score:
    chosen = list(numbers)
    pairs = [
        (balance.hours, run_out)
        for number in chosen
        for balance, run_out in zip(cases[number].balances, answers.run_outs[number], strict=True)
    ]
    ranges = [
        (hours, run_out.low, run_out.high)
        for hours, run_out in pairs
        if run_out.low is not None and run_out.high is not None
    ]
    # What a curve reaches within an hour counts as that hour: what came is known by hours.
    early = [hours < math.floor(low) for hours, low, _ in ranges]
    late = [hours > math.ceil(high) for hours, _, high in ranges]
    errors = [abs(run_out.likely - hours) for hours, run_out in pairs]
    return Score(
        shape=shape,
        method=answers.method,
        balances=len(pairs),
        covered=_percent(not (one or other) for one, other in zip(early, late, strict=True)),
        early=_percent(early),
        late=_percent(late),
        width=statistics.median(high - low for _, low, high in ranges) / HOURS_PER_DAY if ranges else None,
        days=statistics.median(errors) / HOURS_PER_DAY,
        share=100
        * statistics.fmean(min(error / hours, _RATIO_MAX) for error, (hours, _) in zip(errors, pairs, strict=True)),
        milliseconds=statistics.median(answers.milliseconds[number] for number in chosen),
    )


def _percent(those: Iterable[bool]) -> float | None:
    some = list(those)
    return 100 * sum(some) / len(some) if some else None


def table(scores: Sequence[Score]) -> Iterator[str]:
    """Write the table: shapes, and under each the methods."""
    yield f"{'':29} covered   early    late   width    error   error      ms"
    yield f"{'':29}       %       %       %    days     days       %"
    for shape in dict.fromkeys(score.shape for score in scores):
        some = [score for score in scores if score.shape == shape]
        yield ""
        yield f"{shape}, {some[0].balances:,} balances"
        best = min(score.days for score in some)
        for score in some:
            mark = "*" if score.days == best else " "
            parts = [_cell(part) for part in (score.covered, score.early, score.late, score.width)]
            yield (
                f"  {score.method:26} {' '.join(parts)} {score.days:>7.2f}{mark} {score.share:>7.1f} "
                f"{score.milliseconds:>7.2f}"
            )


def _cell(part: float | None) -> str:
    return f"{'':>7}" if part is None else f"{part:>7.1f}"


def better_peers(scores: Sequence[Score], ours: str) -> Iterator[str]:
    """Say plainly where another method is nearer than ours."""
    for shape in dict.fromkeys(score.shape for score in scores):
        some = [score for score in scores if score.shape == shape]
        (own,) = (score for score in some if score.method == ours)
        for score in some:
            better = [
                f"{name} {getattr(score, field):.2f} against {getattr(own, field):.2f} {unit}"
                for name, field, unit in (("median error", "days", "days"), ("mean error", "share", "%"))
                if getattr(score, field) < getattr(own, field)
            ]
            if better:
                yield f"On {shape}, {score.method} is better: {'; '.join(better)}."


def draw(scores: Sequence[Score]) -> Iterator[tuple[str, str]]:
    """Draw how much each range covers, and how far off each method is."""
    shapes = list(dict.fromkeys(score.shape for score in scores))
    covered = [
        (shape, [_bar(score.method, score.covered) for score in scores if score.shape == shape and score.covered])
        for shape in shapes
    ]
    yield "covered", draw_bars("Covered by the 80 % range, in percent", covered)
    errors = [
        (shape, [_bar(score.method, score.share) for score in scores if score.shape == shape]) for shape in shapes
    ]
    yield "error", draw_bars("Mean error of the time until the money runs out, in percent of it", errors)


def _bar(label: str, value: float | None) -> Bar:
    number = value or 0.0
    return Bar(label, number, number, number)
