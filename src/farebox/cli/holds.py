"""Commands for holds: what is set aside, and letting go of it or keeping it longer."""

import secrets
from typing import Final

import click

from farebox.cli.context import CommandContext, as_fields, command, short_time, table
from farebox.core.currencies import format_money_with_code
from farebox.presenters.holds import extend_data, open_hold_data, release_data, span_words
from farebox.service.errors import Refused, transfer_of
from farebox.service.request_words import requested

_PAGE: Final = 1_000
_COLUMNS: Final = ("hold", "merchant", "for", "reference", "age", "ends (UTC)", "set aside")


@click.group("hold")
def hold_group() -> None:
    """Holds: money that is set aside for work under way."""


@command("list", group=hold_group)
@click.option("--merchant", help="This merchant's alone.")
@click.option("--limit", type=click.IntRange(1, _PAGE), default=200, show_default=True, help="How many at most.")
async def hold_list(context: CommandContext, merchant: str | None, limit: int) -> None:
    """List open holds, the soonest end first."""
    services = context.farebox.services
    number = await context.known_merchant(merchant)
    page = await services.open_holds.page(number, cursor=None, limit=limit)
    merchants = await services.console.merchants_of(row.hold.merchant_id for row in page.holds)
    now = services.open_holds.now()
    rows = [
        (
            row.hold.id,
            merchants[row.hold.merchant_id].merchant.name,
            requested(row.made_by),
            row.made_by.reference or "",
            span_words(now - row.made_by.committed_at),
            short_time(row.hold.expires_at),
            format_money_with_code(row.hold.amount, merchants[row.hold.merchant_id].account.currency),
        )
        for row in page.holds
    ]
    more = [f"There are more; --limit shows up to {_PAGE:,}."] if page.next_cursor else []
    context.answer(
        [open_hold_data(row) for row in page.holds],
        [*(table(_COLUMNS, rows, right=(6,)) or ["Nothing is set aside."]), *more],
    )


@command("extend", group=hold_group)
@click.argument("hold")
@click.option("--ttl", "ttl_seconds", type=int, help="How many seconds from now it lasts at least.")
@click.option("--expires", "expires_at", help="Until when it lasts at least, such as 2026-01-31T12:00:00Z.")
async def hold_extend(context: CommandContext, hold: str, ttl_seconds: int | None, expires_at: str | None) -> None:
    """Let a hold last longer, for so many seconds from now or until a time; it never ends sooner than it did."""
    outcome = await context.farebox.services.operations.extend(
        hold, ttl_seconds=ttl_seconds, expires_at=expires_at, caller=None, principal=context.principal
    )
    if outcome.hold is None:
        raise Refused(outcome)
    end = outcome.hold.expires_at
    words = "It lasts until {} already." if outcome.is_replay else "It lasts until {} now."
    context.answer(
        {**as_fields(extend_data(outcome.hold)), "isReplay": outcome.is_replay},
        words.format(f"{short_time(end)} (UTC)"),
    )


@command("release", group=hold_group)
@click.argument("hold")
@click.option("--reason", required=True, help="Why; it stands in the merchant's statement.")
@click.option("--reference", help="Anything of yours to find it by.")
async def hold_release(context: CommandContext, hold: str, reason: str, reference: str | None) -> None:
    """Give a hold's money back, whose service will not."""
    outcome = await context.farebox.services.operations.release(
        hold,
        idempotency_key=f"shell-{secrets.token_hex(16)}",
        reference=reference,
        reason=reason,
        caller=None,
        principal=context.principal,
    )
    transfer = transfer_of(outcome)
    _, account = await context.farebox.services.merchants.get(transfer.merchant_id)
    context.answer(
        release_data(hold, transfer),
        f"Released {format_money_with_code(transfer.amount, account.currency)}: "
        f"{format_money_with_code(transfer.wallet_after, account.currency)} are available ({transfer.id}).",
    )
