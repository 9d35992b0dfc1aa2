"""The command for the revenue of all merchants, and the group of all commands for reports."""

import click

from farebox.cli.context import CommandContext, command, print_file, table
from farebox.core.currencies import format_money
from farebox.presenters.revenue import month_revenue_csv, month_revenue_data
from farebox.service.insight.revenue import CurrencyRevenue, MonthRevenue, net


@click.group("report")
def report_group() -> None:
    """Reports: the revenue of all merchants in a month, and the weekly and monthly ones that people get by mail."""


@command("revenue", group=report_group)
@click.option("--month", help="The month, in UTC, such as 2026-11; the present one, if not given.")
@click.option("--csv", "is_csv", is_flag=True, help="As CSV, for a spreadsheet.")
async def revenue(context: CommandContext, month: str | None, is_csv: bool) -> None:
    """Print what all merchants paid in, used and are still owed in a month, by currency."""
    context.ensure_one_format(is_csv=is_csv)
    found = await context.farebox.services.revenue.read(month)
    if is_csv:
        print_file(month_revenue_csv(found))
        return
    context.answer(month_revenue_data(found), _month_lines(found))


def _month_lines(found: MonthRevenue) -> list[str]:
    lines = [line for currency in found.currencies for line in (*_currency_lines(currency), "")]
    if not lines:
        return [f"Nothing moved up to the end of {found.month}."]
    return [
        *lines,
        f"{found.month} is over: these figures stay as they are."
        if found.is_final
        else f"{found.month} is not over yet: this is how far it is.",
    ]


def _currency_lines(revenue: CurrencyRevenue) -> list[str]:
    currency = revenue.currency
    rows = [
        ("Paid money at the start", net(revenue.opening)),
        ("Paid in", revenue.paid_in),
        ("Top-ups taken back", -revenue.taken_back),
        ("Adjusted up", revenue.adjusted_up),
        ("Adjusted down", -revenue.adjusted_down),
        *((f"Used, {line.request_type}", -line.consumed_paid) for line in revenue.types if line.consumed_paid),
        *((f"Refunded, {line.request_type}", line.refunded_paid) for line in revenue.types if line.refunded_paid),
        ("Paid money at the end", net(revenue.closing)),
        ("  owed to merchants (deferred revenue)", revenue.closing.paid),
        ("  drawn on credit limits", -revenue.closing.drawn),
        ("Revenue recognised: used less refunded", revenue.recognised),
        ("", None),
        ("Given credit at the start", revenue.opening.given),
        ("Granted", revenue.granted),
        ("Ended", -revenue.ended),
        ("Used", -revenue.consumed_given),
        ("Refunded", revenue.refunded_given),
        ("Given credit at the end", revenue.closing.given),
        ("", None),
        ("Uncollected from requests", revenue.uncollected),
        ("Not taken back of top-ups", revenue.not_taken_back),
        ("Owed of top-ups at the end", revenue.closing.owed),
    ]
    written = [(words, "" if micros is None else format_money(micros, currency)) for words, micros in rows]
    reconciled = "" if revenue.is_reconciled else ["THE BOOKS SAY OTHERWISE: run farebox verify."]
    return [*table((currency, "amount"), written, right=(1,)), *reconciled]
