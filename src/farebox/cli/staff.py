"""Commands for those who sign in at the support console; the first of them can be let in from here alone."""

from typing import Any, Final

import click

from farebox.cli.context import CommandContext, as_fields, command, short_time, table
from farebox.core.staff_roles import STAFF_ROLES, roles_in_words
from farebox.presenters.fields import time_or_none
from farebox.presenters.users import staff_data, staff_state
from farebox.service.people.warnings import WARNING_TYPES, warned_types
from farebox.storage.records import AccountMail

ROLE_OPTION: Final = click.option(
    "--role",
    type=click.Choice(list(STAFF_ROLES)),
    multiple=True,
    help="What they may do; support and administrator may be given together, each by a --role.",
)
NO_EVENT: Final = "none"
"""Stands in a command for no event at all."""


@click.group("staff")
def staff_group() -> None:
    """Support staff: who may sign in at the console."""


@command("add", group=staff_group)
@click.argument("email")
@click.option("--name", required=True, help="What to call them.")
@ROLE_OPTION
async def staff_add(context: CommandContext, email: str, name: str, role: tuple[str, ...]) -> None:
    """Let somebody sign in; prints the link by which they choose a password, and a running server mails it.

    Without --role the first of the staff is support and administrator, and all others are support.
    """
    login, mail = await context.farebox.services.staff.add(
        email, name, roles=[STAFF_ROLES[word] for word in role], principal=context.principal
    )
    answer_link(context, mail, as_fields(staff_data(login)))


@command("list", group=staff_group)
async def staff_list(context: CommandContext) -> None:
    """List support staff, those who are closed included."""
    staff = await context.farebox.services.staff.list()
    rows = [
        (
            login.email,
            login.name,
            roles_in_words(login.roles),
            staff_state(login),
            "" if login.signed_in_at is None else short_time(login.signed_in_at),
            "" if login.totp_seed is None else "yes",
            "to be confirmed" if login.counts_as else "",
        )
        for login in staff
    ]
    context.answer(
        [staff_data(login) for login in staff],
        table(("address", "name", "role", "state", "last signed in (UTC)", "one-time codes", "person"), rows)
        or ["Nobody may sign in at the console yet; add somebody with: farebox staff add EMAIL --name NAME"],
    )


@command("role", group=staff_group)
@click.argument("email")
@click.argument("roles", type=click.Choice(list(STAFF_ROLES)), nargs=-1, required=True, metavar="ROLE...")
async def staff_role(context: CommandContext, email: str, roles: tuple[str, ...]) -> None:
    """Change what somebody may do: viewer, support or administrator, or the last two together."""
    login = await context.farebox.services.staff.set_roles(
        email, [STAFF_ROLES[word] for word in roles], principal=context.principal
    )
    context.answer(staff_data(login), f"{login.email} is {roles_in_words(login.roles)} now.")


@command("close", group=staff_group)
@click.argument("email")
async def staff_close(context: CommandContext, email: str) -> None:
    """Let somebody sign in no more, and sign them out."""
    await context.farebox.services.staff.close(email, principal=context.principal)
    context.answer({"email": email, "isClosed": True}, f"{email} can't sign in any more.")


@command("reopen", group=staff_group)
@click.argument("email")
async def staff_reopen(context: CommandContext, email: str) -> None:
    """Let somebody sign in again."""
    await context.farebox.services.staff.reopen(email, principal=context.principal)
    context.answer({"email": email, "isClosed": False}, f"{email} can sign in again.")


@command("confirm", group=staff_group)
@click.argument("email")
async def staff_confirm(context: CommandContext, email: str) -> None:
    """Say that somebody is a person of their own, who may approve what the one who invited them asks for."""
    login = await context.farebox.services.staff.confirm(email, principal=context.principal)
    context.answer(staff_data(login), f"{login.email} is a person of their own.")


@command("link", group=staff_group)
@click.argument("email")
async def staff_link(context: CommandContext, email: str) -> None:
    """Print a new link by which somebody chooses a password; a running server mails it as well."""
    answer_link(context, await context.farebox.services.staff.invite_again(email, principal=context.principal), {})


@command("warn", group=staff_group)
@click.argument("email")
@click.argument("events", type=click.Choice([*WARNING_TYPES, NO_EVENT]), nargs=-1, metavar="[EVENT...]")
async def staff_warn(context: CommandContext, email: str, events: tuple[str, ...]) -> None:
    """Show which events somebody is warned of by mail; or choose them, each by its name, or `none`."""
    choices = context.farebox.services.warning_choices
    if events:
        wanted = [name for name in events if name != NO_EVENT]
        if len(wanted) < len(events) and wanted:
            raise click.UsageError(f"give events, or {NO_EVENT} alone")
        login = await choices.set(email, wanted, principal=context.principal)
    else:
        login = await choices.find(email)
    context.answer(staff_data(login), f"{login.email} is warned of {', '.join(warned_types(login)) or 'nothing'}.")


@command("remove-codes", group=staff_group)
@click.argument("email")
async def staff_remove_codes(context: CommandContext, email: str) -> None:
    """Ask somebody who lost their authenticator for no one-time codes any more."""
    await context.farebox.services.staff.disable_two_factor(email, principal=context.principal)
    context.answer({"email": email, "hasCodes": False}, f"{email} signs in without one-time codes.")


def answer_link(context: CommandContext, mail: AccountMail, data: dict[str, Any]) -> None:
    """Print a mail's link, which is good once; the database keeps no text of it."""
    settings = context.farebox.settings
    link = f"{settings.links_url}/link/{context.farebox.services.sign_in.link_text(mail)}"
    notes = (
        [] if settings.public_url else [f"FAREBOX_PUBLIC_URL is not set: {settings.links_url} stands for the server."]
    )
    context.answer(
        {**data, "email": mail.email, "link": link, "expiresAt": time_or_none(mail.expires_at)},
        [
            link,
            f"By it {mail.email} chooses a password. It is good once, until {short_time(mail.expires_at)} UTC.",
            *notes,
        ],
    )
