"""The forecast in a balance's chart: a cone from the balance now to where it is used up, and the usual pace within."""

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


def lowest_ahead(cone: Cone | None, end: int) -> int:
    """Return the lowest balance that a cone has up to `end`, micros; 0 without one."""
    return 0 if cone is None else _end_of_pace(cone, cone.fast, end)[1]


def draw_cone(cone: Cone | None, plot: Plot, zone: ZoneInfo) -> Markup:
    """Draw a cone as far as the chart goes: along the slow pace, and back along the fast one."""
    if cone is None:
        return Markup("")
    end = plot.times.high
    tip = (cone.now, cone.posted)
    corner = [(end, cone.floor)] if cone.slow > end >= cone.fast else []
    outline = [tip, _end_of_pace(cone, cone.slow, end), *corner, _end_of_pace(cone, cone.fast, end)]
    likely = titled(
        "path",
        _likely(cone, zone),
        class_="cone",
        d=f"M{plot.positions(outline).replace(' ', ' L')} Z",
    )
    usual = titled(
        "polyline",
        f"At the usual pace it lasts {_until(cone, cone.usual, zone)}",
        class_="ahead",
        points=plot.positions([tip, _end_of_pace(cone, cone.usual, end)]),
    )
    return likely + usual


def _likely(cone: Cone, zone: ZoneInfo) -> str:
    if _is_far(cone, cone.fast):
        return "Not likely to run out within a year"
    until = "or later" if _is_far(cone, cone.slow) else f"to {weekday_label(cone.slow, zone)}"
    return f"Likely to run out {weekday_label(cone.fast, zone)} {until}"


def _until(cone: Cone, used_up_at: int, zone: ZoneInfo) -> str:
    return "over a year" if _is_far(cone, used_up_at) else f"until {weekday_label(used_up_at, zone)}"


def _is_far(cone: Cone, used_up_at: int) -> bool:
    return used_up_at - cone.now > RUNWAY_DAYS_MAX * DAY


def _end_of_pace(cone: Cone, used_up_at: int, end: int) -> tuple[int, int]:
    """Return the point where a pace ends: where the balance is used up, or where it leaves the chart."""
    if used_up_at <= end:
        return used_up_at, cone.floor
    left = divide_rounding_half_up((cone.posted - cone.floor) * (used_up_at - end), used_up_at - cone.now)
    return end, cone.floor + left
