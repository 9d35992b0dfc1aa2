"""Merchants, from a shell: added, looked at, changed, frozen, closed and noted about."""

import click

from farebox.cli.context import CommandContext, as_fields, command, merchant_id, print_pieces, short_time, table
from farebox.cli.money import answer_waiting
from farebox.core import ids
from farebox.core.accounts import Account
from farebox.core.currencies import format_money, format_money_with_code
from farebox.presenters.audit_words import called
from farebox.presenters.merchants import merchant_data, new_merchant_data, threshold_remark
from farebox.presenters.notes import note_data
from farebox.service import inputs
from farebox.service.errors import InvalidInput, ensure_done
from farebox.service.operator.merchant_changes import MerchantFields
from farebox.service.operator.merchant_export import merchants_csv
from farebox.service.operator.merchants import merchant_filter
from farebox.service.typed_amounts import typed_amount
from farebox.storage.records import Merchant


@click.group("merchant")
def merchant_group() -> None:
    """Add merchants, look at them, change them."""


def _state(account: Account) -> str:
    if account.closed_at is not None:
        return f"closed since {short_time(account.closed_at)} UTC"
    return "frozen" if account.is_frozen else "active"


def _merchant_text(merchant: Merchant, account: Account) -> list[str]:
    thresholds = ", ".join(
        format_money_with_code(item.amount, account.currency) + threshold_remark(account, item)
        for item in account.thresholds
    )
    fields = {
        "merchant": ids.public_id(ids.MERCHANT, merchant.merchant_id),
        "name": merchant.name,
        "available": format_money_with_code(account.available, account.currency),
        "held": format_money_with_code(account.held, account.currency),
        "posted": format_money_with_code(account.posted, account.currency),
        "credit limit": format_money_with_code(account.credit_limit, account.currency),
        **({"owed": format_money_with_code(account.owed, account.currency)} if account.owed else {}),
        "thresholds": thresholds or "none",
        "days left": ", ".join(str(days) for days in merchant.runway_days) or "none",
        "state": _state(account),
        "tags": ", ".join(merchant.tag_list) or "none",
        "since": f"{short_time(merchant.created_at)} UTC",
    }
    return [f"{name:<13}{value}" for name, value in fields.items()]


@command("create", group=merchant_group)
@click.argument("name")
@click.option("--currency", required=True, help="ISO 4217, such as USD; fixed for ever.")
@click.option(
    "--threshold",
    multiple=True,
    help="Warn below this posted balance; may be given up to five times, and negative down to the credit limit.",
)
@click.option("--credit-limit", default="0", show_default=True, help="How far below zero the merchant may spend.")
async def merchant_create(
    context: CommandContext, name: str, currency: str, threshold: tuple[str, ...], credit_limit: str
) -> None:
    """Add a merchant; prints its id and its first API key, which is shown this once."""
    code = inputs.currency("currency", currency)
    merchant, account, key = await context.farebox.services.merchants.create(
        name=name,
        currency=code,
        thresholds=[
            typed_amount("thresholds", text, code, is_zero_allowed=True, is_minus_allowed=True, is_shown_first=False)
            for text in threshold
        ],
        credit_limit=typed_amount("creditLimit", credit_limit, code, is_zero_allowed=True, is_shown_first=False),
        principal=context.principal,
    )
    context.answer(
        new_merchant_data(merchant, account, key.text),
        [
            f"merchantId  {ids.public_id(ids.MERCHANT, merchant.merchant_id)}",
            f"apiKey      {key.text}",
            "Keep the key: it is shown this once.",
        ],
    )


@command("list", group=merchant_group)
@click.option("--closed", "is_closed", is_flag=True, help="Those that are closed, instead of the others.")
@click.option("--tag", help="Those with this tag alone.")
@click.option("--csv", "is_csv", is_flag=True, help="All of them, closed or not, as CSV for a spreadsheet.")
async def merchant_list(context: CommandContext, is_closed: bool, tag: str | None, is_csv: bool) -> None:
    """List merchants; those that are closed have a list of their own."""
    merchants = context.farebox.services.merchants
    context.ensure_one_format(is_csv=is_csv)
    if is_csv:
        wanted = merchant_filter(is_closed=True if is_closed else None, tag=tag)
        await print_pieces(merchants_csv(merchants, wanted))
        return
    found = await merchants.list(wanted=merchant_filter(is_closed=is_closed, tag=tag))
    rows = [
        (
            ids.public_id(ids.MERCHANT, merchant.merchant_id),
            merchant.name,
            format_money(account.available, account.currency),
            account.currency,
            _state(account),
        )
        for merchant, account in found
    ]
    context.answer(
        [merchant_data(*pair) for pair in found],
        table(("merchant", "name", "available", "currency", "state"), rows, right=(2,))
        or [
            "There are no such merchants."
            if is_closed or tag
            else "There are no merchants yet; add one with: farebox merchant create NAME --currency USD"
        ],
    )


@command("show", group=merchant_group)
@click.argument("merchant")
async def merchant_show(context: CommandContext, merchant: str) -> None:
    """Show a merchant and its account."""
    found = await context.farebox.services.merchants.get(merchant_id(merchant))
    context.answer(merchant_data(*found), _merchant_text(*found))


