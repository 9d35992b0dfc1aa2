"""The command that counts refused requests."""

from datetime import datetime

import click

from farebox.cli.context import CommandContext, as_fields, command, merchant_id, print_file, table
from farebox.presenters.refusals import reason_words, refusal_data, refusals_csv, type_words
from farebox.service import inputs
from farebox.service.insight.quarters import By


@command("refusals")
@click.argument("merchant")
@click.option("--by", type=click.Choice(["day", "hour"]), default="day", show_default=True)
@click.option("--from", "first", help="The first day, such as 2026-01-31.")
@click.option("--to", "last", help="The last day; today, if not given.")
@click.option("--time-zone", default="UTC", show_default=True, help="Whose days these are, such as Europe/Berlin.")
@click.option("--type", "request_type", help="This request type alone.")
@click.option("--reason", help="This reason alone, such as insufficient_balance.")
@click.option("--csv", "is_csv", is_flag=True, help="As CSV, for a spreadsheet.")
async def refusals(
    context: CommandContext, merchant: str, by: By, time_zone: str, is_csv: bool, **wanted: str | None
) -> None:
    """Count a merchant's charges and holds that were refused, by type and reason."""
    context.ensure_one_format(is_csv=is_csv)
    number, services = merchant_id(merchant), context.farebox.services
    await services.merchants.get(number)
    lines = await services.refusals.read(number, by=by, zone=time_zone, **wanted)
    if is_csv:
        print_file(refusals_csv(lines))
        return
    zone = inputs.time_zone("timeZone", time_zone)
    form = "%Y-%m-%d" if by == "day" else "%Y-%m-%d %H:%M"
    rows = [
        (
            datetime.fromtimestamp(line.starts_at // 1_000_000, zone).strftime(form),
            type_words(line.request_type),
            reason_words(line.reason),
            f"{line.requests:,}",
        )
        for line in lines
    ]
    context.answer(
        {"lines": [as_fields(refusal_data(line)) for line in lines]},
        table((by, "type", "why", "requests"), rows, right=(3,)) or ["No request was refused in this time."],
    )
