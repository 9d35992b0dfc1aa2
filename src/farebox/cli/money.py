"""Commands that move money, and that read what was moved."""

from datetime import UTC

import click

from farebox.cli.context import CommandContext, as_fields, command, merchant_id, start_words, table
from farebox.cli.key_usage import print_usage_by_key
from farebox.core import ids
from farebox.core.accounts import Account, Kind
from farebox.core.currencies import format_money, format_money_with_code
from farebox.core.money import format_amount
from farebox.core.outcomes import Outcome
from farebox.presenters.approvals import approval_data
from farebox.presenters.grant_words import ends_words
from farebox.presenters.grants import ENDING_MAX, ending_data
from farebox.presenters.moves import move_data
from farebox.presenters.pricing.charge_words import quantities_words
from farebox.service import inputs
from farebox.service.errors import transfer_of, waiting_of
from farebox.service.insight.quarters import By


@command("topup")
@click.argument("merchant")
@click.argument("amount")
@click.option("--reference", required=True, help="The payment's own; the same reference again is the same top-up.")
@click.option("--note", help="A remark.")
async def topup(context: CommandContext, merchant: str, amount: str, reference: str, note: str | None) -> None:
    """Add money that a merchant has paid."""
    number = merchant_id(merchant)
    amount = await context.typed_amount("amount", amount, number)
    outcome = await context.farebox.services.operations.top_up(
        number, amount=amount, reference=reference, note=note, principal=context.principal
    )
    await answer_move(context, outcome, "Topped up")


@command("adjust")
@click.argument("merchant")
@click.argument("amount")
@click.option("--reference", required=True, help="Yours; the same reference again is the same adjustment.")
@click.option("--reason", required=True, help="Why; it stands in the merchant's statement.")
async def adjust(context: CommandContext, merchant: str, amount: str, reference: str, reason: str) -> None:
    """Correct a balance by hand; an AMOUNT such as -5.00 takes away."""
    number = merchant_id(merchant)
    amount = await context.typed_amount("amount", amount, number, is_minus_allowed=True)
    outcome = await context.farebox.services.operations.adjust(
        number, amount=amount, reference=reference, reason=reason, principal=context.principal
    )
    await answer_move(context, outcome, "Adjusted by")


@command("reverse")
@click.argument("merchant")
@click.argument("transfer")
@click.option("--amount", help="This much of it; all that is left, if not given.")
@click.option("--reference", required=True, help="Yours; the same reference again is the same reversal.")
@click.option("--reason", required=True, help="Why; it stands in the merchant's statement.")
@click.option(
    "--owed",
    "is_owed",
    is_flag=True,
    help="Let the merchant owe what was spent already; without it, the whole is refused if there is too little.",
)
async def reverse(
    context: CommandContext,
    merchant: str,
    transfer: str,
    amount: str | None,
    reference: str,
    reason: str,
    is_owed: bool,
) -> None:
    """Take a top-up back, or a part of it: a payment that bounced.

    Spent money can't be taken back. With --owed it is owed: the money that comes in next pays it, and nothing can be
    spent until then.
    """
    number = merchant_id(merchant)
    if amount is not None:
        amount = await context.typed_amount("amount", amount, number)
    outcome = await context.farebox.services.operations.reverse_top_up(
        number,
        transfer=transfer,
        amount=amount,
        reference=reference,
        reason=reason,
        is_owed=is_owed,
        principal=context.principal,
    )
    await answer_move(context, outcome, "Reversed")