@command("freeze", group=merchant_group)
@click.argument("merchant")
async def merchant_freeze(context: CommandContext, merchant: str) -> None:
    """Stop a merchant's spending at once; top-ups and reading go on."""
    await _set_frozen(context, merchant, is_frozen=True)


@command("unfreeze", group=merchant_group)
@click.argument("merchant")
async def merchant_unfreeze(context: CommandContext, merchant: str) -> None:
    """Let a frozen merchant spend again."""
    await _set_frozen(context, merchant, is_frozen=False)


async def _set_frozen(context: CommandContext, merchant: str, *, is_frozen: bool) -> None:
    number = merchant_id(merchant)
    ensure_done(
        await context.farebox.services.operations.set_frozen(number, is_frozen=is_frozen, principal=context.principal)
    )
    found = await context.farebox.services.merchants.get(number)
    context.answer(merchant_data(*found), f"{found[0].name} is {'frozen' if is_frozen else 'active'}.")


@command("close", group=merchant_group)
@click.argument("merchant")
@click.option("--reason", required=True, help="Why; it stands in the audit log.")
async def merchant_close(context: CommandContext, merchant: str, reason: str) -> None:
    """Close a merchant that has no money left: its keys open nothing, and no money of it moves."""
    await _set_closed(context, merchant, reason, is_closed=True)


@command("reopen", group=merchant_group)
@click.argument("merchant")
@click.option("--reason", required=True, help="Why; it stands in the audit log.")
async def merchant_reopen(context: CommandContext, merchant: str, reason: str) -> None:
    """Open a closed merchant again; its keys that were neither revoked nor expired work again."""
    await _set_closed(context, merchant, reason, is_closed=False)


async def _set_closed(context: CommandContext, merchant: str, reason: str, *, is_closed: bool) -> None:
    number, services = merchant_id(merchant), context.farebox.services
    outcome = await services.operations.set_closed(
        number, is_closed=is_closed, reason=reason, principal=context.principal
    )
    ensure_done(outcome)
    found = await services.merchants.get(number)
    before = "; it was so before, and nothing is changed" if outcome.is_replay else ""
    context.answer(
        {**as_fields(merchant_data(*found)), "isReplay": outcome.is_replay},
        f"{found[0].name} is {'closed' if is_closed else 'open'}{before}.",
    )


@command("note", group=merchant_group)
@click.argument("merchant")
@click.argument("text")
async def merchant_note(context: CommandContext, merchant: str, text: str) -> None:
    """Note something about a merchant, for the staff alone; it stays, and stands in the audit log too."""
    note = await context.farebox.services.annotations.note(merchant_id(merchant), text, principal=context.principal)
    context.answer(note_data(note), "It is noted.")


@command("notes", group=merchant_group)
@click.argument("merchant")
@click.option("--limit", type=click.IntRange(1, 1_000), default=100, show_default=True, help="How many at most.")
async def merchant_notes(context: CommandContext, merchant: str, limit: int) -> None:
    """List what was noted about a merchant, the newest first."""
    number, services = merchant_id(merchant), context.farebox.services
    await services.merchants.get(number)
    notes = await services.annotations.notes(number, before=None, limit=limit)
    names = await services.audit_log.names()
    rows = [(short_time(note.created_at), called(note.author, names), note.text) for note in notes]
    context.answer(
        [note_data(note) for note in notes], table(("when (UTC)", "who", "note"), rows) or ["Nothing was noted yet."]
    )


@command("set", group=merchant_group)
@click.argument("merchant")
@click.option("--threshold", multiple=True, help='Warn below this posted balance, up to five times; "" for none.')
@click.option("--days-left", multiple=True, help='Warn below so many days left, up to three times; "" for none.')
@click.option("--credit-limit", help="How far below zero the merchant may spend.")
@click.option("--name", help="What to call the merchant.")
@click.option("--tag", multiple=True, help='A tag to find it by, up to twenty times; "" for none.')
async def merchant_set(
    context: CommandContext,
    merchant: str,
    threshold: tuple[str, ...],
    days_left: tuple[str, ...],
    credit_limit: str | None,
    name: str | None,
    tag: tuple[str, ...],
) -> None:
    """Change a merchant's thresholds (all of them, in money or in days left), credit limit, name or tags (all)."""
    if not threshold and not days_left and credit_limit is None and name is None and not tag:
        raise InvalidInput("set", "name what to change: --threshold, --days-left, --credit-limit, --name or --tag")
    number = merchant_id(merchant)
    thresholds = [
        await context.typed_amount("thresholds", amount, number, is_zero_allowed=True, is_minus_allowed=True)
        for amount in threshold
        if amount
    ]
    if credit_limit is not None:
        credit_limit = await context.typed_amount("creditLimit", credit_limit, number, is_zero_allowed=True)
    change = MerchantFields(
        name=name,
        thresholds=thresholds if threshold else None,
        runway_thresholds=[inputs.typed_days("daysLeft", text) for text in days_left if text] if days_left else None,
        credit_limit=credit_limit,
        tags=[text for text in tag if text] if tag else None,
    )
    limited = await context.farebox.services.merchant_changes.apply(number, change, principal=context.principal)
    if limited is not None and answer_waiting(context, limited):
        return
    found = await context.farebox.services.merchants.get(number)
    context.answer(merchant_data(*found), _merchant_text(*found))
