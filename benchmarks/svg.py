"""Small charts as SVG: bars with the spread of their rounds, and lines. No more than the results need."""

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from msgspec import Struct

WIDTH: Final = 760
COLOURS: Final = ("#3b6ea8", "#c8553d", "#4f9d69", "#8d6a9f", "#d19a2e", "#5b5f66", "#2a9d9d", "#a34a6f")

_FONT: Final = "font-family='sans-serif' font-size='12'"
_ROW: Final = 20
_LABEL_WIDTH: Final = 210
_VALUE_WIDTH: Final = 80
_TOP: Final = 40
_PLOT_HEIGHT: Final = 260
_LEFT: Final = 70
_RIGHT: Final = 230
_TICKS: Final = 5


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


def bars(title: str, groups: Sequence[tuple[str, Sequence[Bar]]]) -> str:
    """Draw horizontal bars in groups, each with a whisker from its lowest to its highest round."""
    labels = list(dict.fromkeys(bar.label for _, group in groups for bar in group))
    top = max((bar.highest for _, group in groups for bar in group), default=1.0) or 1.0
    scale = (WIDTH - _LABEL_WIDTH - _VALUE_WIDTH) / top
    parts: list[str] = []
    y = float(_TOP)
    for name, group in groups:
        parts.append(_text(8, y + 13, name, weight="bold"))
        y += _ROW
        for bar in group:
            middle = y + _ROW / 2
            low, high = _LABEL_WIDTH + bar.lowest * scale, _LABEL_WIDTH + bar.highest * scale
            colour = COLOURS[labels.index(bar.label) % len(COLOURS)]
            parts += [
                _text(_LABEL_WIDTH - 8, middle + 4, bar.label, anchor="end"),
                f"<rect x='{_LABEL_WIDTH}' y='{y + 3}' width='{bar.value * scale:.1f}' height='{_ROW - 6}' "
                f"fill='{colour}'/>",
                _line(low, middle, high, middle),
                _text(max(high, _LABEL_WIDTH) + 6, middle + 4, _number(bar.value)),
            ]
            y += _ROW
        y += _ROW / 2
    return _picture(title, y + 4, parts)


def curves(title: str, series: Sequence[Series], *, x: str, y: str, is_log: bool = False) -> str:
    """Draw lines over one pair of axes, both from zero, or both logarithmic."""
    points = [point for it in series for point in it.points] or [(1.0, 1.0)]
    columns = _Axis([at for at, _ in points], WIDTH - _LEFT - _RIGHT, is_log=is_log)
    rows = _Axis([value for _, value in points], _PLOT_HEIGHT, is_log=is_log)
    bottom = _TOP + _PLOT_HEIGHT
    parts = [_line(_LEFT, bottom, WIDTH - _RIGHT, bottom), _line(_LEFT, _TOP, _LEFT, bottom)]
    for tick in columns.ticks:
        parts.append(_text(_LEFT + columns.place(tick), bottom + 16, _number(tick), anchor="middle"))
    for tick in rows.ticks:
        at = bottom - rows.place(tick)
        parts.append(_line(_LEFT, at, WIDTH - _RIGHT, at, colour="#ddd"))
        parts.append(_text(_LEFT - 6, at + 4, _number(tick), anchor="end"))
    parts.append(_text((_LEFT + WIDTH - _RIGHT) / 2, bottom + 36, x, anchor="middle"))
    parts.append(_text(8, _TOP - 8, y))
    for number, it in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{_LEFT + columns.place(at):.1f},{bottom - rows.place(value):.1f}" for at, value in it.points)
        parts.append(f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='2'/>")
        key = _TOP + 10 + number * _ROW
        parts.append(f"<rect x='{WIDTH - _RIGHT + 16}' y='{key - 9}' width='12' height='12' fill='{colour}'/>")
        parts.append(_text(WIDTH - _RIGHT + 34, key + 1, it.name))
    return _picture(title, bottom + 46, parts)


class _Axis:
    """Places values along a length."""

    def __init__(self, values: Sequence[float], length: float, *, is_log: bool) -> None:
        self._is_log = is_log
        self._length = length
        positive = [value for value in values if value > 0] or [1.0]
        self._start = math.floor(math.log10(min(positive))) if is_log else 0.0
        end = math.ceil(math.log10(max(positive))) if is_log else _round_up(max(positive))
        self._end = max(end, self._start + 1) if is_log else end

    @property
    def ticks(self) -> Iterator[float]:
        """Values to write beside the axis."""
        if self._is_log:
            yield from (10.0**power for power in range(int(self._start), int(self._end) + 1))
        else:
            yield from (self._end * step / _TICKS for step in range(_TICKS + 1))

    def place(self, value: float) -> float:
        """Tell how far from the axis's start a value is."""
        at = math.log10(max(value, 10.0**self._start)) if self._is_log else value
        return (at - self._start) / (self._end - self._start) * self._length


def _round_up(value: float) -> float:
    """Find the next value that divides well."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10) if step * power >= value * 0.999)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' font-weight='{weight}'>{escape(text)}</text>"


def _line(x1: float, y1: float, x2: float, y2: float, colour: str = "#333") -> str:
    return f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' stroke='{colour}'/>"


def _picture(title: str, height: float, parts: Sequence[str]) -> str:
    body = "\n".join(parts)
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{height:.0f}' "
        f"viewBox='0 0 {WIDTH} {height:.0f}' {_FONT} fill='#222'>\n"
        f"<rect width='100%' height='100%' fill='#fff'/>\n"
        f"<text x='8' y='18' font-size='14' font-weight='bold'>{escape(title)}</text>\n{body}\n</svg>\n"
    )
