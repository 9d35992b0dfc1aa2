"""The chart of a balance: its line up to now, top-ups, thresholds and the forecast; and the rows of its table."""

from collections.abc import Sequence
from typing import Final
from zoneinfo import ZoneInfo

from markupsafe import Markup
from msgspec import Struct

from farebox.service.insight.forecast import Runway
from farebox.service.insight.history import History, Mark, cone_of
from farebox.service.insight.runway_words import days_left, in_words
from farebox.service.languages import ENGLISH, Language
from farebox.web.charts.axes import BOTTOM, RIGHT_MARGIN, Plot, amount_axis, time_labels
from farebox.web.charts.forecast import draw_cone, lowest_ahead, time_ahead
from farebox.web.charts.scales import Scale, pixels
from farebox.web.charts.svg import Size, element, image, text, text_width, titled
from farebox.web.charts.times import DAY, HOUR, local, time_label, weekday_label

BALANCE: Final = Size(7200, 2500, 300)
BALANCE_NARROW: Final = Size(2800, 2000, 300, amounts_max=4)

_THRESHOLD_LABEL_HEIGHT: Final = 160
_TRIANGLE_HEIGHT: Final = 160
_DOT_RADIUS: Final = 35
_HALO: Final = {"stroke": "var(--card)", "stroke_width": "3", "paint_order": "stroke", "stroke_linejoin": "round"}
"""It keeps a label apart from the lines behind it."""


class BalanceRow(Struct, frozen=True):
    """A row of the table beside a balance: when, what, and the posted balance then; texts."""

    when: str
    what: str
    posted: str


def balance_chart(
    history: History,
    *,
    thresholds: Sequence[int],
    credit_limit: int,
    runway: Runway | None,
    now: int,
    zone: ZoneInfo,
    currency: str,
    is_narrow: bool = False,
    spoken: Language = ENGLISH,
) -> Markup:
    """Draw the posted balance up to now, where it goes from there, the thresholds, and top-ups as triangles.

    Args:
        history: the balance up to now.
        thresholds: micros.
        credit_limit: how far below zero the balance may go, micros.
        runway: how long it lasts, or None.
        now: microseconds since 1970.
        zone: whose days and times are shown.
        currency: the account's.
        is_narrow: for a phone.
        spoken: the reader's language.
    """
    size = BALANCE_NARROW if is_narrow else BALANCE
    now = max(now, history.points[-1][0])
    points = [*history.points, (now, history.points[-1][1])]
    cone = cone_of(runway, posted=points[-1][1], credit_limit=credit_limit, now=now)
    start = min(points[0][0], now - HOUR)
    end = now + time_ahead(cone, now - start)
    amounts = [0, *(posted for _, posted in points), *thresholds, lowest_ahead(cone, end)]
    axis = amount_axis(min(amounts), max(amounts), size, spoken)
    times = Scale(start, end, axis.left, size.width - RIGHT_MARGIN)
    plot = Plot(times, axis.scale)
    return image(
        size,
        _description(history, runway, now=now, zone=zone, currency=currency, spoken=spoken),
        axis.drawing,
        _line(points, plot, zone=zone, currency=currency, spoken=spoken),
        draw_cone(cone, plot, zone, spoken),
        *[_top_up(mark, plot, zone=zone, currency=currency, spoken=spoken) for mark in history.marks],
        _today(times.position(now), size, spoken),
        _thresholds(thresholds, plot, currency, spoken),
        time_labels(times, zone, anchor=now, last=times.high, size=size, spoken=spoken),
        _dot(points[-1], plot, currency, spoken),
    )


def balance_rows(
    history: History,
    *,
    credit_limit: int,
    runway: Runway | None,
    now: int,
    zone: ZoneInfo,
    currency: str,
    spoken: Language = ENGLISH,
) -> list[BalanceRow]:
    """List what a balance's chart shows: the last balance drawn of each day, each top-up, and when it runs out."""
    rows: list[tuple[int, int, BalanceRow]] = []
    points = history.points
    for index, (at, posted) in enumerate(points):
        is_last = index + 1 == len(points)
        if is_last or local(points[index + 1][0], zone).date() != local(at, zone).date():
            what = spoken.gettext("now") if is_last else spoken.gettext("balance")
            row = BalanceRow(time_label(at, zone, spoken), what, spoken.money(posted, currency))
            rows.append((at, 1, row))
    for mark in history.marks:
        row = BalanceRow(
            time_label(mark.at, zone, spoken),
            spoken.gettext("top-up %(amount)s", amount=spoken.money(mark.amount, currency)),
            spoken.money(mark.posted, currency),
        )
        rows.append((mark.at, 0, row))
    cone = cone_of(runway, posted=points[-1][1], credit_limit=credit_limit, now=now)
    if runway is not None and cone is not None and days_left(runway, cone.usual, zone) is not None:
        used_up = spoken.money(cone.floor, currency)
        day = weekday_label(cone.usual, zone, spoken)
        rows.append((cone.usual, 2, BalanceRow(day, spoken.gettext("forecast"), used_up)))
    return [row for _, _, row in sorted(rows, key=lambda item: item[:2])]


