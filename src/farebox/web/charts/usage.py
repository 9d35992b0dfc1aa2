"""The chart of usage: what was spent in each hour or day, request types upon one another; and the rows of its table."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from markupsafe import Markup
from msgspec import Struct

from farebox.service.insight.usage import UsageLine
from farebox.service.languages import ENGLISH, Language
from farebox.web.charts.axes import RIGHT_MARGIN, Label, amount_axis, labels_below, time_labels
from farebox.web.charts.bars import Bars, Segment, UsageType, group_into_bars, usage_types
from farebox.web.charts.scales import Scale, pixels
from farebox.web.charts.svg import Size, clean, image, text, titled
from farebox.web.charts.times import HOUR, day_label, local, time_label, weekday_label

USAGE: Final = Size(5000, 2300, 120)
USAGE_NARROW: Final = Size(2800, 2000, 120, amounts_max=4)

_BAR_WIDTH_MAX: Final = 560
_BAR_GAP_FROM: Final = 40
_SEGMENT_GAP: Final = 10
_ROUND_FROM: Final = 60
_DAY_LABEL_STEPS: Final = (1, 2, 3, 4, 5, 7, 10, 14, 28, 56)
_DAY_LABEL_WIDTH: Final = 320


class UsageRow(Struct, frozen=True):
    """A row of the table beside usage: what a type came to in an hour or day; texts.

    `quantities` has the sums by component, where the price is a rule.
    """

    when: str
    request_type: str
    requests: str
    cost: str
    refunded: str
    quantities: Mapping[str, int] = {}


def usage_chart(
    buckets: Sequence[UsageLine],
    *,
    zone: ZoneInfo,
    by: Literal["hour", "day"],
    currency: str,
    names: Sequence[str] = (),
    is_narrow: bool = False,
    first: date | None = None,
    last: date | None = None,
    spoken: Language = ENGLISH,
) -> Markup:
    """Draw what was spent as bars, request types upon one another, less what was refunded within the same bar.

    Args:
        buckets: what there is of each type in each hour or day.
        zone: whose days and hours are shown.
        by: what a bar is.
        currency: the account's.
        names: all request types, in the order in which they were first priced; it gives them their colours.
        is_narrow: for a phone.
        first: the first day, by default that of the first bucket.
        last: the last day, by default that of the last bucket.
        spoken: the reader's language.
    """
    size = USAGE_NARROW if is_narrow else USAGE
    types = usage_types(buckets, names, spoken)
    bars = group_into_bars(buckets, zone=zone, by=by, first=first, last=last)
    highest = max((sum(segment.net for segment in segments) for segments in bars.segments.values()), default=0)
    axis = amount_axis(0, highest, size, spoken)
    width = size.width - RIGHT_MARGIN - axis.left
    drawn = []
    for index, segments in sorted(bars.segments.items()):
        start, end = (axis.left + width * number // bars.count for number in (index, index + 1))
        gap = max((end - start) // 12 if end - start >= _BAR_GAP_FROM else 0, (end - start - _BAR_WIDTH_MAX) // 2)
        marks = [
            (types[segment.type_index].css, _title(segment, types, zone=zone, by=by, currency=currency, spoken=spoken))
            for segment in segments
        ]
        drawn.append(_bar(segments, marks, x=start + gap, width=max(end - start - 2 * gap, 1), amounts=axis.scale))
    if not highest:
        words = spoken.gettext("Nothing was charged") if types else spoken.gettext("No requests in this time")
        drawn = [text(words, x=pixels(axis.left + width // 2), y=pixels(size.height // 2), text_anchor="middle")]
    return image(
        size,
        _description(types, bars, zone=zone, by=by, currency=currency, spoken=spoken),
        axis.drawing,
        *drawn,
        _bar_labels(bars, zone=zone, by=by, left=axis.left, size=size, spoken=spoken),
    )


def usage_rows(
    buckets: Sequence[UsageLine],
    *,
    zone: ZoneInfo,
    by: Literal["hour", "day"],
    currency: str,
    spoken: Language = ENGLISH,
) -> list[UsageRow]:
    """List what usage's chart shows, type by type, those without a colour too."""
    return [
        UsageRow(
            _bucket_label(line.starts_at, zone, by, spoken),
            clean(line.request_type),
            spoken.number(line.requests),
            spoken.money(line.cost, currency),
            spoken.money(line.refunded, currency),
            line.quantities,
        )
        for line in buckets
    ]


