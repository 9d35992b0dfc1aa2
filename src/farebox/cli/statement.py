"""Commands for statements: printing a merchant's book, exporting it, and verifying an export anywhere."""

from typing import Any

import click
import msgspec

from farebox.cli.context import (
    FAILED,
    MISUSED,
    CommandContext,
    add_json_option,
    command,
    counted,
    fail,
    guarded,
    merchant_id,
    print_pieces,
    short_time,
)
from farebox.core import ids
from farebox.core.accounts import EFFECTS, KIND_WORDS, Kind
from farebox.core.currencies import format_money, format_money_with_code
from farebox.core.money import format_amount
from farebox.core.transfers import Transfer
from farebox.presenters.grant_words import given_words
from farebox.service.errors import InvalidInput
from farebox.service.request_words import requested
from farebox.service.statements.check import Ending, ExportFault, Report, check_statement
from farebox.service.statements.grant_check import GrantCheck
from farebox.service.statements.price_check import PriceCheck
from farebox.service.statements.reader import PAGE_TRANSFERS_MAX, Selection


@command("statement")
@click.argument("merchant")
@click.option("--csv", "is_csv", is_flag=True, help="As CSV, for a spreadsheet; oldest first.")
@click.option("--from", "start", help="From this time on, such as 2026-01-31T12:00:00Z.")
@click.option("--to", "end", help="Before this time.")
@click.option("--kind", help="This kind alone, such as top_up.")
@click.option("--type", "request_type", help="This request type alone.")
@click.option("--reference", help="This reference alone.")
async def statement(context: CommandContext, merchant: str, is_csv: bool, **texts: str | None) -> None:
    """Print a merchant's book, newest first; with --json, oldest first as lines that verify-statement checks."""
    number = merchant_id(merchant)
    selection = Selection(**texts)
    statements = context.farebox.services.statements
    context.ensure_one_format(is_csv=is_csv)
    if context.is_json:
        for name, text in (
            ("kind", selection.kind),
            ("type", selection.request_type),
            ("reference", selection.reference),
        ):
            if text is not None:
                raise InvalidInput(
                    name, "--json is a whole stretch of the book, or it could not be verified; take --from and --to"
                )
        await print_pieces(await statements.export_lines(number, start=selection.start, end=selection.end))
    elif is_csv:
        await print_pieces(await statements.export_csv(number, selection))
    else:
        await _print_lines(context, number, selection)


async def _print_lines(context: CommandContext, number: int, selection: Selection) -> None:
    _, account = await context.farebox.services.merchants.get(number)
    cursor: str | None = None
    while True:
        page = await context.farebox.services.statements.page(
            number, selection, cursor=cursor, limit=PAGE_TRANSFERS_MAX
        )
        for transfer in page.transfers:
            click.echo(statement_line(transfer, account.currency))
        cursor = page.next_cursor
        if cursor is None:
            return


def statement_line(transfer: Transfer, currency: str) -> str:
    """Write a transfer as one line: when, what, its effect on the available balance, what was left, its reference."""
    sign = "+" if EFFECTS[Kind(transfer.kind)].wallet > 0 else "-" if EFFECTS[Kind(transfer.kind)].wallet < 0 else " "
    what = KIND_WORDS[transfer.kind].replace("_", " ")
    if transfer.request_type is not None:
        what = f"{what} {requested(transfer)}"
    given = given_words(transfer, currency)
    rest = "  ".join(filter(None, (transfer.reference, f"({given})" if given else "")))
    return (
        f"{short_time(transfer.committed_at)}  {what:<28}{sign + format_money(transfer.amount, currency):>18}"
        f"{format_money(transfer.wallet_after, currency):>18}  {rest}".rstrip()
    )


@click.command("verify-statement")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
def verify_statement(files: tuple[str, ...], *, is_json: bool) -> None:
    """Check statements that were exported with --json: nothing changed, dropped, repeated or reordered; it adds up.

    Several files must each continue where the one before ended. It asks no database: whoever has the file can check
    it. "-" is the standard input. Exits with 1 and names what is wrong.
    """
    guarded(lambda: _verify(files, is_json=is_json), is_json=is_json)


def _verify(files: tuple[str, ...], *, is_json: bool) -> None:
    reports: list[tuple[str, Report]] = []
    ending: Ending | None = None
    prices, grants = PriceCheck(), GrantCheck()
    for file in files:
        try:
            with click.open_file(file, "rb") as stream:
                report = check_statement(stream, after=ending, prices=prices, grants=grants)
        except OSError as error:
            fail("unreadable_file", f"{file}: {error.strerror or error}", MISUSED, is_json=is_json)
        reports.append((file, report))
        ending = report.ending
        if not is_json:
            for fault in report.faults:
                click.echo(_fault_line(file, fault))
        if ending is None:
            # An export that can't be read has no end that another could continue.
            break
    faults_count = sum(report.faults_count for _, report in reports)
    if is_json:
        click.echo(msgspec.json.encode(_data(reports)).decode())
    elif ending is not None:
        click.echo(_summary(reports, ending))
    if faults_count:
        raise SystemExit(FAILED)


def _fault_line(file: str, fault: ExportFault) -> str:
    where = f"line {fault.line}" if fault.seq is None else f"line {fault.line}, seq {fault.seq}"
    return f"{file}: {where}: {fault.text}"


def _summary(reports: list[tuple[str, Report]], ending: Ending) -> str:
    faults_count = sum(report.faults_count for _, report in reports)
    transfers_count = sum(report.transfers_count for _, report in reports)
    if faults_count:
        return f"{counted(faults_count, 'fault')}: {counted(transfers_count, 'transfer')}."
    merchant = ids.public_id(ids.MERCHANT, ending.merchant_id)
    stretch = f", seq {reports[0][1].first_seq} to {ending.seq}" if transfers_count else ""
    held = f", {format_money(ending.held, ending.currency)} held" if ending.held else ""
    return (
        f"Clean: {counted(transfers_count, 'transfer')} of {merchant}{stretch}, "
        f"ends at {format_money_with_code(ending.available, ending.currency)} available{held}."
    )


def _data(reports: list[tuple[str, Report]]) -> dict[str, Any]:
    first, ending = reports[0][1].first_seq, reports[-1][1].ending
    faults_count = sum(report.faults_count for _, report in reports)
    return {
        "isClean": not faults_count,
        "transfers": sum(report.transfers_count for _, report in reports),
        "firstSeq": first,
        "ending": None
        if ending is None
        else {
            "merchantId": ids.public_id(ids.MERCHANT, ending.merchant_id),
            "currency": ending.currency,
            "seq": ending.seq,
            "hash": ending.hash.hex(),
            "available": format_amount(ending.available),
            "held": format_amount(ending.held),
        },
        "faultsCount": faults_count,
        "faults": [
            {"file": file, "line": fault.line, "seq": fault.seq, "fault": fault.text}
            for file, report in reports
            for fault in report.faults
        ],
    }


add_json_option(verify_statement)
