"""Draws the dashboard's panels into docs/images: `python -m tests.metrics.picture`.

Grafana is in no package that tests can have, so the panels are drawn here: from the data of a real Prometheus that
watched a real server under load, by the queries of the dashboard's file.
"""

import tempfile
import time
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

from tests.metrics.prometheus import ROOT, Panel, ask, observed, panels
from tests.support.server import free_port

PICTURE: Final = ROOT / "docs" / "images" / "dashboard-metrics.png"
SECONDS: Final = 60.0
COLUMNS: Final = 3
LINES_MAX: Final = 8
"""How many lines a panel names."""


def main() -> None:
    """Run a server and a Prometheus for a minute, and draw."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.time()
        with observed(Path(folder), free_port(), free_port(), seconds=SECONDS) as url:
            drawn = [panel for panel in panels() if panel.kind == "timeseries"]
            found = [(panel, _lines(url, panel, begun)) for panel in drawn]
    _draw([(panel, lines) for panel, lines in found if lines])


def _lines(url: str, panel: Panel, begun: float) -> list[tuple[str, list[float], list[float]]]:
    lines = []
    for query, legend in panel.queries:
        for series in ask(url, "query_range", query=query, start=begun, end=time.time(), step=1):
            name = legend
            for label, value in series["metric"].items():
                name = name.replace("{{" + label + "}}", value)
            points = [(float(at) - begun, float(value)) for at, value in series["values"]]
            lines.append((name, [at for at, _ in points], [value for _, value in points]))
    return lines


def _draw(found: list[tuple[Panel, list[tuple[str, list[float], list[float]]]]]) -> None:
    mpl.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415 - it is chosen above how it draws.

    rows = -(-len(found) // COLUMNS)
    figure: Any
    figure, axes = pyplot.subplots(rows, COLUMNS, figsize=(12, 2.1 * rows), squeeze=False)
    for axis, (panel, lines) in zip(axes.flat, found, strict=False):
        for name, times, values in lines[:LINES_MAX]:
            axis.plot(times, values, linewidth=1, label=name)
        unit = "" if panel.unit == "short" else f", {panel.unit}"
        axis.set_title(f"{panel.title}{unit}", fontsize=7, loc="left")
        axis.set_ylim(bottom=0)
        axis.tick_params(labelsize=5)
        axis.legend(fontsize=4.5, loc="upper left", frameon=False)
    for axis in list(axes.flat)[len(found) :]:
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=80)


if __name__ == "__main__":
    main()
