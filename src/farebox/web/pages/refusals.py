"""Refused requests on the pages of a merchant, its own and the console's."""

from typing import Any, Final

from starlette.responses import Response

from farebox.core import ids
from farebox.presenters.refusals import refusals_csv, refused_by_day, refused_sums
from farebox.service.insight.refusals import KEPT_DAYS
from farebox.web.pages import render
from farebox.web.pages.request import PageRequest

DAYS: Final = 14
"""How many days a page tells of."""

ROWS_MAX: Final = 50
"""How many sums by type and reason a page has at most; the rest is in the file."""


async def refusals_of(
    request: PageRequest, merchant_id: int, *, days: int = DAYS, rows: int = ROWS_MAX
) -> dict[str, Any]:
    """Read what was refused of a merchant in the last days, as the template's macro takes it."""
    first, last = request.last_days(days)
    lines = await request.services.refusals.read(
        merchant_id, by="day", first=str(first), last=str(last), zone=request.zone.key
    )
    sums = refused_sums(lines, request.language)
    return {
        "days": days,
        "by_day": refused_by_day(lines),
        "sums": sums[:rows],
        "more": max(len(sums) - rows, 0),
        "kept_days": KEPT_DAYS,
    }


async def refusals_file(request: PageRequest, merchant_id: int) -> Response:
    """Give all refusals that are kept as CSV, by day."""
    first, last = request.last_days(KEPT_DAYS + 1)
    lines = await request.services.refusals.read(
        merchant_id, by="day", first=str(first), last=str(last), zone=request.zone.key
    )
    name = f"{ids.public_id(ids.MERCHANT, merchant_id)}-refusals.csv"
    return render.csv_file(name, refusals_csv(lines))