def _bar(
    segments: Sequence[Segment], marks: Sequence[tuple[str, str]], *, x: int, width: int, amounts: Scale
) -> Markup:
    """Draw a bar, its segments upon one another, each with a class and a title; one too low to be seen is left out."""
    drawn, height = [], 0
    for segment, (css, title) in zip(segments, marks, strict=True):
        bottom = amounts.position(height)
        height += segment.net
        top = amounts.position(height)
        # A line of daylight between two segments, if there is space for it.
        shown = bottom - top - (_SEGMENT_GAP if bottom - top > 2 * _SEGMENT_GAP else 0)
        if shown > 0:
            rounding = {"rx": "2"} if min(width, shown) >= _ROUND_FROM else {}
            drawn.append(
                titled(
                    "rect",
                    title,
                    x=pixels(x),
                    y=pixels(top),
                    width=pixels(width),
                    height=pixels(shown),
                    class_=css,
                    fill="currentColor",
                    **rounding,
                )
            )
    return Markup("").join(drawn)


def _bar_labels(
    bars: Bars, *, zone: ZoneInfo, by: Literal["hour", "day"], left: int, size: Size, spoken: Language
) -> Markup:
    """Label bars, the last one for sure; a day's label names the month where it is another one."""
    width = size.width - RIGHT_MARGIN - left
    if bars.count == 0:
        return Markup("")
    if by == "hour":
        times = Scale(bars.start, bars.start + bars.count * HOUR, left, left + width)
        return time_labels(times, zone, anchor=times.low, last=times.high - 1, size=size, spoken=spoken)
    step = next((step for step in _DAY_LABEL_STEPS if width * step >= _DAY_LABEL_WIDTH * bars.count), bars.count)
    first_day = local(bars.start, zone).date()
    labels = []
    for index in range((bars.count - 1) % step, bars.count, step):
        day = first_day + timedelta(days=index)
        x = left + width * (2 * index + 1) // (2 * bars.count)
        labels.append(Label(x, day_label(day, spoken), str(day.day), day.month))
    return labels_below(labels, size)


def _title(
    segment: Segment,
    types: Sequence[UsageType],
    *,
    zone: ZoneInfo,
    by: Literal["hour", "day"],
    currency: str,
    spoken: Language,
) -> str:
    when, name = _bucket_label(segment.starts_at, zone, by, spoken), types[segment.type_index].name
    words = f"{when}, {name}: {_requests(segment.requests, spoken)}, {spoken.money(segment.cost, currency)}"
    if segment.refunded == 0:
        return words
    refunded = spoken.money(segment.refunded, currency)
    return spoken.gettext("%(words)s, %(amount)s refunded", words=words, amount=refunded)


def _description(
    types: Sequence[UsageType],
    bars: Bars,
    *,
    zone: ZoneInfo,
    by: Literal["hour", "day"],
    currency: str,
    spoken: Language,
) -> str:
    if not types:
        return spoken.gettext("Spend by type: no requests in this time.")
    first = local(bars.start, zone).date()
    last = (
        first + timedelta(days=bars.count - 1)
        if by == "day"
        else local(bars.start + bars.count * HOUR - 1, zone).date()
    )
    told = {
        "first": day_label(first, spoken),
        "last": day_label(last, spoken),
        "amount": spoken.money(sum(item.cost - item.refunded for item in types), currency),
        "requests": _requests(sum(item.requests for item in types), spoken),
    }
    words = (
        spoken.gettext("Spend by type and day, %(first)s to %(last)s: %(amount)s for %(requests)s", **told)
        if by == "day"
        else spoken.gettext("Spend by type and hour, %(first)s to %(last)s: %(amount)s for %(requests)s", **told)
    )
    if len(types) > 1:
        most = spoken.money(types[0].cost - types[0].refunded, currency)
        part = spoken.gettext("most of it for %(type)s: %(amount)s", type=types[0].name, amount=most)
        words = f"{words}, {part}"
    return f"{words}."


def _bucket_label(at: int, zone: ZoneInfo, by: Literal["hour", "day"], spoken: Language) -> str:
    return time_label(at, zone, spoken) if by == "hour" else weekday_label(at, zone, spoken)


def _requests(count: int, spoken: Language) -> str:
    return spoken.ngettext("%(count)s request", "%(count)s requests", count)
