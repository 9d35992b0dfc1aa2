"""The forecast in a balance's chart: a cone from the balance now to where it is used up, and the usual pace within."""

from typing import Final
from zoneinfo import ZoneInfo

from markupsafe import Markup

from farebox.core.money import divide_rounding_half_up
from farebox.service.insight.burn_model import BurnCurve
from farebox.service.insight.forecast import RUNWAY_DAYS_MAX, Losses
from farebox.service.insight.history import Cone
from farebox.service.languages import ENGLISH, Language
from farebox.web.charts.axes import Plot
from farebox.web.charts.svg import titled
from farebox.web.charts.times import DAY, HOUR, weekday_label

_SHARE_MIN_PERCENT: Final = 15
_SHARE_MAX_PERCENT: Final = 45
_STEP: Final = 4 * HOUR
"""How far apart the points of a pace are: a day has hours in which more is burned, and others."""


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
    return 0 if cone is None else _fast(cone, end)[-1][1]


def draw_cone(cone: Cone | None, plot: Plot, zone: ZoneInfo, spoken: Language = ENGLISH) -> Markup:
    """Draw a cone as far as the chart goes: along the slow pace, and back along the fast one."""
    if cone is None:
        return Markup("")
    end = plot.times.high
    corner = [(end, cone.floor)] if cone.slow > end >= cone.fast else []
    slow = _pace(cone, cone.slow, cone.slow_losses, None if cone.curves is None else cone.curves.slow, end)
    outline = [*slow, *corner, *_fast(cone, end)[:0:-1]]
    likely = titled(
        "path",
        _likely(cone, zone, spoken),
        class_="cone",
        d=f"M{plot.positions(outline).replace(' ', ' L')} Z",
    )
    usual = titled(
        "polyline",
        _usual(cone, zone, spoken),
        class_="ahead",
        points=plot.positions(
            _pace(cone, cone.usual, cone.usual_losses, None if cone.curves is None else cone.curves.usual, end)
        ),
    )
    return likely + usual


def _likely(cone: Cone, zone: ZoneInfo, spoken: Language) -> str:
    if _is_far(cone, cone.fast):
        return spoken.gettext("Not likely to run out within a year")
    first = weekday_label(cone.fast, zone, spoken)
    if _is_far(cone, cone.slow):
        return spoken.gettext("Likely to run out %(first)s or later", first=first)
    last = weekday_label(cone.slow, zone, spoken)
    return spoken.gettext("Likely to run out %(first)s to %(last)s", first=first, last=last)


def _usual(cone: Cone, zone: ZoneInfo, spoken: Language) -> str:
    if _is_far(cone, cone.usual):
        return spoken.gettext("At the usual pace it lasts over a year")
    day = weekday_label(cone.usual, zone, spoken)
    return spoken.gettext("At the usual pace it lasts until %(day)s", day=day)


def _is_far(cone: Cone, used_up_at: int) -> bool:
    return used_up_at - cone.now > RUNWAY_DAYS_MAX * DAY


def _fast(cone: Cone, end: int) -> list[tuple[int, int]]:
    return _pace(cone, cone.fast, cone.fast_losses, None if cone.curves is None else cone.curves.fast, end)


def _pace(cone: Cone, used_up_at: int, losses: Losses, curve: BurnCurve | None, end: int) -> list[tuple[int, int]]:
    """Return the points of a pace, from now to where the balance is used up, or where it leaves the chart.

    What doesn't end is spent along the curve, evenly if there is none, and what ends is lost at once.
    """
    spent = max(cone.posted - cone.floor - sum(amount for _, amount in losses), 0)
    stretch = max(used_up_at - cone.now, 1)
    last = min(used_up_at, end)
    burned = 0 if curve is None else curve.burned_after(stretch)
    lost_at = dict(losses)
    steps = () if curve is None else range(cone.now + _STEP, last, _STEP)
    left, points = cone.posted, [(cone.now, cone.posted)]
    for at in sorted({*steps, *(at for at in lost_at if at <= last), last}):
        if curve is None or burned <= 0:
            used = divide_rounding_half_up(spent * (at - cone.now), stretch)
        else:
            used = spent * curve.burned_after(at - cone.now) // burned
        points.append((at, cone.floor if at == used_up_at else max(left - used, cone.floor)))
        if at in lost_at and at < used_up_at:
            left -= lost_at[at]
            points.append((at, max(left - used, cone.floor)))
    return points
