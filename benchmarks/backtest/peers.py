"""The peers: what statsforecast foretells of each series of days. Run by a Python that has it; JSON in, JSON out.

It knows nothing of Farebox, whose packages are not there.
"""

import json
import sys
import time
import warnings

import numpy as np
from statsforecast.models import AutoETS, SeasonalNaive  # type: ignore[import-not-found]

AHEAD_DAYS = 366
LEVEL = 80
WEEK_DAYS = 7
WEEKS_MIN = 2


def main() -> None:
    """Read lists of days from standard input, and write what each method tells of the days ahead."""
    warnings.simplefilter("ignore")
    answers = [{name: _forecast(name, days) for name in ("seasonal naive", "AutoETS")} for days in json.load(sys.stdin)]
    json.dump(answers, sys.stdout)


def _forecast(name: str, days: list[int]) -> dict[str, object]:
    season = WEEK_DAYS if len(days) >= WEEKS_MIN * WEEK_DAYS else 1
    scale = max(*days, 1)
    series = np.array(days, dtype=float) / scale
    model = SeasonalNaive(season_length=season) if name == "seasonal naive" else AutoETS(season_length=season)
    started = time.process_time()
    try:
        told = model.forecast(y=series, h=AHEAD_DAYS, level=[LEVEL])
        ends = {"mean": told["mean"], "low": told[f"lo-{LEVEL}"], "high": told[f"hi-{LEVEL}"]}
    except (ValueError, KeyError, IndexError, TypeError, ZeroDivisionError, NotImplementedError):
        # Too little of it: then the mean, as anybody would, without a range.
        ends = dict.fromkeys(("mean", "low", "high"), np.full(AHEAD_DAYS, series.mean()))
    spent = {key: (np.nan_to_num(np.asarray(end, dtype=float)) * scale).tolist() for key, end in ends.items()}
    return {**spent, "milliseconds": 1_000 * (time.process_time() - started)}


if __name__ == "__main__":
    main()
