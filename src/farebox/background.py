"""What a server does beside answering: holds expire, mails go out, figures for people are kept up to date.

It is put on the parts that `bootstrap` builds, and belongs to servers alone: no command imports what mail needs.
"""

from farebox.alerts.account_mail import AccountMails
from farebox.alerts.dispatcher import Dispatcher
from farebox.alerts.messages import MailSettings
from farebox.alerts.outbox import Outbox
from farebox.alerts.smtp import FolderTransport, SmtpTransport, Transport
from farebox.bootstrap import MAIL_FOLDER, Farebox
from farebox.config import Settings
from farebox.core.accounts import Account
from farebox.service.insight.forecast import in_words, read_runway
from farebox.service.insight.runway_snapshots import ROUND_SECONDS, RunwaySnapshots
from farebox.service.insight.usage import ROLLUP_SECONDS
from farebox.service.ledger.expiry import SWEEP_SECONDS, Expiry
from farebox.service.operator.throughput import SAMPLE_SECONDS
from farebox.service.people.key_last_used import WRITE_SECONDS
from farebox.service.periodic import Periodic


def make_transport(settings: Settings) -> Transport:
    """Make what takes the mails away: the mail server that the settings name, or the mail folder."""
    return SmtpTransport(settings.smtp_url) if settings.smtp_url else FolderTransport(MAIL_FOLDER)


def background_work(farebox: Farebox) -> tuple[Periodic, ...]:
    """List what a server does beside answering, and how often."""
    return (
        Periodic(
            "holds to expire",
            Expiry(farebox.store, farebox.committer, farebox.clock).expire_due,
            pause_seconds=SWEEP_SECONDS,
        ),
        *_deliveries(farebox),
        Periodic("usage rollups", farebox.usage_rollup.roll_up, pause_seconds=ROLLUP_SECONDS),
        Periodic(
            "runway snapshots",
            RunwaySnapshots(farebox.store, farebox.office, farebox.clock).refresh_stretch,
            pause_seconds=ROUND_SECONDS,
        ),
        Periodic(
            "uses of keys",
            farebox.key_last_used.write,
            pause_seconds=WRITE_SECONDS,
            is_pause_first=True,
            on_stop=farebox.key_last_used.write,
        ),
        Periodic(
            "samples of throughput",
            farebox.services.throughput.sample,
            pause_seconds=SAMPLE_SECONDS,
            is_pause_first=True,
        ),
    )


def _deliveries(farebox: Farebox) -> tuple[Periodic, ...]:
    settings = farebox.settings
    mail_settings = MailSettings(settings.mail_from, settings.public_url, settings.support_contact)
    transport = make_transport(settings)

    async def describe_runway(account: Account, now: int) -> str | None:
        return in_words(await read_runway(farebox.store, account, now))

    alerts = Dispatcher(
        Outbox(farebox.store, mail_settings, now=farebox.clock.now, describe_runway=describe_runway),
        transport,
        now=farebox.clock.now,
    )
    account_mails = Dispatcher(
        AccountMails(farebox.store, farebox.people, mail_settings, link_text=farebox.services.sign_in.link_text),
        transport,
        now=farebox.clock.now,
    )
    return alerts.periodic("alert mails"), account_mails.periodic("account mails")
