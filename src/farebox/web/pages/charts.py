"""Charts as SVG, drawn here: no script is needed to read them, and no style stands in them.

Whatever is drawn comes with its exact amounts: as a title on the mark, and as rows for a table beside the chart.
"""

import re
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Final, Literal
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape
from msgspec import Struct

from farebox.core.money import MICROS_PER_UNIT, divide_rounding_half_up, format_amount
from farebox.service.insight.forecast import RUNWAY_DAYS_MAX, Runway, in_words
from farebox.service.insight.history import Cone, History, Mark, cone_of
from farebox.service.insight.usage import UsageLine
from farebox.web.pages.scales import (
    DAY,
    HOUR,
    WEEKDAYS,
    Scale,
    amount_ticks,
    day_label,
    local,
    midnight,
    moment_label,
    pixels,
    short_amounts,
    text_width,
    time_ticks,
)

TYPES_MAX: Final = 4
"""How many request types have a colour of their own; the rest share one."""

OTHER: Final = "other types"

_FOOT: Final = 260
_MARGIN: Final = 100
_LABEL_GAP: Final = 80
_LABEL_HEIGHT: Final = 160
_LABELS_APART: Final = 30
_MARK_HEIGHT: Final = 160
_DOT_RADIUS: Final = 35
_BAR_GAP: Final = 10
_BAR_WIDTH_MAX: Final = 560
_GAP_FROM: Final = 40
_ROUND_FROM: Final = 60
_AHEAD_MIN_PERCENT: Final = 15
_AHEAD_MAX_PERCENT: Final = 45
_DAY_LABEL_STEPS: Final = (1, 2, 3, 4, 5, 7, 10, 14, 28, 56)
_DAY_LABEL_WIDTH: Final = 320
_TIME_LABEL_WIDTH: Final = 620
_HALO: Final = {"stroke": "var(--card)", "stroke_width": "3", "paint_order": "stroke", "stroke_linejoin": "round"}
"""What keeps a label apart from the lines behind it."""
_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Size(Struct, frozen=True):
    """How large a chart is, and the room above its highest amount, in tenths of a pixel.

    The narrow ones are as wide as a card is on a small phone, so that letters stay as large as they are drawn.
    """

    width: int
    height: int
    top: int
    amounts_max: int = 5
    """How many amounts are labelled at most."""


BALANCE: Final = Size(7200, 2500, 300)
BALANCE_NARROW: Final = Size(2800, 2000, 300, amounts_max=4)
USAGE: Final = Size(5000, 2300, 120)
USAGE_NARROW: Final = Size(2800, 2000, 120, amounts_max=4)
SPARK: Final = Size(1200, 320, 35)


class BalanceRow(Struct, frozen=True):
    """A row of the table beside a balance: when, what, and the posted balance then; texts."""

    when: str
    what: str
    posted: str


class UsageRow(Struct, frozen=True):
    """A row of the table beside usage: what a type came to in an hour or day; texts."""

    when: str
    request_type: str
    requests: str
    cost: str
    refunded: str


class UsageType(Struct, frozen=True):
    """What a request type came to altogether. `cost` and `refunded` are micros, `share` is percent of what is left.

    `css` is the class of its colour, t1 to t5; the last one stands for all types that have no colour of their own.
    """

    css: str
    name: str
    requests: int
    cost: int
    refunded: int
    share: int


class _Segment(Struct, frozen=True):
    """One request type, or all others, within one bar."""

    type_index: int
    starts_at: int
    requests: int
    cost: int
    refunded: int


class _Bars(Struct, frozen=True):
    """What bars there are: `count` of them, the first one at `start`; those that are empty have no segments."""

    start: int
    count: int
    segments: dict[int, list[_Segment]]
    """By the bar's place, types in the order of `usage_types`."""


class _Label(Struct, frozen=True):
    """A label below a chart; `short` does after one of the same group."""

    x: int
    words: str
    short: str = ""
    group: int | None = None


