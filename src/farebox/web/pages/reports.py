"""Reports on pages: who signed in chooses which ones to get by mail, and sees what the last one looks like."""

from typing import Any, Final

from starlette.responses import Response

from farebox.alerts.mail import MailSettings
from farebox.alerts.report_mail import ReportOrder, ReportWriter, preview_report
from farebox.service.errors import ServiceError
from farebox.service.reports.choices import ALL_MERCHANTS, REPORT_KINDS, ReportKind
from farebox.service.reports.periods import present_period
from farebox.web.pages import render
from farebox.web.pages.request import PageRequest, no_such_page

_WEEKDAYS: Final = tuple(str(number) for number in range(1, 8))
"""Monday to Sunday, as a form sends them."""
_MONDAY: Final = "1"
_FIELDS: Final = {"weekStart": "week_start"}

_PREVIEW_SENDER: Final = "farebox@localhost"
"""Who a mail that is only looked at is from, which no page shows."""


async def choices_of(request: PageRequest, merchant_id: int) -> dict[str, Any]:
    """Read what a form of choices shows: what was typed, or else what is chosen."""
    chosen = {item.kind: item for item in await request.services.report_choices.list(request.login, merchant_id)}
    first = next(iter(chosen.values()), None)
    weekly = chosen.get(ReportKind.WEEKLY)
    is_typed = "report" in request.form
    wanted = request.form.all("report") if is_typed else [word for word, kind in REPORT_KINDS.items() if kind in chosen]
    return {
        "wanted": wanted,
        "zone": first.zone if first is not None else request.zone.key,
        "week_start": _MONDAY if weekly is None else str(weekly.week_start),
        "has_statement": "statement" in request.form
        if is_typed
        else any(item.has_statement for item in chosen.values()),
        "weekdays": [(number, request.language.weekday_name(int(number) - 1)) for number in _WEEKDAYS],
    }


async def save_choices(request: PageRequest, merchant_id: int) -> bool:
    """Save what was chosen; return whether it could be, else the form says what is wrong."""
    week_start = request.form.text("week_start")
    try:
        await request.services.report_choices.choose(
            request.login,
            merchant_id,
            wanted=[REPORT_KINDS[word] for word in request.form.all("report") if word in REPORT_KINDS],
            zone=request.form.text("zone"),
            week_start=int(week_start) if week_start in _WEEKDAYS else 0,
            has_statement="statement" in request.form,
        )
    except ServiceError as error:
        request.form.fail(error, _FIELDS)
        return False
    return True


async def report_preview(request: PageRequest, merchant_id: int) -> Response:
    """Show the mail about the last week or month that is over, as its reader would get it but for the operator's look.

    Raises:
        ApiError: 404, there is no such kind of report.
    """
    kind = REPORT_KINDS.get(request.param("kind"))
    if kind is None:
        raise no_such_page()
    services, operator = request.services, request.services.operator
    week_start = 1
    for choice in await services.report_choices.list(request.login, merchant_id):
        if choice.kind == kind:
            week_start = choice.week_start
    period = present_period(kind, services.console.now(), request.zone, week_start=week_start).before()
    writer = ReportWriter(
        services.merchant_reports,
        services.staff_reports,
        services.console,
        services.statements,
        public_url=operator.public_url,
    )
    has_statement = merchant_id != ALL_MERCHANTS
    written = await writer.write(ReportOrder(merchant_id, period, request.zone, has_statement, request.language))
    settings = MailSettings(_PREVIEW_SENDER, operator.public_url, operator.support_contact)
    return render.mail(preview_report(written, settings).page)
