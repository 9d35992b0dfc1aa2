"""The forecast in a balance's chart: a cone from the balance now to where it is used up, and the usual pace within."""

from typing import Final
from zoneinfo import ZoneInfo

from markupsafe import Markup

from farebox.core.money import divide_rounding_half_up
from farebox.service.insight.forecast import RUNWAY_DAYS_MAX, Losses
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
    return 0 if cone is None else _pace(cone, cone.fast, cone.fast_losses, end)[-1][1]


def draw_cone(cone: Cone | None, plot: Plot, zone: ZoneInfo) -> Markup:
    """Draw a cone as far as the chart goes: along the slow pace, and back along the fast one."""
    if cone is None:
        return Markup("")
    end = plot.times.high
    corner = [(end, cone.floor)] if cone.slow > end >= cone.fast else []
    fast = _pace(cone, cone.fast, cone.fast_losses, end)
    outline = [*_pace(cone, cone.slow, cone.slow_losses, end), *corner, *fast[:0:-1]]
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
        points=plot.positions(_pace(cone, cone.usual, cone.usual_losses, end)),
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


def _pace(cone: Cone, used_up_at: int, losses: Losses, end: int) -> list[tuple[int, int]]:
    """Return the points of a pace, from now to where the balance is used up, or where it leaves the chart.

    What doesn't end is spent evenly, and what ends is lost at once.
    """
    spent = max(cone.posted - cone.floor - sum(amount for _, amount in losses), 0)
    stretch = max(used_up_at - cone.now, 1)
    left, points = cone.posted, [(cone.now, cone.posted)]
    for at, lost in losses:
        even = divide_rounding_half_up(spent * (min(at, end) - cone.now), stretch)
        points.append((min(at, end), max(left - even, cone.floor)))
        if at > end:
            return points
        left -= lost
        points.append((at, max(left - even, cone.floor)))
    if used_up_at <= end:
        return [*points, (used_up_at, cone.floor)]
    even = divide_rounding_half_up(spent * (end - cone.now), stretch)
    return [*points, (end, max(left - even, cone.floor))]
