"""Commands that set things up: merchants, users and keys."""

import re
from typing import Final

import click

from farebox.cli.context import (
    CommandContext,
    as_fields,
    command,
    merchant_id,
    merchant_id_or_none,
    print_pieces,
    short_time,
    table,
)
from farebox.cli.money import answer_waiting
from farebox.cli.staff import ROLE_OPTION, answer_link
from farebox.core import ids
from farebox.core.accounts import Account
from farebox.core.commands import KeyKind
from farebox.core.currencies import format_money, format_money_with_code
from farebox.core.staff_roles import STAFF_ROLES, role_words
from farebox.presenters.audit_words import called
from farebox.presenters.keys import KEY_KIND_WORDS, budget_words, key_data, key_state
from farebox.presenters.merchants import merchant_data, new_merchant_data, threshold_remark
from farebox.presenters.notes import note_data
from farebox.presenters.users import user_data
from farebox.service import inputs
from farebox.service.errors import InvalidInput, ensure_done
from farebox.service.operator.merchant_changes import MerchantFields
from farebox.service.operator.merchant_export import merchants_csv
from farebox.service.operator.merchants import OVERLAP_SECONDS_DEFAULT, NewKey, merchant_filter
from farebox.service.people.users import ROLES
from farebox.service.typed_amounts import typed_amount
from farebox.storage.records import ApiKey, Merchant

_DURATION: Final = re.compile(r"([0-9]{1,6})([smhd]?)", re.ASCII)
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


@click.group("merchant")
def merchant_group() -> None:
    """Add merchants, look at them, change them."""


@click.group("user")
def user_group() -> None:
    """The people who are told when a merchant's balance runs low, and who may sign in."""


@click.group("key")
def key_group() -> None:
    """API keys: a merchant's reads its account, a service's charges, support's administers."""


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


@command("add", group=user_group)
@click.argument("merchant")
@click.argument("email")
@click.option("--role", type=click.Choice(list(ROLES)), help="An owner, if nobody is there yet, else a member.")
async def user_add(context: CommandContext, merchant: str, email: str, role: str | None) -> None:
    """Register a person on a merchant's account; who is registered gets its alerts and may sign in."""
    user = await context.farebox.services.merchants.add_user(
        merchant_id(merchant), email, role=None if role is None else ROLES[role], principal=context.principal
    )
    context.answer(user_data(user), f"{user.email} gets the alerts of {merchant}.")


@command("link", group=user_group)
@click.argument("merchant")
@click.argument("email")
async def user_link(context: CommandContext, merchant: str, email: str) -> None:
    """Print a link by which a registered person chooses a password; a running server mails it as well."""
    address = inputs.email("EMAIL", email)
    mail = await context.farebox.services.users.invite_again(
        merchant_id(merchant), address, principal=context.principal
    )
    answer_link(context, mail, {})


@command("list", group=user_group)
@click.argument("merchant")
async def user_list(context: CommandContext, merchant: str) -> None:
    """List the people registered on a merchant's account."""
    users = await context.farebox.services.merchants.users(merchant_id(merchant))
    context.answer(
        [user_data(user) for user in users],
        [user.email for user in users] or [f"Nobody gets the alerts of {merchant} yet; see: farebox user add"],
    )


@command("remove", group=user_group)
@click.argument("merchant")
@click.argument("email")
async def user_remove(context: CommandContext, merchant: str, email: str) -> None:
    """Take a person off a merchant's account."""
    await context.farebox.services.users.remove(
        merchant_id(merchant), email, is_owner_needed=False, principal=context.principal
    )
    context.answer({"email": email, "isRemoved": True}, f"{email} gets no more alerts of {merchant}.")


def _answer_new_key(context: CommandContext, key: NewKey) -> None:
    context.answer(
        {**as_fields(key_data(key.key)), "apiKey": key.text},
        [
            f"keyId   {ids.public_id(ids.KEY, key.key.key_id)}",
            f"apiKey  {key.text}",
            "Keep the key: it is shown this once.",
        ],
    )


@command("create", group=key_group)
@click.option("--merchant", help="A key that reads this merchant's account.")
@click.option("--service", help="A key with which this program of yours charges.")
@click.option("--support", help="A key with which this person or tool administers.")
@click.option("--name", help="What a merchant uses its key for.")
@ROLE_OPTION
@click.option("--expires", help="When it ends, such as 2027-01-31T12:00:00Z; never, if not given.")
async def key_create(
    context: CommandContext,
    merchant: str | None,
    service: str | None,
    support: str | None,
    name: str | None,
    role: tuple[str, ...],
    expires: str | None,
) -> None:
    """Make an API key, which is shown this once. A support key without --role may do everything."""
    if sum(owner is not None for owner in (merchant, service, support)) != 1:
        raise InvalidInput("key", "name one owner: --merchant ID, --service NAME or --support NAME")
    if name is not None and merchant is None:
        raise InvalidInput("name", "a service's or support's key has the name that --service or --support gives")
    merchants = context.farebox.services.merchants
    roles = [STAFF_ROLES[word] for word in role]
    if merchant is not None:
        key = await merchants.create_key(
            KeyKind.MERCHANT,
            merchant_id=merchant_id(merchant),
            name=name,
            roles=roles,
            expires=expires,
            principal=context.principal,
        )
    else:
        kind = KeyKind.SERVICE if service is not None else KeyKind.SUPPORT
        inputs.name("service" if service is not None else "support", service or support or "")
        key = await merchants.create_key(
            kind, name=service or support or "", roles=roles, expires=expires, principal=context.principal
        )
    _answer_new_key(context, key)


