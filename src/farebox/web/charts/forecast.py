"""The forecast in a balance's chart: a cone from the balance now down to zero, and the usual pace within it."""

from typing import Final
from zoneinfo import ZoneInfo

from markupsafe import Markup

from farebox.core.money import divide_rounding_half_up
from farebox.service.insight.forecast import RUNWAY_DAYS_MAX
from farebox.service.insight.history import Cone
from farebox.web.charts.axes import Plot
from farebox.web.charts.svg import titled
from farebox.web.charts.times import DAY, weekday_label

_SHARE_MIN_PERCENT: Final = 15
_SHARE_MAX_PERCENT: Final = 45


def time_ahead(cone: Cone | None, past: int) -> int:
    """Return how much time after now is drawn: as much as the cone needs, within a share of the time before now.

    Args:
        cone: the forecast, or None.
        past: how much time before now is drawn, microseconds.
    """
    wanted = 0 if cone is None else (cone.slow - cone.now) * 9 // 8
    return min(max(wanted, past * _SHARE_MIN_PERCENT // 100), past * _SHARE_MAX_PERCENT // 100)


def draw_cone(cone: Cone | None, plot: Plot, zone: ZoneInfo) -> Markup:
    """Draw a cone as far as the chart goes: along the slow pace, and back along the fast one."""
    if cone is None:
        return Markup("")
    end = plot.times.high
    tip = (cone.now, cone.posted)
    corner = [(end, 0)] if cone.slow > end >= cone.fast else []
    outline = [tip, _end_of_pace(cone, cone.slow, end), *corner, _end_of_pace(cone, cone.fast, end)]
    is_open = cone.slow - cone.now >= RUNWAY_DAYS_MAX * DAY
    until = "or later" if is_open else f"to {weekday_label(cone.slow, zone)}"
    likely = titled(
        "path",
        f"Likely to run out {weekday_label(cone.fast, zone)} {until}",
        class_="cone",
        d=f"M{plot.positions(outline).replace(' ', ' L')} Z",
    )
    usual = titled(
        "polyline",
        f"At the usual pace it lasts until {weekday_label(cone.usual, zone)}",
        class_="ahead",
        points=plot.positions([tip, _end_of_pace(cone, cone.usual, end)]),
    )
    return likely + usual


def _end_of_pace(cone: Cone, zero_at: int, end: int) -> tuple[int, int]:
    """Return the point where a pace ends: at zero, or where it leaves the chart."""
    if zero_at <= end:
        return zero_at, 0
    return end, divide_rounding_half_up(cone.posted * (zero_at - end), zero_at - cone.now)