def balance_chart(
    history: History,
    *,
    thresholds: Sequence[int],
    runway: Runway | None,
    now: int,
    zone: ZoneInfo,
    currency: str,
    is_narrow: bool = False,
) -> Markup:
    """Draw the posted balance up to now, where it goes from there, the thresholds, and top-ups as triangles.

    Args:
        history: the balance up to now.
        thresholds: micros.
        runway: how long it lasts, or None.
        now: microseconds since 1970.
        zone: whose days and times are told.
        currency: the account's.
        is_narrow: for a phone.
    """
    size = BALANCE_NARROW if is_narrow else BALANCE
    now = max(now, history.points[-1][0])
    points = [*history.points, (now, history.points[-1][1])]
    cone = cone_of(runway, posted=points[-1][1], now=now)
    start = min(points[0][0], now - HOUR)
    amounts = [0, *(posted for _, posted in points), *thresholds]
    grid, left, y_scale = _grid(min(amounts), max(amounts), size)
    x_scale = Scale(start, now + _ahead(cone, now - start), left, size.width - _MARGIN)
    return _svg(
        size,
        _balance_words(history, runway, now=now, currency=currency),
        grid,
        _trace(points, x_scale, y_scale, _balance_title(points, now, zone, currency)),
        _cone(cone, x_scale, y_scale, zone),
        _thresholds(thresholds, x_scale, y_scale, currency),
        *[_top_up(mark, x_scale, y_scale, zone, currency) for mark in history.marks],
        _today(x_scale.place(now), size),
        _times(x_scale, zone, now=now, size=size),
        _dot(points[-1], x_scale, y_scale, currency),
    )


def balance_rows(
    history: History, *, runway: Runway | None, now: int, zone: ZoneInfo, currency: str
) -> list[BalanceRow]:
    """Tell what a balance's chart shows: the last balance drawn of each day, each top-up, and when it runs out."""
    rows: list[tuple[int, int, BalanceRow]] = []
    points = history.points
    for index, (at, posted) in enumerate(points):
        is_last = index + 1 == len(points)
        if is_last or local(points[index + 1][0], zone).date() != local(at, zone).date():
            rows.append(
                (at, 1, BalanceRow(moment_label(at, zone), "now" if is_last else "balance", _money(posted, currency)))
            )
    for mark in history.marks:
        row = BalanceRow(
            moment_label(mark.at, zone), f"top-up {_money(mark.amount, currency)}", _money(mark.posted, currency)
        )
        rows.append((mark.at, 0, row))
    if (cone := cone_of(runway, posted=points[-1][1], now=now)) is not None:
        rows.append((cone.usual, 2, BalanceRow(_day_words(cone.usual, zone), "forecast", _money(0, currency))))
    return [row for _, _, row in sorted(rows, key=lambda item: item[:2])]


def sparkline(history: History, *, currency: str = "") -> Markup:
    """Draw the posted balance alone, small enough for a row of a table."""
    points = history.points
    amounts = [0, *(posted for _, posted in points)]
    low, high = min(amounts), max(amounts)
    edge = SPARK.top
    y_scale = Scale(low, high if high > low else low + MICROS_PER_UNIT, SPARK.height - edge, edge)
    start, now = points[0][0], points[-1][0]
    x_scale = Scale(min(start, now - HOUR), now, edge, SPARK.width - edge)
    words = f"Balance: {_money(points[-1][1], currency)} now, {_money(points[0][1], currency)} at first"
    return _svg(
        SPARK, words, _trace(list(points), x_scale, y_scale, words), _dot(points[-1], x_scale, y_scale, currency)
    )