@command("list", group=key_group)
@click.option("--merchant", help="This merchant's keys; the services' and support's, if not given.")
async def key_list(context: CommandContext, merchant: str | None) -> None:
    """List API keys by their first and last characters."""
    keys = await context.farebox.services.merchants.keys(merchant_id_or_none(merchant))
    budgets = await context.farebox.services.key_budgets.of(keys)
    rows = [
        (
            ids.public_id(ids.KEY, key.key_id),
            KEY_KIND_WORDS[key.kind],
            key.name or "",
            " and ".join(role_words(key.roles)),
            key.hint,
            _key_state(key, context.farebox.clock.now()),
            budget_words(budgets.get(key.key_id)),
        )
        for key in keys
    ]
    context.answer(
        [key_data(key, budgets.get(key.key_id)) for key in keys],
        table(("key", "kind", "name", "role", "looks like", "state", "budget"), rows) or ["There are no such keys."],
    )


def _key_state(key: ApiKey, now: int) -> str:
    match key_state(key, now):
        case "revoked":
            return f"revoked {short_time(key.revoked_at or now)}"
        case "suspended":
            return f"suspended {short_time(key.suspended_at or now)}"
        case "ending":
            return f"valid until {short_time(key.expires_at or now)}"
        case "expired":
            return f"expired {short_time(key.expires_at or now)}"
        case state:
            return state


@command("revoke", group=key_group)
@click.argument("key_id")
async def key_revoke(context: CommandContext, key_id: str) -> None:
    """Close an API key at once and for ever."""
    is_done_now = await context.farebox.services.merchants.revoke_key(
        inputs.public_id("KEY_ID", ids.KEY, key_id), principal=context.principal
    )
    before = "" if is_done_now else " It had been revoked before; nothing is changed."
    context.answer(
        {"keyId": key_id, "isRevoked": True, "isReplay": not is_done_now}, f"{key_id} opens nothing any more.{before}"
    )


@command("suspend", group=key_group)
@click.argument("key_id")
async def key_suspend(context: CommandContext, key_id: str) -> None:
    """Let a merchant's API key open nothing, at once, until it is resumed."""
    number = inputs.public_id("KEY_ID", ids.KEY, key_id)
    is_done_now = await context.farebox.services.merchants.suspend_key(number, principal=context.principal)
    before = "" if is_done_now else " It was suspended before."
    context.answer(
        {"keyId": key_id, "isSuspended": True, "isReplay": not is_done_now},
        f"{key_id} opens nothing until it is resumed.{before}",
    )


@command("resume", group=key_group)
@click.argument("key_id")
async def key_resume(context: CommandContext, key_id: str) -> None:
    """Let a suspended API key of a merchant's open what it did before."""
    number = inputs.public_id("KEY_ID", ids.KEY, key_id)
    is_done_now = await context.farebox.services.merchants.resume_key(number, principal=context.principal)
    before = "" if is_done_now else " It was not suspended."
    context.answer(
        {"keyId": key_id, "isSuspended": False, "isReplay": not is_done_now}, f"{key_id} is not suspended.{before}"
    )


@command("expire", group=key_group)
@click.argument("key_id")
@click.argument("expires")
async def key_expire(context: CommandContext, key_id: str, expires: str) -> None:
    """Let an API key end at a time to come, such as 2027-01-31T12:00:00Z, earlier or later than it was to."""
    number = inputs.public_id("KEY_ID", ids.KEY, key_id)
    key = await context.farebox.services.merchants.expire_key(number, expires, principal=context.principal)
    context.answer(key_data(key), f"{key_id} ends {short_time(key.expires_at or 0)} UTC.")


@command("rotate", group=key_group)
@click.argument("key_id")
@click.option("--overlap", default=f"{OVERLAP_SECONDS_DEFAULT // 3600}h", show_default=True, help="As 90m, 24h, 7d.")
async def key_rotate(context: CommandContext, key_id: str, overlap: str) -> None:
    """Make an API key's successor; the old one goes on for a while."""
    match = _DURATION.fullmatch(overlap)
    if match is None:
        raise InvalidInput("overlap", f"{overlap!r} is not a length of time; write one such as 90m, 24h or 7d")
    seconds = int(match[1]) * _SECONDS[match[2]]
    number = inputs.public_id("KEY_ID", ids.KEY, key_id)
    _answer_new_key(
        context,
        await context.farebox.services.merchants.rotate_key(
            number, overlap_seconds=seconds, principal=context.principal
        ),
    )


@command("assign", group=key_group)
@click.argument("key_id")
@click.option("--staff", help="The e-mail address of the one of the staff who has this key.")
@click.option("--operator", "is_operator", is_flag=True, help="The key is the operator's own, as one made here.")
async def key_assign(context: CommandContext, key_id: str, staff: str | None, is_operator: bool) -> None:
    """Say whose a service's or support's key is, so that approvals know whom it counts as."""
    if (staff is None) != is_operator:
        raise InvalidInput("assign", "name whose key it is: --staff EMAIL or --operator")
    number = inputs.public_id("KEY_ID", ids.KEY, key_id)
    key = await context.farebox.services.staff.assign_key(number, staff, principal=context.principal)
    context.answer(key_data(key), f"{key_id} counts as {staff or 'the command line'}.")
