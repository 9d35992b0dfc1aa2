"""Deleting a person who was a merchant's user, from a shell."""

import click

from farebox.cli.admin import user_group
from farebox.cli.context import CommandContext, command
from farebox.service.people.erasure import KeptOfPerson


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
