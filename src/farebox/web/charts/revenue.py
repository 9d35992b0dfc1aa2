"""Charts of revenue by month: what requests took, and what merchants had when each month ended."""

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup
from msgspec import Struct

from farebox.core.currencies import format_money_with_code
from farebox.service.insight.revenue import Month, MonthFigures
from farebox.web.charts.axes import RIGHT_MARGIN, AmountAxis, Label, amount_axis, labels_below
from farebox.web.charts.scales import pixels
from farebox.web.charts.svg import Size, image, text, titled

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

REVENUE: Final = Size(5000, 2300, 120)
REVENUE_NARROW: Final = Size(2800, 2000, 120, amounts_max=4)

_BAR_SHARE: Final = 6
"""What part of a month's width is left free at each side of its bar: one in so many."""

PAID_COLOUR: Final = "t1"
GIVEN_COLOUR: Final = "t4"


class _Segment(Struct, frozen=True):
    """A part of a bar: micros, the class of its colour, and its title."""

    amount: int
    css: str
    title: str


def used_chart(figures: Sequence[MonthFigures], *, currency: str, is_narrow: bool = False) -> Markup:
    """Draw what requests took in each month, less refunds: paid money, and given credit upon it.

    A month in which more was refunded than used has no bar; the table beside the chart tells it.
    """
    bars = []
    for month in figures:
        name = month_name(month.month)
        paid = f"{name}: {format_money_with_code(month.recognised, currency)} of paid money"
        given = f"{name}: {format_money_with_code(month.promotional, currency)} of given credit"
        bars.append(
            [
                _Segment(max(month.recognised, 0), PAID_COLOUR, paid),
                _Segment(max(month.promotional, 0), GIVEN_COLOUR, given),
            ]
        )
    paid_total = format_money_with_code(sum(month.recognised for month in figures), currency)
    given_total = format_money_with_code(sum(month.promotional for month in figures), currency)
    words = f"Used in {_span(figures)}: {paid_total} of paid money and {given_total} of given credit."
    return _chart(figures, bars, words, is_narrow=is_narrow)


def owed_chart(figures: Sequence[MonthFigures], *, currency: str, is_narrow: bool = False) -> Markup:
    """Draw what paid money all merchants had at each month's end; below zero, more was drawn on credit limits."""
    bars = [
        [
            _Segment(
                month.closing,
                PAID_COLOUR,
                f"End of {month_name(month.month)}: {format_money_with_code(month.closing, currency)}",
            )
        ]
        for month in figures
    ]
    last = format_money_with_code(figures[-1].closing, currency)
    words = f"Paid money not used yet at each month's end, {_span(figures)}: {last} at the last one."
    return _chart(figures, bars, words, is_narrow=is_narrow)


def month_name(month: Month) -> str:
    """Write a month in words: Nov 2026."""
    return f"{_MONTHS[month.month - 1]} {month.year}"


def _chart(
    figures: Sequence[MonthFigures], bars: Sequence[Sequence[_Segment]], description: str, *, is_narrow: bool
) -> Markup:
    size = REVENUE_NARROW if is_narrow else REVENUE
    tops = [sum(segment.amount for segment in segments) for segments in bars]
    axis = amount_axis(min(0, *tops), max(0, *tops), size)
    width = size.width - RIGHT_MARGIN - axis.left
    drawn, labels = [], []
    for index, (month, segments) in enumerate(zip(figures, bars, strict=True)):
        start, end = (axis.left + width * number // len(bars) for number in (index, index + 1))
        gap = (end - start) // _BAR_SHARE
        drawn.append(_bar(segments, axis, x=start + gap, width=end - start - 2 * gap))
        # January has the year for a name, which is told nowhere else.
        name = str(month.month.year) if month.month.month == 1 else _MONTHS[month.month.month - 1]
        labels.append(Label((start + end) // 2, name))
    if not any(tops):
        x, y = pixels(axis.left + width // 2), pixels(size.height // 2)
        drawn = [text("Nothing in these months", x=x, y=y, text_anchor="middle")]
    return image(size, description, axis.drawing, *drawn, labels_below(labels, size))


def _bar(segments: Sequence[_Segment], axis: AmountAxis, *, x: int, width: int) -> Markup:
    drawn, height = [], 0
    for segment in segments:
        positions = sorted((axis.scale.position(height), axis.scale.position(height + segment.amount)))
        height += segment.amount
        if positions[0] < positions[1]:
            drawn.append(
                titled(
                    "rect",
                    segment.title,
                    x=pixels(x),
                    y=pixels(positions[0]),
                    width=pixels(width),
                    height=pixels(positions[1] - positions[0]),
                    class_=segment.css,
                    fill="currentColor",
                )
            )
    return Markup("").join(drawn)


def _span(figures: Sequence[MonthFigures]) -> str:
    return f"{month_name(figures[0].month)} to {month_name(figures[-1].month)}"
