"""What every chart has around its marks: the amounts' lines and labels, and the labels below."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

from markupsafe import Markup
from msgspec import Struct

from farebox.core.money import MICROS_PER_UNIT
from farebox.service.languages import ENGLISH, Language
from farebox.web.charts.scales import Scale, amount_ticks, pixels, short_amounts
from farebox.web.charts.svg import Size, element, text, text_width
from farebox.web.charts.times import time_ticks

BOTTOM: Final = 260
"""The space below the lowest amount, in tenths of a pixel."""

RIGHT_MARGIN: Final = 100
"""The space right of the last time, in tenths of a pixel."""

_LABEL_GAP: Final = 80
_LABELS_APART: Final = 30
_TIME_LABEL_WIDTH: Final = 620


class AmountAxis(Struct, frozen=True):
    """The axis of amounts: its lines and labels, where the plot begins right of them, and its scale."""

    drawing: Markup
    left: int
    scale: Scale


class Plot(Struct, frozen=True):
    """The area between the axes, where points are times and amounts."""

    times: Scale
    amounts: Scale

    def positions(self, points: Sequence[tuple[int, int]]) -> str:
        """Write where points are drawn; one that is drawn where the one before it is, is left out."""
        drawn = [(self.times.position(at), self.amounts.position(amount)) for at, amount in points]
        kept = [drawn[0], *(position for before, position in pairwise(drawn) if position != before)]
        return " ".join(f"{pixels(x)},{pixels(y)}" for x, y in kept)


class Label(Struct, frozen=True):
    """A label below a chart; after one of the same group, `short` is enough."""

    x: int
    words: str
    short: str = ""
    group: int | None = None


def amount_axis(low: int, high: int, size: Size, spoken: Language = ENGLISH) -> AmountAxis:
    """Draw a line and a label for each of a few round amounts from `low` to `high`."""
    is_empty = low == high
    scale = Scale(low, low + MICROS_PER_UNIT if is_empty else high, size.height - BOTTOM, size.top)
    ticks = [0] if is_empty else amount_ticks(low, high, count_max=size.amounts_max)
    labels = short_amounts(ticks, spoken)
    left = _LABEL_GAP + max(text_width(label) for label in labels) + _LABEL_GAP // 2
    right = pixels(size.width - RIGHT_MARGIN)
    drawn = []
    for tick, label in zip(ticks, labels, strict=True):
        y = scale.position(tick)
        drawn.append(element("line", class_="axis", x1=pixels(left), x2=right, y1=pixels(y), y2=pixels(y)))
        drawn.append(text(label, x=pixels(left - _LABEL_GAP), y=pixels(y + 40), text_anchor="end"))
    return AmountAxis(Markup("").join(drawn), left, scale)


def time_labels(
    scale: Scale, zone: ZoneInfo, *, anchor: int, last: int, size: Size, spoken: Language = ENGLISH
) -> Markup:
    """Label round times from the scale's first one up to `last`."""
    count_max = (scale.end - scale.start) // _TIME_LABEL_WIDTH
    ticks = time_ticks(scale.low, last, zone, anchor=anchor, count_max=count_max, spoken=spoken)
    return labels_below([Label(scale.position(tick.at), tick.label) for tick in ticks], size)


def labels_below(labels: Sequence[Label], size: Size) -> Markup:
    """Write labels below a chart, within its width; one that would touch the one before it is left out."""
    texts: list[Markup] = []
    free_from, group = 0, None
    for label in labels:
        words = label.words if label.group is None or label.group != group else label.short
        half = text_width(words) // 2
        x = min(max(label.x, half), size.width - half)
        if x - half >= free_from:
            free_from, group = x + half + _LABELS_APART, label.group
            texts.append(text(words, x=pixels(x), y=pixels(size.height - 60), text_anchor="middle"))
    return Markup("").join(texts)
