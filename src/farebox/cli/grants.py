"""Commands for given credit: giving it, listing it, and ending it before its time."""

from typing import Final

import click

from farebox.cli.context import CommandContext, as_fields, command, merchant_id, short_time, table
from farebox.cli.money import answer_waiting
from farebox.core.credit.grants import Grant, GrantState
from farebox.core.currencies import format_money, format_money_with_code
from farebox.presenters.grant_words import types_words
from farebox.presenters.grants import GRANT_STATE_WORDS, ended_grant_data, grant_data
from farebox.service.operator.grants import GrantFields, grant_of, merchant_of_grant

_PAGE: Final = 1_000
_COLUMNS: Final = ("grant", "state", "given", "left", "starts (UTC)", "ends (UTC)", "pays for", "priority", "reference")


@click.group("grant")
def grant_group() -> None:
    """Given credit: money in a balance that was not paid for, and may end."""


@command("give", group=grant_group)
@click.argument("merchant")
@click.argument("amount")
@click.option("--reference", required=True, help="Yours; the same reference again is the same grant.")
@click.option("--reason", required=True, help="Why; it stands in the merchant's statement.")
@click.option("--starts", "starts_at", help="When it starts, such as 2026-01-31T12:00:00Z; at once, if not given.")
@click.option("--expires", "expires_at", help="When it ends; it does not end by itself, if not given.")
@click.option(
    "--type", "types", multiple=True, help="A request type that it pays for, once for each; all, if not given."
)
@click.option("--priority", type=int, default=0, show_default=True, help="The lowest is spent first; paid money has 0.")
async def grant_give(
    context: CommandContext,
    merchant: str,
    amount: str,
    reference: str,
    reason: str,
    starts_at: str | None,
    expires_at: str | None,
    types: tuple[str, ...],
    priority: int,
) -> None:
    """Give a merchant credit that was not paid for."""
    number = merchant_id(merchant)
    fields = GrantFields(
        amount=await context.typed_amount("amount", amount, number),
        reference=reference,
        reason=reason,
        starts_at=starts_at,
        expires_at=expires_at,
        types=types or None,
        priority=priority,
    )
    outcome = await context.farebox.services.grants.give(number, fields, principal=context.principal)
    if answer_waiting(context, outcome):
        return
    grant = grant_of(outcome)
    _, account = await context.farebox.services.merchants.get(number)
    again = "; this had been done before, and nothing is given again" if outcome.is_replay else ""
    starts = f", from {short_time(grant.starts_at)} (UTC) on" if grant.state == GrantState.WAITING else ""
    context.answer(
        {**as_fields(grant_data(grant)), "isReplay": outcome.is_replay},
        f"Gave {format_money_with_code(grant.amount, account.currency)} of credit as {grant.id}{starts}{again}. "
        f"Available: {format_money_with_code(account.available, account.currency)}.",
    )


@command("list", group=grant_group)
@click.argument("merchant")
@click.option("--limit", type=click.IntRange(1, _PAGE), default=200, show_default=True, help="How many at most.")
async def grant_list(context: CommandContext, merchant: str, limit: int) -> None:
    """List what a merchant was given, the newest first."""
    number = merchant_id(merchant)
    _, account = await context.farebox.services.merchants.get(number)
    page = await context.farebox.services.grants.page(number, cursor=None, limit=limit)
    more = [f"There are more; --limit shows up to {_PAGE:,}."] if page.next_cursor else []
    rows = [_row(grant, account.currency) for grant in page.grants]
    context.answer(
        [grant_data(grant) for grant in page.grants],
        [*(table(_COLUMNS, rows, right=(2, 3, 7)) or ["Nothing was given."]), *more],
    )


@command("end", group=grant_group)
@click.argument("grant")
@click.option("--reason", required=True, help="Why; it stands in the merchant's statement.")
async def grant_end(context: CommandContext, grant: str, reason: str) -> None:
    """Take back what is left of a grant; one that waits never starts."""
    number, services = merchant_of_grant(grant), context.farebox.services
    outcome = await services.grants.end(number, grant, reason=reason, principal=context.principal)
    ended = grant_of(outcome)
    _, account = await services.merchants.get(number)
    transfer = outcome.transfer
    taken = 0 if transfer is None else transfer.amount
    again = "; this had been done before, and nothing moved now" if outcome.is_replay else ""
    context.answer(
        {**as_fields(ended_grant_data(ended, transfer)), "isReplay": outcome.is_replay},
        f"Took back {format_money_with_code(taken, account.currency)} of {grant}{again}. "
        f"Available: {format_money_with_code(account.available, account.currency)}.",
    )


def _row(grant: Grant, currency: str) -> tuple[str, ...]:
    end = grant.ended_at or grant.expires_at
    return (
        grant.id,
        GRANT_STATE_WORDS[grant.state],
        format_money_with_code(grant.amount, currency),
        format_money(grant.left, currency),
        short_time(grant.starts_at),
        "never" if end is None else short_time(end),
        types_words(grant.types),
        str(grant.priority),
        grant.reference,
    )