@command("usage")
@click.argument("merchant")
@click.option("--by", type=click.Choice(["day", "hour"]), default="day", show_default=True)
@click.option("--from", "first", help="The first day, such as 2026-01-31.")
@click.option("--to", "last", help="The last day; today, if not given.")
@click.option("--time-zone", default="UTC", show_default=True, help="Whose days these are, such as Europe/Berlin.")
@click.option("--type", "request_type", help="This request type alone.")
@click.option("--by-key", "is_by_key", is_flag=True, help="Tell the API keys apart.")
async def usage(
    context: CommandContext,
    merchant: str,
    by: By,
    first: str | None,
    last: str | None,
    time_zone: str,
    request_type: str | None,
    is_by_key: bool,
) -> None:
    """Print what each request type came to."""
    if is_by_key:
        await print_usage_by_key(context, merchant, by, first, last, time_zone, request_type)
        return
    number = merchant_id(merchant)
    _, account = await context.farebox.services.merchants.get(number)
    lines = await context.farebox.services.usage.read(
        number, by=by, first=first, last=last, zone=time_zone, request_type=request_type
    )
    data = [
        {
            "startsAt": inputs.format_time(line.starts_at),
            "type": line.request_type,
            "count": line.requests,
            "cost": format_amount(line.cost),
            "refunded": format_amount(line.refunded),
            **({"quantities": line.quantities} if line.quantities else {}),
        }
        for line in lines
    ]
    zone = inputs.time_zone("timeZone", time_zone)
    rows = [
        (
            start_words(line.starts_at, zone, by=by),
            line.request_type,
            f"{line.requests:,}",
            format_money(line.cost, account.currency),
            format_money(line.refunded, account.currency),
            quantities_words(line.quantities),
        )
        for line in lines
    ]
    context.answer(
        {"currency": account.currency, "lines": data},
        table((by, "type", "count", f"cost {account.currency}", "refunded", ""), rows, right=(2, 3, 4))
        or ["There was no usage in this time."],
    )


async def answer_move(context: CommandContext, outcome: Outcome, words: str) -> None:
    """Print a move of money: what it left, or that it waits for a second person."""
    if answer_waiting(context, outcome):
        return
    transfer = transfer_of(outcome)
    _, account = await context.farebox.services.merchants.get(transfer.merchant_id)
    sign = "-" if transfer.kind == Kind.ADJUSTMENT_DEBIT else ""
    again = "; this had been done before, and nothing moved now" if outcome.is_replay else ""
    owed = "" if transfer.uncollected is None else format_money_with_code(transfer.uncollected, account.currency)
    still = format_money_with_code(account.owed, account.currency) if account.owed else ""
    context.answer(
        {**as_fields(move_data(transfer)), "isReplay": outcome.is_replay},
        f"{words} {sign}{format_money_with_code(transfer.amount, account.currency)} as {transfer.id}{again}. "
        f"{f'{owed} of it was spent already and is owed. ' if owed else ''}"
        f"Available: {format_money_with_code(account.available, account.currency)}."
        f"{f' Still owed: {still}; nothing can be spent until it is paid.' if still else ''}",
    )


def answer_waiting(context: CommandContext, outcome: Outcome) -> bool:
    """Print that a command waits for a second person, if it does; tell whether.

    Raises:
        Refused: it was refused.
    """
    approval = waiting_of(outcome)
    if approval is None:
        return False
    merchant = ids.public_id(ids.MERCHANT, approval.merchant_id)
    context.answer(
        {**as_fields(approval_data(approval)), "isReplay": outcome.is_replay},
        f"This waits for a second person, who approves it in the console or by the API: {approval.id} of {merchant}. "
        "The command line is one person, whoever sits at it.",
    )
    return True


@command("balance")
@click.argument("merchant")
async def balance(context: CommandContext, merchant: str) -> None:
    """Read a merchant's available balance, and what of it was paid and given."""
    view = await context.farebox.services.queries.account_view(merchant_id(merchant))
    account, ending = view.account, view.forecast.given.ending[:ENDING_MAX]
    context.answer(
        {
            "available": format_amount(account.available),
            "posted": format_amount(account.posted),
            "held": format_amount(account.held),
            "paid": format_amount(account.paid),
            "given": format_amount(account.given),
            "ending": [ending_data(grant) for grant in ending],
            "currency": account.currency,
        },
        [
            format_money_with_code(account.available, account.currency),
            *([_made_of(account)] if account.given else []),
            *(f"{ends_words(grant, account.currency, UTC)} (UTC)" for grant in ending),
        ],
    )


def _made_of(account: Account) -> str:
    paid, given = (format_money(micros, account.currency) for micros in (account.paid, account.given))
    return f"{paid} of it is paid money, {given} was given."
