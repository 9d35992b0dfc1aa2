"""Commands for what is watched over: requests that wait for a second person, and the audit log."""

from typing import Final

import click

from farebox.cli.context import CommandContext, as_fields, command, merchant_id, short_time, table
from farebox.cli.money import answer_move
from farebox.core import ids
from farebox.core.accounts import Account
from farebox.core.approvals import ApprovalState
from farebox.core.credit.grants import Grant
from farebox.core.currencies import format_money_with_code
from farebox.core.outcomes import Outcome
from farebox.presenters.approvals import approval_data
from farebox.presenters.audit_log import audit_entry_data
from farebox.presenters.audit_words import actor_words, audit_words
from farebox.presenters.moves import approved_grant_data, approved_limit_data
from farebox.presenters.times import at
from farebox.service import inputs
from farebox.service.errors import Refused, ensure_done
from farebox.service.operator.approvals import PAGE_ROWS_MAX

_LISTED_MAX: Final = 200


@click.group("approval")
def approval_group() -> None:
    """Moves of money and credit limits above FAREBOX_APPROVAL_ABOVE, which wait for a second person."""


@command("list", group=approval_group)
@click.option("--merchant", help="This merchant's alone.")
@click.option("--all", "is_all", is_flag=True, help="Those that were decided as well.")
async def approval_list(context: CommandContext, merchant: str | None, is_all: bool) -> None:
    """List the newest requests that wait."""
    number = await context.known_merchant(merchant)
    newest = await context.farebox.services.approvals.page(merchant_id=number, before=None, limit=PAGE_ROWS_MAX)
    wanted = [approval for approval in newest if is_all or approval.state == ApprovalState.PENDING][:_LISTED_MAX]
    shown = [approval_data(approval) for approval in wanted]
    merchants = await context.farebox.services.console.merchants_of({approval.merchant_id for approval in wanted})
    rows = [
        (
            item.approval_id,
            item.merchant_id,
            item.kind.replace("_", "-"),
            format_money_with_code(approval.signed_amount, merchants[approval.merchant_id].account.currency),
            item.reference or "",
            item.requested_by,
            item.state,
        )
        for approval, item in zip(wanted, shown, strict=True)
    ]
    context.answer(
        shown,
        table(("request", "merchant", "what", "amount", "reference", "requested by", "state"), rows, right=(3,))
        or ["Nothing waits for approval."],
    )


@command("approve", group=approval_group)
@click.argument("merchant")
@click.argument("request")
async def approval_approve(context: CommandContext, merchant: str, request: str) -> None:
    """Approve a request of another person's; it is made at once."""
    number = inputs.public_id("REQUEST", ids.APPROVAL, request)
    outcome = await context.farebox.services.approvals.approve(
        merchant_id(merchant), number, principal=context.principal
    )
    ensure_done(outcome)
    if outcome.transfer is not None:
        await answer_move(context, outcome, "Approved and made:")
        return
    _, account = await context.farebox.services.merchants.get(merchant_id(merchant))
    if outcome.grant is not None:
        _answer_waiting_grant(context, outcome, outcome.grant, account)
        return
    limit = format_money_with_code(account.credit_limit, account.currency)
    before = " It had been approved before; nothing is changed." if outcome.is_replay else ""
    context.answer(
        {**as_fields(approved_limit_data(account)), "isReplay": outcome.is_replay},
        f"Approved: the credit limit is {limit}.{before}",
    )


def _answer_waiting_grant(context: CommandContext, outcome: Outcome, grant: Grant, account: Account) -> None:
    """Print that a grant was approved that starts later, and moves no money before."""
    amount = format_money_with_code(grant.amount, account.currency)
    before = " It had been approved before; nothing is changed." if outcome.is_replay else ""
    context.answer(
        {**as_fields(approved_grant_data(grant, account)), "isReplay": outcome.is_replay},
        f"Approved: {amount} of credit as {grant.id}, from {short_time(grant.starts_at)} (UTC) on.{before}",
    )


@command("reject", group=approval_group)
@click.argument("merchant")
@click.argument("request")
async def approval_reject(context: CommandContext, merchant: str, request: str) -> None:
    """Reject a request, or take your own back; it is never made."""
    number = inputs.public_id("REQUEST", ids.APPROVAL, request)
    outcome = await context.farebox.services.approvals.reject(
        merchant_id(merchant), number, principal=context.principal
    )
    if outcome.approval is None:
        raise Refused(outcome)
    before = " It had been rejected before; nothing is changed." if outcome.is_replay else ""
    context.answer(approval_data(outcome.approval), f"{request} is rejected.{before}")


@command("audit")
@click.option("--merchant", help="This merchant's alone.")
@click.option("--limit", type=click.IntRange(1, PAGE_ROWS_MAX), default=_LISTED_MAX, show_default=True)
@click.option("--zone", help="The time zone of what is printed, such as Europe/Zurich; this system's, if not given.")
async def audit(context: CommandContext, merchant: str | None, limit: int, zone: str | None) -> None:
    """List who did what from where, the newest first."""
    number = await context.known_merchant(merchant)
    chosen = None if zone is None else inputs.time_zone("zone", zone)
    services = context.farebox.services
    audit_entries, _ = await services.audit_log.page(merchant_id=number, cursor=None, limit=limit)
    names = await services.audit_log.names()
    merchants = await services.console.names(entry.merchant_id for entry in audit_entries)
    rows = [
        (
            f"{at(entry.at, chosen):%Y-%m-%d %H:%M:%S %Z}",
            actor_words(entry, names),
            entry.address or "",
            "" if entry.merchant_id is None else merchants[entry.merchant_id],
            audit_words(entry, chosen),
            entry.subject or "",
        )
        for entry in audit_entries
    ]
    context.answer(
        [audit_entry_data(entry, names, chosen) for entry in audit_entries],
        table(("at", "who", "from", "merchant", "what", "id or address"), rows)
        or ["Nothing has been done by hand yet."],
    )
