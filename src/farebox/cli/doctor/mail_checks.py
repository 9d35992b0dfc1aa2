"""Mail: whether the mail server lets us in as it would for a mail; none is sent."""

import os
from typing import Final

from farebox.alerts.smtp_url import read_smtp_url
from farebox.alerts.transport import TransientFailure
from farebox.bootstrap import MAIL_FOLDER
from farebox.cli.doctor.findings import CheckContext, Finding, error, ok, warn

_ADVICE_SERVER: Final = (
    "see that FAREBOX_SMTP_URL names the right host, port, user and password, and that it can be reached"
)


async def check_mail(context: CheckContext) -> list[Finding]:
    """Tell whether mails would get away."""
    check, settings = "mail.server", context.settings
    if "smtp_url" in context.unread:
        return []
    if not settings.smtp_url:
        folder = context.folder / MAIL_FOLDER
        where = str(folder)
        if not os.access(folder if folder.is_dir() else context.folder, os.W_OK):
            return [
                error(check, where, "mails are to be written there, and it can't be written to", "chmod or chown it")
            ]
        found = "no mail server is set: mails are written there, and reach nobody"
        return [warn(check, where, found, "set FAREBOX_SMTP_URL")]
    from farebox.alerts.smtp import SmtpTransport

    server = read_smtp_url(settings.smtp_url)
    where = settings.mail_server
    transport = SmtpTransport(settings.smtp_url, timeout_seconds=context.limits.answer_seconds_max)
    try:
        await transport.check()
    except TransientFailure as problem:
        return [error(check, where, str(problem), _ADVICE_SERVER)]
    is_encrypted = server.is_tls or server.is_starttls
    login = "and lets us log in" if server.username is not None else "and asks for no login"
    if not is_encrypted and not server.is_on_this_machine:
        what = "the password and all mails" if server.username is not None else "all mails, sign-in links too,"
        return [warn(check, where, f"{what} go there in the clear", "write smtps://, or ?starttls=true")]
    return [ok(check, where, f"it answers {'by TLS ' if is_encrypted else ''}{login}")]