def usage_chart(
    buckets: Sequence[UsageLine],
    *,
    zone: ZoneInfo,
    by: Literal["hour", "day"],
    currency: str,
    is_narrow: bool = False,
    first: date | None = None,
    last: date | None = None,
) -> Markup:
    """Draw what was spent as bars, request types upon one another, less what was refunded within the same bar.

    Args:
        buckets: what there is of each type in each hour or day.
        zone: whose days and hours are told.
        by: what a bar is.
        currency: the account's.
        is_narrow: for a phone.
        first: the first day, by default that of the first bucket.
        last: the last day, by default that of the last bucket.
    """
    size = USAGE_NARROW if is_narrow else USAGE
    types = usage_types(buckets)
    bars = _bars(buckets, zone=zone, by=by, first=first, last=last)
    highest = max((sum(map(_net, segments)) for segments in bars.segments.values()), default=0)
    grid, left, y_scale = _grid(0, highest, size)
    width = size.width - _MARGIN - left
    marks = []
    for index, segments in sorted(bars.segments.items()):
        start, end = (left + width * number // bars.count for number in (index, index + 1))
        gap = max((end - start) // 12 if end - start >= _GAP_FROM else 0, (end - start - _BAR_WIDTH_MAX) // 2)
        titles = [_title(segment, types, zone=zone, by=by, currency=currency) for segment in segments]
        marks.append(_bar(segments, titles, x=start + gap, width=max(end - start - 2 * gap, 1), y_scale=y_scale))
    if not highest:
        words = "Nothing was charged" if types else "No requests in this time"
        marks = [_text(words, x=pixels(left + width // 2), y=pixels(size.height // 2), text_anchor="middle")]
    return _svg(
        size,
        _usage_words(types, bars, zone=zone, by=by, currency=currency),
        grid,
        *marks,
        _bar_labels(bars, zone=zone, by=by, left=left, size=size),
    )


def usage_rows(
    buckets: Sequence[UsageLine], *, zone: ZoneInfo, by: Literal["hour", "day"], currency: str
) -> list[UsageRow]:
    """Tell what usage's chart shows, type by type, those without a colour too."""
    return [
        UsageRow(
            _bucket_words(line.starts_at, zone, by),
            _clean(line.request_type),
            f"{line.requests:,}",
            _money(line.cost, currency),
            _money(line.refunded, currency),
        )
        for line in buckets
    ]


def usage_types(buckets: Sequence[UsageLine]) -> list[UsageType]:
    """Sum usage up by type, the costliest first; those beyond TYPES_MAX become one, which comes last."""
    ordered = _sums(buckets)
    named = [(_clean(name), found) for name, found in ordered[:TYPES_MAX]]
    if rest := [found for _, found in ordered[TYPES_MAX:]]:
        named.append((OTHER, [sum(values) for values in zip(*rest, strict=True)]))
    total = sum(max(cost - refunded, 0) for _, (_, cost, refunded) in named)
    return [
        UsageType(
            f"t{index}",
            name,
            requests,
            cost,
            refunded,
            divide_rounding_half_up(100 * max(cost - refunded, 0), total) if total else 0,
        )
        for index, (name, (requests, cost, refunded)) in enumerate(named, 1)
    ]


# What a balance is drawn of


def _ahead(cone: Cone | None, span: int) -> int:
    """Tell how much of the time to come is drawn: the cone, if it fits."""
    wanted = 0 if cone is None else (cone.slow - cone.now) * 9 // 8
    return min(max(wanted, span * _AHEAD_MIN_PERCENT // 100), span * _AHEAD_MAX_PERCENT // 100)


def _trace(points: Sequence[tuple[int, int]], x_scale: Scale, y_scale: Scale, title: str) -> Markup:
    places = _places(points, x_scale, y_scale)
    ends = _places([(points[0][0], 0), (points[-1][0], 0)], x_scale, y_scale).split(" ")
    area = f"M{ends[0]} L{places.replace(' ', ' L')} L{ends[-1]} Z"
    return Markup("").join(
        [_mark("path", title, class_="area", d=area), _mark("polyline", title, class_="trace", points=places)]
    )


def _cone(cone: Cone | None, x_scale: Scale, y_scale: Scale, zone: ZoneInfo) -> Markup:
    """Draw a cone as far as the chart goes: along the slow pace, and back along the fast one."""
    if cone is None:
        return Markup("")
    end = x_scale.high
    tip = (cone.now, cone.posted)
    edge = [(end, 0)] if cone.slow > end >= cone.fast else []
    outline = [tip, _pace(cone, cone.slow, end), *edge, _pace(cone, cone.fast, end)]
    is_open = cone.slow - cone.now >= RUNWAY_DAYS_MAX * DAY
    until = "or later" if is_open else f"to {_day_words(cone.slow, zone)}"
    return Markup("").join(
        [
            _mark(
                "path",
                f"Likely to run out {_day_words(cone.fast, zone)} {until}",
                class_="cone",
                d=f"M{_places(outline, x_scale, y_scale).replace(' ', ' L')} Z",
            ),
            _mark(
                "polyline",
                f"At the usual pace it lasts until {_day_words(cone.usual, zone)}",
                class_="ahead",
                points=_places([tip, _pace(cone, cone.usual, end)], x_scale, y_scale),
            ),
        ]
    )


def _pace(cone: Cone, zero_at: int, end: int) -> tuple[int, int]:
    """Return where a pace ends: at zero, or where it leaves the chart."""
    if zero_at <= end:
        return zero_at, 0
    return end, divide_rounding_half_up(cone.posted * (zero_at - end), zero_at - cone.now)


def _thresholds(thresholds: Sequence[int], x_scale: Scale, y_scale: Scale, currency: str) -> Markup:
    """Draw the thresholds; each is labelled unless the next one would cross its label."""
    marks: list[Markup] = []
    next_y = None
    right = pixels(x_scale.end)
    for amount in sorted(set(thresholds), reverse=True):
        y = y_scale.place(amount)
        marks.append(
            _mark(
                "line",
                f"Threshold {_money(amount, currency)}",
                class_="threshold",
                x1=pixels(x_scale.start),
                x2=right,
                y1=pixels(y),
                y2=pixels(y),
            )
        )
        if next_y is None or y - next_y >= _LABEL_HEIGHT:
            words = f"threshold {format_amount(amount)}"
            marks.append(_text(words, x=right, y=pixels(y - 50), text_anchor="end", **_HALO))
        next_y = y
    return Markup("").join(marks)


def _top_up(mark: Mark, x_scale: Scale, y_scale: Scale, zone: ZoneInfo, currency: str) -> Markup:
    x, y = x_scale.place(mark.at), y_scale.place(mark.posted) - _MARK_HEIGHT
    title = f"Top-up {_money(mark.amount, currency)}, {moment_label(mark.at, zone)}"
    return _mark("path", title, class_="topup", d=f"M{pixels(x)},{pixels(y)} l6,10 h-12 z")


def _dot(point: tuple[int, int], x_scale: Scale, y_scale: Scale, currency: str) -> Markup:
    at, posted = point
    return _mark(
        "circle",
        f"Now {_money(posted, currency)}",
        class_="topup",
        cx=pixels(x_scale.place(at)),
        cy=pixels(y_scale.place(posted)),
        r=pixels(_DOT_RADIUS),
    )


def _today(x: int, size: Size) -> Markup:
    line = _element("line", class_="axis", x1=pixels(x), x2=pixels(x), y1="6", y2=pixels(size.height - _FOOT))
    words = "today"
    if x + 50 + text_width(words) <= size.width:
        return line + _text(words, x=pixels(x + 50), y="11")
    return line + _text(words, x=pixels(x - 50), y="11", text_anchor="end")


def _times(x_scale: Scale, zone: ZoneInfo, *, now: int, size: Size) -> Markup:
    count_max = (x_scale.end - x_scale.start) // _TIME_LABEL_WIDTH
    ticks = time_ticks(x_scale.low, x_scale.high, zone, anchor=now, count_max=count_max)
    return _labels([_Label(x_scale.place(tick.at), tick.label) for tick in ticks], size)


def _balance_title(points: Sequence[tuple[int, int]], now: int, zone: ZoneInfo, currency: str) -> str:
    first_at, first = points[0]
    return f"{moment_label(first_at, zone)}: {_money(first, currency)}; now {_money(points[-1][1], currency)}"


def _balance_words(history: History, runway: Runway | None, *, now: int, currency: str) -> str:
    amounts = [posted for _, posted in history.points]
    days = -(-(now - history.points[0][0]) // DAY)
    words = f"Balance, {'last day' if days <= 1 else f'last {days} days'}: now {_money(amounts[-1], currency)}"
    if max(amounts) > min(amounts):
        words += f", between {_money(min(amounts), currency)} and {_money(max(amounts), currency)}"
    count = len(history.marks)
    words += f", {'no' if count == 0 else count} top-up{'' if count == 1 else 's'}."
    lasts = in_words(runway)
    return words if lasts is None else f"{words} It lasts {lasts}."


# What usage is drawn of


def _bars(
    buckets: Sequence[UsageLine],
    *,
    zone: ZoneInfo,
    by: Literal["hour", "day"],
    first: date | None,
    last: date | None,
) -> _Bars:
    """Put usage into bars. A day is a bar however many hours it has; an hour is one of sixty minutes."""
    starts = [line.starts_at for line in buckets]
    if not starts and (first is None or last is None):
        return _Bars(0, 0, {})
    first_day = local(min(starts), zone).date() if first is None else first
    last_day = local(max(starts), zone).date() if last is None else last
    start, end = midnight(first_day, zone), midnight(last_day + timedelta(days=1), zone)
    count = (last_day - first_day).days + 1 if by == "day" else -(-(end - start) // HOUR)
    places = {name: index for index, (name, _) in enumerate(_sums(buckets)[:TYPES_MAX])}
    found: dict[int, dict[int, _Segment]] = {}
    for line in buckets:
        at = line.starts_at
        index = (local(at, zone).date() - first_day).days if by == "day" else (at - start) // HOUR
        if 0 <= index < count:
            place = places.get(line.request_type, TYPES_MAX)
            old = found.setdefault(index, {}).get(place, _Segment(place, at, 0, 0, 0))
            found[index][place] = _Segment(
                place,
                min(old.starts_at, at),
                old.requests + line.requests,
                old.cost + line.cost,
                old.refunded + line.refunded,
            )
    return _Bars(start, count, {index: [item for _, item in sorted(bar.items())] for index, bar in found.items()})


def _sums(buckets: Sequence[UsageLine]) -> list[tuple[str, list[int]]]:
    """Sum requests, cost and what was refunded up by type, the costliest first."""
    sums: dict[str, list[int]] = {}
    for line in buckets:
        found = sums.setdefault(line.request_type, [0, 0, 0])
        for index, value in enumerate((line.requests, line.cost, line.refunded)):
            found[index] += value
    return sorted(sums.items(), key=lambda item: (item[1][2] - item[1][1], item[0]))


def _net(segment: _Segment) -> int:
    """Return what is left of a cost: nothing, if more was refunded than spent."""
    return max(segment.cost - segment.refunded, 0)


def _bar(segments: Sequence[_Segment], titles: Sequence[str], *, x: int, width: int, y_scale: Scale) -> Markup:
    """Draw a bar, its segments upon one another; one that is too low to be seen is left out."""
    marks, height = [], 0
    for segment, title in zip(segments, titles, strict=True):
        bottom = y_scale.place(height)
        height += _net(segment)
        top = y_scale.place(height)
        # A line of daylight between two segments, if there is room for it.
        shown = bottom - top - (_BAR_GAP if bottom - top > 2 * _BAR_GAP else 0)
        if shown > 0:
            rounding = {"rx": "2"} if min(width, shown) >= _ROUND_FROM else {}
            marks.append(
                _mark(
                    "rect",
                    title,
                    x=pixels(x),
                    y=pixels(top),
                    width=pixels(width),
                    height=pixels(shown),
                    class_=f"t{segment.type_index + 1}",
                    fill="currentColor",
                    **rounding,
                )
            )
    return Markup("").join(marks)


def _title(
    segment: _Segment, types: Sequence[UsageType], *, zone: ZoneInfo, by: Literal["hour", "day"], currency: str
) -> str:
    words = f"{_bucket_words(segment.starts_at, zone, by)}, {types[segment.type_index].name}: "
    words += f"{_requests(segment.requests)}, {_money(segment.cost, currency)}"
    return words if segment.refunded == 0 else f"{words}, {_money(segment.refunded, currency)} refunded"


def _bar_labels(bars: _Bars, *, zone: ZoneInfo, by: Literal["hour", "day"], left: int, size: Size) -> Markup:
    """Label bars, the last one for sure; a day's label names the month where it is another one."""
    width = size.width - _MARGIN - left
    if bars.count == 0:
        return Markup("")
    if by == "hour":
        x_scale = Scale(bars.start, bars.start + bars.count * HOUR, left, left + width)
        ticks = time_ticks(
            x_scale.low, x_scale.high - 1, zone, anchor=x_scale.low, count_max=width // _TIME_LABEL_WIDTH
        )
        return _labels([_Label(x_scale.place(tick.at), tick.label) for tick in ticks], size)
    step = next((step for step in _DAY_LABEL_STEPS if width * step >= _DAY_LABEL_WIDTH * bars.count), bars.count)
    first_day = local(bars.start, zone).date()
    labels = []
    for index in range((bars.count - 1) % step, bars.count, step):
        day = first_day + timedelta(days=index)
        x = left + width * (2 * index + 1) // (2 * bars.count)
        labels.append(_Label(x, day_label(day), str(day.day), day.month))
    return _labels(labels, size)


def _usage_words(
    types: Sequence[UsageType],
    bars: _Bars,
    *,
    zone: ZoneInfo,
    by: Literal["hour", "day"],
    currency: str,
) -> str:
    if not types:
        return "Spend by type: no requests in this time."
    first = local(bars.start, zone).date()
    last = (
        first + timedelta(days=bars.count - 1)
        if by == "day"
        else local(bars.start + bars.count * HOUR - 1, zone).date()
    )
    spent = sum(item.cost - item.refunded for item in types)
    words = f"Spend by type and {by}, {day_label(first)} to {day_label(last)}: "
    words += f"{_money(spent, currency)} for {_requests(sum(item.requests for item in types))}"
    if len(types) > 1:
        words += f", most of it for {types[0].name}: {_money(types[0].cost - types[0].refunded, currency)}"
    return f"{words}."


def _bucket_words(at: int, zone: ZoneInfo, by: Literal["hour", "day"]) -> str:
    return moment_label(at, zone) if by == "hour" else _day_words(at, zone)


def _requests(count: int) -> str:
    return f"{count:,} request{'' if count == 1 else 's'}"


# What every chart is drawn of


def _grid(low: int, high: int, size: Size) -> tuple[Markup, int, Scale]:
    """Draw the amounts' lines and labels; return them, the place right of the labels, and where amounts stand."""
    is_empty = low == high
    y_scale = Scale(low, low + MICROS_PER_UNIT if is_empty else high, size.height - _FOOT, size.top)
    ticks = [0] if is_empty else amount_ticks(low, high, count_max=size.amounts_max)
    labels = short_amounts(ticks)
    left = _LABEL_GAP + max(text_width(label) for label in labels) + _LABEL_GAP // 2
    marks = []
    for tick, label in zip(ticks, labels, strict=True):
        y = y_scale.place(tick)
        right = pixels(size.width - _MARGIN)
        marks.append(_element("line", class_="axis", x1=pixels(left), x2=right, y1=pixels(y), y2=pixels(y)))
        marks.append(_text(label, x=pixels(left - _LABEL_GAP), y=pixels(y + 40), text_anchor="end"))
    return Markup("").join(marks), left, y_scale


def _labels(labels: Sequence[_Label], size: Size) -> Markup:
    """Write labels below a chart, within it; one that would touch the one before is left out."""
    texts: list[Markup] = []
    free_from, group = 0, None
    for label in labels:
        words = label.words if label.group is None or label.group != group else label.short
        half = text_width(words) // 2
        x = min(max(label.x, half), size.width - half)
        if x - half >= free_from:
            free_from, group = x + half + _LABELS_APART, label.group
            texts.append(_text(words, x=pixels(x), y=pixels(size.height - 60), text_anchor="middle"))
    return Markup("").join(texts)


def _places(points: Sequence[tuple[int, int]], x_scale: Scale, y_scale: Scale) -> str:
    """Write where points stand, those left out that stand where the one before does."""
    places = [(x_scale.place(at), y_scale.place(amount)) for at, amount in points]
    kept = [places[0], *(place for before, place in pairwise(places) if place != before)]
    return " ".join(f"{pixels(x)},{pixels(y)}" for x, y in kept)


def _svg(size: Size, words: str, *marks: Markup) -> Markup:
    view_box = f"0 0 {pixels(size.width)} {pixels(size.height)}"
    return _element("svg", *marks, viewBox=view_box, width="100%", role="img", aria_label=words)


def _mark(name: str, title: str, **attributes: str) -> Markup:
    return _element(name, _element("title", escape(_clean(title))), **attributes)


def _text(words: str, **attributes: str) -> Markup:
    return _element("text", escape(_clean(words)), **attributes)


def _element(name: str, *children: Markup, **attributes: str) -> Markup:
    """Write an element; an attribute's name has dashes for underscores."""
    # Markup's own formatting takes four times as long.
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_clean(value))}"' for key, value in attributes.items()
    )
    return Markup(f"<{name}{written}>{''.join(map(escape, children))}</{name}>")  # noqa: S704 - all is escaped.


def _clean(text: str) -> str:
    """Replace the few characters that no XML may hold."""
    return _NO_XML.sub("\ufffd", text)


def _money(micros: int, currency: str) -> str:
    return f"{format_amount(micros)} {currency}" if currency else format_amount(micros)


def _day_words(at: int, zone: ZoneInfo) -> str:
    day = local(at, zone).date()
    return f"{WEEKDAYS[day.weekday()]} {day_label(day)}"
