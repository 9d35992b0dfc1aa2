"""Commands that move money, and that read what was moved."""

import csv
import sys
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Final, Literal

import click

from farebox.cli.session import Session, command, merchant_id, short_time, table, transfer_of
from farebox.core import chain, ids
from farebox.core.accounts import DEBIT_AND_CREDIT, EFFECTS, KIND_WORDS, Kind
from farebox.core.money import format_amount
from farebox.core.outcomes import Outcome
from farebox.core.transfers import Transfer
from farebox.service import inputs

_PAGE_ROWS: Final = 1_000


@command("topup")
@click.argument("merchant")
@click.argument("amount")
@click.option("--reference", required=True, help="The payment's own; the same reference again is the same top-up.")
@click.option("--note", help="A remark.")
async def topup(session: Session, merchant: str, amount: str, reference: str, note: str | None) -> None:
    """Add money that a merchant has paid."""
    outcome = await session.farebox.operations.top_up(
        merchant_id(merchant), amount=amount, reference=reference, note=note, actor=session.actor
    )
    await answer_move(session, outcome, "Topped up")


@command("adjust", context_settings={"ignore_unknown_options": True})
@click.argument("merchant")
@click.argument("amount")
@click.option("--reference", required=True, help="Yours; the same reference again is the same adjustment.")
@click.option("--reason", required=True, help="Why; it stands in the merchant's statement.")
async def adjust(session: Session, merchant: str, amount: str, reference: str, reason: str) -> None:
    """Correct a balance by hand; an AMOUNT such as -5.00 takes away."""
    outcome = await session.farebox.operations.adjust(
        merchant_id(merchant), amount=amount, reference=reference, reason=reason, actor=session.actor
    )
    await answer_move(session, outcome, "Adjusted by")


@command("reverse")
@click.argument("merchant")
@click.argument("transfer")
@click.option("--amount", help="This much of it; all that is left, if not given.")
@click.option("--reference", required=True, help="Yours; the same reference again is the same reversal.")
@click.option("--reason", required=True, help="Why; it stands in the merchant's statement.")
async def reverse(
    session: Session, merchant: str, transfer: str, amount: str | None, reference: str, reason: str
) -> None:
    """Take a top-up back, or a part of it: a payment that bounced."""
    outcome = await session.farebox.operations.reverse_top_up(
        merchant_id(merchant),
        transfer=transfer,
        amount=amount,
        reference=reference,
        reason=reason,
        actor=session.actor,
    )
    await answer_move(session, outcome, "Reversed")


