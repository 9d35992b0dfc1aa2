"""The command that counts refused requests."""

import click

from farebox.cli.context import CommandContext, as_fields, command, merchant_id, print_file, start_words, table
from farebox.presenters.refusals import refusal_data, refusals_csv, type_words
from farebox.service import inputs
from farebox.service.insight.quarters import By
from farebox.service.insight.refusal_words import reason_words


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
    rows = [
        (
            start_words(line.starts_at, zone, by=by),
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
