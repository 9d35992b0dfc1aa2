"""The command that lists what requests left uncollected and what is owed."""

from typing import Final

import click

from farebox.cli.context import CommandContext, command, print_file, short_time, table
from farebox.core.currencies import format_money_with_code
from farebox.presenters.shortfalls import shortfall_data, shortfalls_csv
from farebox.service.ledger.shortfalls import ROWS_MAX
from farebox.service.request_words import requested

_COLUMNS: Final = ("when (UTC)", "merchant", "for", "reference", "taken", "missing", "still owed")


@command("shortfalls")
@click.option("--merchant", help="This merchant's alone.")
@click.option("--limit", type=click.IntRange(1, ROWS_MAX), default=200, show_default=True, help="How many at most.")
@click.option("--csv", "is_csv", is_flag=True, help="As CSV, for a spreadsheet.")
async def shortfalls(context: CommandContext, merchant: str | None, limit: int, is_csv: bool) -> None:
    """List transfers that took less than was due, the newest first."""
    context.ensure_one_format(is_csv=is_csv)
    services = context.farebox.services
    number = await context.known_merchant(merchant)
    page = await services.shortfalls.page(number, cursor=None, limit=limit)
    merchants = await services.console.merchants_of(row.transfer.merchant_id for row in page.rows)
    if is_csv:
        print_file(shortfalls_csv(page.rows, merchants))
        return
    rows = []
    for row in page.rows:
        transfer, known = row.transfer, merchants[row.transfer.merchant_id]
        amounts = (transfer.amount, row.shortfall.amount, row.shortfall.owed)
        rows.append(
            (
                short_time(transfer.committed_at),
                known.merchant.name,
                requested(transfer) or "a top-up taken back",
                transfer.reference or "",
                *(format_money_with_code(amount, known.account.currency) for amount in amounts),
            )
        )
    more = [f"There are more; --limit shows up to {ROWS_MAX:,}."] if page.next_cursor else []
    context.answer(
        [shortfall_data(row, merchants[row.transfer.merchant_id].account.currency) for row in page.rows],
        [*(table(_COLUMNS, rows, right=(4, 5, 6)) or ["Nothing is missing."]), *more],
    )
