"""The people of merchants' accounts, from a shell: registered, invited, taken off and deleted."""

import click

from farebox.cli.context import CommandContext, command, merchant_id
from farebox.cli.staff import answer_link
from farebox.presenters.users import user_data
from farebox.service import inputs
from farebox.service.people.erasure import KeptOfPerson
from farebox.service.people.users import ROLES


@click.group("user")
def user_group() -> None:
    """The people who are told when a merchant's balance runs low, and who may sign in."""


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


@command("delete", group=user_group)
@click.argument("email")
@click.option("--dry-run", is_flag=True, help="Show what would go; change nothing.")
async def user_delete(context: CommandContext, email: str, dry_run: bool) -> None:
    """Delete what is kept of a person who is a user of no account any more.

    Their login, sessions, reports and mails about the account go. The mails of alerts and the audit log go on telling
    what happened, and name nobody. No book is touched.
    """
    erasure = context.farebox.services.erasure
    ask = erasure.kept if dry_run else erasure.delete
    kept = await ask(email, principal=context.principal)
    lines = [f"{count:>7}  {words}" for count, words in _counted(kept)]
    if kept.staff_logins:
        lines.append("They are support staff as well, so the audit log goes on naming them.")
    first = f"Of {email} this would go:" if dry_run else f"Of {email} this is gone:"
    last = ["Nothing was changed: this was a dry run."] if dry_run else []
    context.answer(
        {
            "email": email,
            "isDeleted": not dry_run,
            "logins": kept.logins,
            "sessions": kept.sessions,
            "reports": kept.report_choices,
            "accountMails": kept.account_mails,
            "alertMails": kept.alert_mails,
            "auditEntries": 0 if kept.staff_logins else kept.audit_entries,
        },
        [first, *lines, *last],
    )


def _counted(kept: KeptOfPerson) -> list[tuple[int, str]]:
    rows = [
        (kept.logins, "login, with password and one-time codes", "logins, with passwords and one-time codes"),
        (kept.sessions, "session", "sessions"),
        (kept.report_choices, "report that was wanted", "reports that were wanted"),
        (kept.account_mails, "mail about the account", "mails about the account"),
        (kept.alert_mails, "address of a mail of an alert", "addresses of mails of alerts"),
        (0 if kept.staff_logins else kept.audit_entries, "name in the audit log", "names in the audit log"),
    ]
    return [(count, one if count == 1 else many) for count, one, many in rows]
