"""API keys, from a shell: made, listed, rotated and closed, and what they are called and may spend."""

import re
from typing import Final

import click

from farebox.cli.context import CommandContext, as_fields, command, merchant_id, merchant_id_or_none, short_time, table
from farebox.cli.staff import ROLE_OPTION
from farebox.core import ids
from farebox.core.commands import KeyKind
from farebox.core.staff_roles import STAFF_ROLES, role_words
from farebox.presenters.keys import KEY_KIND_WORDS, budget_words, key_data, key_state
from farebox.service import inputs
from farebox.service.errors import InvalidInput
from farebox.service.operator.merchants import OVERLAP_SECONDS_DEFAULT, NewKey
from farebox.storage.records import ApiKey

_DURATION: Final = re.compile(r"([0-9]{1,6})([smhd]?)", re.ASCII)
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


@click.group("key")
def key_group() -> None:
    """API keys: a merchant's reads its account, a service's charges, support's administers."""


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


@command("rename", group=key_group)
@click.argument("key_id")
@click.argument("name", required=False)
async def key_rename(context: CommandContext, key_id: str, name: str | None) -> None:
    """Give an API key another name; without one, a merchant's key loses its own."""
    number = inputs.public_id("KEY_ID", ids.KEY, key_id)
    key = await context.farebox.services.key_budgets.rename(number, name, principal=context.principal)
    budget = await context.farebox.services.key_budgets.of_key(key)
    context.answer(key_data(key, budget), f"{key_id} is called {name}." if name else f"{key_id} has no name.")


@command("budget", group=key_group)
@click.argument("key_id")
@click.option("--day", help="What it may spend in a day, such as 10.00.")
@click.option("--week", help="What it may spend in a week, from Monday on.")
@click.option("--month", help="What it may spend in a month.")
@click.option("--total", help="What it may spend in all.")
@click.option("--time-zone", default="UTC", show_default=True, help="Whose days these are, such as Europe/Berlin.")
@click.option("--none", "is_none", is_flag=True, help="It may spend all there is.")
async def key_budget(
    context: CommandContext,
    key_id: str,
    day: str | None,
    week: str | None,
    month: str | None,
    total: str | None,
    time_zone: str,
    is_none: bool,
) -> None:
    """Set what a merchant's API key may spend, with its predecessors and successors; it replaces the budget before."""
    number = inputs.public_id("KEY_ID", ids.KEY, key_id)
    named = {"day": day, "week": week, "month": month, "total": total}
    if is_none == any(text is not None for text in named.values()):
        raise InvalidInput("budget", "name a limit (--day, --week, --month, --total), or --none for no budget")
    budgets, merchants = context.farebox.services.key_budgets, context.farebox.services.merchants
    whose = (await merchants.key(number)).merchant_id
    limits = {
        word: await context.typed_amount(word, text, whose, is_zero_allowed=True)
        for word, text in named.items()
        if text is not None
    }
    key = await budgets.set(number, limits, zone=time_zone, principal=context.principal)
    budget = await budgets.of_key(key)
    context.answer(key_data(key, budget), f"{key_id} may spend {budget_words(budget) or 'all there is'}.")