@command("usage")
@click.argument("merchant")
@click.option("--by", type=click.Choice(["day", "hour"]), default="day", show_default=True)
@click.option("--from", "first", help="The first day, such as 2026-01-31.")
@click.option("--to", "last", help="The last day; today, if not given.")
@click.option("--time-zone", default="UTC", show_default=True, help="Whose days these are, such as Europe/Berlin.")
@click.option("--type", "request_type", help="This request type alone.")
async def usage(
    session: Session,
    merchant: str,
    by: Literal["day", "hour"],
    first: str | None,
    last: str | None,
    time_zone: str,
    request_type: str | None,
) -> None:
    """Print what each request type came to."""
    number = merchant_id(merchant)
    _, account = await session.farebox.merchants.get(number)
    lines = await session.farebox.usage.read(
        number, by=by, first=first, last=last, zone=time_zone, request_type=request_type
    )
    data = [
        {
            "startsAt": inputs.format_time(line.starts_at),
            "type": line.request_type,
            "count": line.requests,
            "cost": format_amount(line.cost),
            "refunded": format_amount(line.refunded),
        }
        for line in lines
    ]
    zone = inputs.time_zone("timeZone", time_zone)
    form = "%Y-%m-%d" if by == "day" else "%Y-%m-%d %H:%M"
    rows = [
        (
            datetime.fromtimestamp(line.starts_at // 1_000_000, zone).strftime(form),
            line.request_type,
            f"{line.requests:,}",
            format_amount(line.cost),
            format_amount(line.refunded),
        )
        for line in lines
    ]
    session.answer(
        {"currency": account.currency, "lines": data},
        table((by, "type", "count", f"cost {account.currency}", "refunded"), rows, right=(2, 3, 4))
        or ["There was no usage in this time."],
    )


async def answer_move(session: Session, outcome: Outcome, words: str) -> None:
    """Print a move of money: what it left, or that it waits for a second person."""
    approval = outcome.approval
    if approval is not None and outcome.transfer is None and outcome.is_ok:
        merchant = ids.public_id(ids.MERCHANT, approval.merchant_id)
        session.answer(
            {"approvalId": approval.id, "state": "pending", "isReplay": outcome.is_replay},
            f"This waits for a second person, who runs: farebox approval approve {merchant} {approval.id}",
        )
        return
    transfer = transfer_of(outcome)
    _, account = await session.farebox.merchants.get(transfer.merchant_id)
    sign = "-" if transfer.kind == Kind.ADJUSTMENT_DEBIT else ""
    again = "; this had been done before, and nothing moved now" if outcome.is_replay else ""
    session.answer(
        {
            "transferId": transfer.id,
            "amount": format_amount(transfer.amount),
            "balance": format_amount(transfer.posted_after),
            "available": format_amount(transfer.wallet_after),
            "isReplay": outcome.is_replay,
        },
        f"{words} {sign}{format_amount(transfer.amount)} {account.currency} as {transfer.id}{again}. "
        f"Available: {format_amount(transfer.wallet_after)} {account.currency}.",
    )


@command("balance")
@click.argument("merchant")
async def balance(session: Session, merchant: str) -> None:
    """Read a merchant's available balance."""
    _, account = await session.farebox.merchants.get(merchant_id(merchant))
    session.answer(
        {
            "available": format_amount(account.available),
            "posted": format_amount(account.posted),
            "held": format_amount(account.held),
            "currency": account.currency,
        },
        f"{format_amount(account.available)} {account.currency}",
    )


@command("statement")
@click.argument("merchant")
@click.option("--csv", "is_csv", is_flag=True, help="As CSV, for a spreadsheet.")
async def statement(session: Session, merchant: str, is_csv: bool) -> None:
    """Print a merchant's whole book, newest first; with --json, one JSON object a line."""
    number = merchant_id(merchant)
    await session.farebox.merchants.get(number)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if is_csv:
        writer.writerow(_CSV_COLUMNS)
    async for transfer in _book(session, number):
        data = transfer_data(transfer)
        if session.is_json:
            session.line(data)
        elif is_csv:
            writer.writerow([_csv_cell(name, data[name]) for name in _CSV_COLUMNS])
        else:
            click.echo(_statement_line(transfer))


async def _book(session: Session, number: int) -> AsyncIterator[Transfer]:
    before: int | None = None
    while page := await session.farebox.queries.statement(number, before_seq=before, limit=_PAGE_ROWS):
        for transfer in page:
            yield transfer
        before = page[-1].seq


def transfer_data(transfer: Transfer) -> dict[str, Any]:
    """Describe a transfer in JSON: all that explains it, and all that its hash covers."""
    debit, credit = DEBIT_AND_CREDIT[transfer.kind]
    refers_to = transfer.refers_to
    return {
        "transferId": transfer.id,
        "seq": transfer.seq,
        "committedAt": inputs.format_time(transfer.committed_at),
        "kind": KIND_WORDS[transfer.kind],
        "debit": debit,
        "credit": credit,
        "amount": format_amount(transfer.amount),
        "available": format_amount(transfer.wallet_after),
        "held": format_amount(transfer.held_after),
        "type": transfer.request_type,
        "quantity": transfer.quantity,
        "unitPrice": None if transfer.unit_price is None else format_amount(transfer.unit_price),
        "priceId": None if transfer.price_id is None else chain.price_text(transfer.price_id),
        "idempotencyKey": transfer.idempotency_key,
        "fingerprint": transfer.content.hex(),
        "refersTo": None
        if refers_to is None
        else ids.book_id(ids.TRANSFER, merchant_id=transfer.merchant_id, seq=refers_to),
        "reference": transfer.reference,
        "note": transfer.note,
        "hash": transfer.hash.hex(),
    }


_CSV_COLUMNS: Final = (
    "transferId",
    "committedAt",
    "kind",
    "debit",
    "credit",
    "amount",
    "available",
    "held",
    "type",
    "quantity",
    "unitPrice",
    "priceId",
    "idempotencyKey",
    "refersTo",
    "reference",
    "note",
)


_CSV_TEXTS: Final = frozenset({"idempotencyKey", "reference", "note"})


def _csv_cell(column: str, value: Any) -> Any:
    """Keep a spreadsheet from taking people's texts for formulas: one that begins like a formula gets an apostrophe."""
    is_formula = column in _CSV_TEXTS and value is not None and value.startswith(("=", "+", "-", "@"))
    return f"'{value}" if is_formula else value


def _statement_line(transfer: Transfer) -> str:
    sign = "+" if EFFECTS[Kind(transfer.kind)].wallet > 0 else "-" if EFFECTS[Kind(transfer.kind)].wallet < 0 else " "
    what = KIND_WORDS[transfer.kind].replace("_", " ")
    if transfer.request_type is not None:
        what = f"{what} {transfer.request_type} x {transfer.quantity}"
    return (
        f"{short_time(transfer.committed_at)}  {what:<28}{sign + format_amount(transfer.amount):>18}"
        f"{format_amount(transfer.wallet_after):>18}  {transfer.reference or ''}".rstrip()
    )


COMMANDS: Final = (topup, adjust, reverse, balance, usage, statement)
