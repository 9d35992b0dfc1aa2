"""Commands that write the reports that people get by mail: to be looked at, or sent to somebody once."""

from pathlib import Path
from typing import Any, Final

import click

from farebox.alerts.mail import MailSettings
from farebox.alerts.report_mail import (
    ReportOrder,
    ReportWriter,
    WrittenReport,
    preview_report,
    report_message,
)
from farebox.alerts.transport import PermanentFailure, TransientFailure
from farebox.background import make_mail_settings, make_transport
from farebox.cli.context import CommandContext, command, merchant_id_or_none
from farebox.cli.report import report_group
from farebox.core import ids
from farebox.service import inputs
from farebox.service.errors import InvalidInput, Unavailable
from farebox.service.id_generator import IdGenerator
from farebox.service.insight import quarters
from farebox.service.reports.choices import ALL_MERCHANTS, ReportKind
from farebox.service.reports.periods import period_of

_OPTIONS: Final = (
    click.option("--merchant", help="Whose report; that of all merchants, as staff get it, if not given."),
    click.option("--date", "day", help="A day of the week or month, such as 2026-11-30; the last one that is over."),
    click.option("--zone", default="UTC", show_default=True, help="The time zone whose days count."),
    click.option("--statement", "has_statement", is_flag=True, help="With the merchant's statement as CSV."),
    click.option("--html", "html_file", type=click.Path(dir_okay=False, path_type=Path), help="Write it as a page."),
    click.option("--send-to", help="Mail it to this address, once; nobody else is told."),
)


def _with_options(body: Any) -> Any:
    for option in reversed(_OPTIONS):
        body = option(body)
    return body


@command("weekly", group=report_group)
@_with_options
@click.option("--week-start", type=click.IntRange(1, 7), default=1, show_default=True, help="1 for Monday to 7.")
async def weekly(context: CommandContext, *, week_start: int, **options: Any) -> None:
    """Write the report of a week as mail has it, and print its text, save it as a page, or send it."""
    await _report(context, ReportKind.WEEKLY, week_start=week_start, **options)


@command("monthly", group=report_group)
@_with_options
async def monthly(context: CommandContext, **options: Any) -> None:
    """Write the report of a month as mail has it, and print its text, save it as a page, or send it."""
    await _report(context, ReportKind.MONTHLY, week_start=1, **options)


async def _report(
    context: CommandContext,
    kind: ReportKind,
    *,
    week_start: int,
    merchant: str | None,
    day: str | None,
    zone: str,
    has_statement: bool,
    html_file: Path | None,
    send_to: str | None,
) -> None:
    services, settings = context.farebox.services, context.farebox.settings
    # What of the operator's files can't be used is told when a server starts.
    mail_settings, _ = make_mail_settings(settings)
    time_zone = inputs.time_zone("zone", zone)
    today = quarters.today(context.farebox.clock.now(), time_zone)
    if day is None:
        period = period_of(kind, today, week_start=week_start).before()
    else:
        period = period_of(kind, inputs.day("date", day), week_start=week_start)
    if period.first > today:
        raise InvalidInput("date", "this has not begun yet")
    address = None if send_to is None else inputs.email("send-to", send_to)
    number = merchant_id_or_none(merchant)
    writer = ReportWriter(
        services.merchant_reports,
        services.staff_reports,
        services.console,
        services.statements,
        public_url=mail_settings.public_url,
    )
    written = await writer.write(ReportOrder(number or ALL_MERCHANTS, period, time_zone, has_statement))
    preview = preview_report(written, mail_settings)
    data = {"title": written.title, "from": str(period.first), "to": str(period.last), "timeZone": time_zone.key}
    if html_file is not None:
        _save(html_file, preview.page)
    if address is not None:
        await _send(context, written, mail_settings, address)
    lines = [f"Written to {html_file}."] if html_file is not None else []
    lines += [f"Sent to {address}."] if address is not None else []
    context.answer(
        {**data, "text": preview.text, "sentTo": address},
        lines or preview.text.rstrip().splitlines(),
    )


def _save(path: Path, page: str) -> None:
    path.write_text(page, encoding="utf-8")


async def _send(context: CommandContext, written: WrittenReport, mail_settings: MailSettings, to: str) -> None:
    """Hand the report to the mail server, once.

    Raises:
        Unavailable: it does not take the mail.
    """
    clock = context.farebox.clock
    name = f"{ids.ACCOUNT_MAIL}{ids.encode_number(IdGenerator(clock).next())}"
    message_id = f"<{name}@{mail_settings.sender.domain}>"
    message = report_message(written, mail_settings, to=to, at=clock.now(), message_id=message_id)

    async def compose() -> Any:
        return message

    try:
        await make_transport(context.farebox.settings).send(compose, to)
    except (PermanentFailure, TransientFailure) as error:
        raise Unavailable(f"the report was not sent: {error}") from error
