"""Pictures as SVG, drawn by matplotlib: bars with the spread of their rounds, and lines."""

import io
from collections.abc import Sequence
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator
from matplotlib.typing import RcKeyType
from msgspec import Struct

COLOURS: Final = ("#3b6ea8", "#c8553d", "#4f9d69", "#8d6a9f", "#d19a2e", "#5b5f66", "#2a9d9d", "#a34a6f")

_WIDTH_INCHES: Final = 8.0
_ROW_INCHES: Final = 0.22
_FRAME_INCHES: Final = 0.7
_LINES_HEIGHT_INCHES: Final = 3.6
_STYLE: Final[dict[RcKeyType, Any]] = {
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 9,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.edgecolor": "#333333",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#dddddd",
    "lines.linewidth": 1.5,
    # Text stays text, and equal data is an equal file.
    "svg.fonttype": "none",
    "svg.hashsalt": "farebox",
}


class Bar(Struct, frozen=True):
    """One bar of a group: its median, and the lowest and highest round."""

    label: str
    value: float
    lowest: float
    highest: float


class Series(Struct, frozen=True):
    """One line: its name, and its points from left to right."""

    name: str
    points: list[tuple[float, float]]


def draw_bars(title: str, groups: Sequence[tuple[str, Sequence[Bar]]]) -> str:
    """Draw horizontal bars in groups, each with a whisker from its lowest to its highest round."""
    labels = list(dict.fromkeys(bar.label for _, group in groups for bar in group))
    rows: list[tuple[str, Bar | None]] = []
    for name, group in groups:
        rows += [(name, None), *((bar.label, bar) for bar in group)]
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(title, len(rows) * _ROW_INCHES + _FRAME_INCHES)
        axes.grid(visible=False, axis="y")
        for row, (label, bar) in enumerate(rows):
            if bar is not None:
                drawn = axes.barh(
                    row,
                    bar.value,
                    height=0.7,
                    color=COLOURS[labels.index(label) % len(COLOURS)],
                    xerr=[[bar.value - bar.lowest], [bar.highest - bar.value]],
                    ecolor="#333333",
                )
                axes.bar_label(drawn, labels=[f" {_number(bar.value)}"])
        axes.set_yticks(range(len(rows)), [label for label, _ in rows])
        axes.tick_params(axis="y", length=0)
        for tick, (_, bar) in zip(axes.get_yticklabels(), rows, strict=True):
            tick.set_fontweight("bold" if bar is None else "normal")
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.margins(x=0.1)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _number(value)))
        return _svg(figure)


def draw_lines(title: str, series: Sequence[Series], *, x: str, y: str, is_log: bool = False) -> str:
    """Draw lines over one pair of axes, both from zero, or both logarithmic if there is anything above zero."""
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(title, _LINES_HEIGHT_INCHES)
        for number, line in enumerate(series):
            axes.plot(*zip(*line.points, strict=True), label=line.name, color=COLOURS[number % len(COLOURS)])
        if is_log and any(value > 0 for line in series for _, value in line.points):
            axes.set_xscale("log", subs=[])
            axes.set_yscale("log", subs=[])
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        else:
            axes.set_xlim(left=0)
            axes.set_ylim(bottom=0)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: _number(value)))
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        figure.legend(loc="outside right upper", frameon=False)
        return _svg(figure)


def _figure(title: str, height_inches: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH_INCHES, height_inches), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    return figure, axes


def _svg(figure: Figure) -> str:
    picture = io.StringIO()
    figure.savefig(picture, format="svg", metadata={"Date": None, "Creator": None})
    return "".join(f"{line.rstrip()}\n" for line in picture.getvalue().splitlines())


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