def _line(points: Sequence[tuple[int, int]], plot: Plot, *, zone: ZoneInfo, currency: str, spoken: Language) -> Markup:
    """Draw the balance as a line, and the area between it and zero."""
    (first_at, first), (last_at, last) = points[0], points[-1]
    before, now = spoken.money(first, currency), spoken.money(last, currency)
    title = spoken.gettext(
        "%(time)s: %(before)s; now %(now)s", time=time_label(first_at, zone, spoken), before=before, now=now
    )
    line = plot.positions(points)
    zero = plot.positions([(first_at, 0), (last_at, 0)]).split(" ")
    outline = f"M{zero[0]} L{line.replace(' ', ' L')} L{zero[-1]} Z"
    return titled("path", title, class_="area", d=outline) + titled("polyline", title, class_="trace", points=line)


def _thresholds(thresholds: Sequence[int], plot: Plot, currency: str, spoken: Language) -> Markup:
    """Draw the thresholds; each is labelled unless the one above would cross its label."""
    drawn: list[Markup] = []
    above_y = None
    left, right = pixels(plot.times.start), pixels(plot.times.end)
    for amount in sorted(set(thresholds), reverse=True):
        y = plot.amounts.position(amount)
        title = spoken.gettext("Threshold %(amount)s", amount=spoken.money(amount, currency))
        drawn.append(titled("line", title, class_="threshold", x1=left, x2=right, y1=pixels(y), y2=pixels(y)))
        if above_y is None or y - above_y >= _THRESHOLD_LABEL_HEIGHT:
            words = spoken.gettext("threshold %(amount)s", amount=spoken.amount(amount, currency))
            drawn.append(text(words, x=right, y=pixels(y - 50), text_anchor="end", **_HALO))
        above_y = y
    return Markup("").join(drawn)


def _top_up(mark: Mark, plot: Plot, *, zone: ZoneInfo, currency: str, spoken: Language) -> Markup:
    x, y = plot.times.position(mark.at), plot.amounts.position(mark.posted) - _TRIANGLE_HEIGHT
    amount = spoken.money(mark.amount, currency)
    title = spoken.gettext("Top-up %(amount)s, %(time)s", amount=amount, time=time_label(mark.at, zone, spoken))
    return titled("path", title, class_="topup", d=f"M{pixels(x)},{pixels(y)} l6,10 h-12 z")


def _dot(point: tuple[int, int], plot: Plot, currency: str, spoken: Language) -> Markup:
    at, posted = point
    return titled(
        "circle",
        spoken.gettext("Now %(amount)s", amount=spoken.money(posted, currency)),
        class_="topup",
        cx=pixels(plot.times.position(at)),
        cy=pixels(plot.amounts.position(posted)),
        r=pixels(_DOT_RADIUS),
    )


def _today(x: int, size: Size, spoken: Language) -> Markup:
    line = element("line", class_="axis", x1=pixels(x), x2=pixels(x), y1="6", y2=pixels(size.height - BOTTOM))
    words = spoken.gettext("today")
    if x + 50 + text_width(words) <= size.width:
        return line + text(words, x=pixels(x + 50), y="11")
    return line + text(words, x=pixels(x - 50), y="11", text_anchor="end")


def _description(
    history: History, runway: Runway | None, *, now: int, zone: ZoneInfo, currency: str, spoken: Language
) -> str:
    amounts = [posted for _, posted in history.points]
    days = -(-(now - history.points[0][0]) // DAY)
    last, lowest, highest = (spoken.money(amount, currency) for amount in (amounts[-1], min(amounts), max(amounts)))
    words = [
        spoken.gettext("Balance, last day: now %(now)s", now=last)
        if days <= 1
        else spoken.ngettext(
            "Balance, last %(count)s day: now %(now)s", "Balance, last %(count)s days: now %(now)s", days, now=last
        )
    ]
    if lowest != highest:
        words.append(spoken.gettext("between %(lowest)s and %(highest)s", lowest=lowest, highest=highest))
    count = len(history.marks)
    words.append(
        spoken.ngettext("%(count)s top-up", "%(count)s top-ups", count) if count else spoken.gettext("no top-ups")
    )
    told = f"{', '.join(words)}."
    if runway is None:
        return told
    if runway.until <= now:
        ends = spoken.gettext("It is used up.")
    else:
        ends = spoken.gettext("It lasts %(runway)s.", runway=in_words(runway, zone, spoken))
    return f"{told} {ends}"
