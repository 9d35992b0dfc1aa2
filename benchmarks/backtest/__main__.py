"""Hold the forecast to what came, on merchants of seven shapes and on real traffic, beside a baseline and its peers."""

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import asdict

from benchmarks.backtest import cases, methods, scores, traffic
from benchmarks.document import block, rewrite
from benchmarks.plots import write

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "explanation" / "forecast.md"
RESULTS: Final = Path(__file__).parents[1] / "results"
MERCHANTS: Final = 100
BALANCES: Final = 5


def main(words: Sequence[str] | None = None) -> int:
    """Run it; 0 if our range covers what it should on every shape, and takes no longer than it may."""
    parser = argparse.ArgumentParser(prog="make backtest", description=__doc__)
    parser.add_argument("--peers", type=Path, help="the Python that has statsforecast; without it there are no peers")
    parser.add_argument("--merchants", type=int, default=MERCHANTS, help="how many of each shape")
    parser.add_argument("--keep", action="store_true", help="leave the document and the results as they are")
    chosen = parser.parse_args(words)
    some = [*cases.synthetic(chosen.merchants, BALANCES), *cases.real(traffic.download(), BALANCES)]
    answers = [methods.ours(some), methods.baseline(some)]
    if chosen.peers is not None:
        answers += methods.peers(some, chosen.peers)
    by_method = [list(scores.scores_of(some, told)) for told in answers]
    found = [score for of_shape in zip(*by_method, strict=True) for score in of_shape]
    better = list(scores.better_peers(found, methods.OURS)) or ["No peer is better on any shape."]
    head = f"{platform.machine()}, Python {platform.python_version()}; * is nearest by the median"
    text = [head, "", *scores.table(found)]
    print("\n".join([*text, "", *better]))
    if not chosen.keep:
        (RESULTS / "backtest.json").write_text(json.dumps([asdict(score) for score in found], indent=1) + "\n")
        pictures = write(scores.draw(found), RESULTS, "backtest")
        remarks = "\n".join(f"- {line}" for line in better)
        rewrite("backtest", f"{block([text], pictures, DOCUMENT)}\n\n{remarks}", DOCUMENT)
    own = [score for score in found if score.method == methods.OURS]
    is_fast = all(score.milliseconds < scores.MILLISECONDS_MAX for score in own)
    return 0 if is_fast and all(score.is_calibrated for score in own) else 1


if __name__ == "__main__":
    sys.exit(main())
