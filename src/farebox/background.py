"""What a server does beside answering: holds expire, grants start and end, mails go out, figures are kept up to date.

It is put on the parts that `bootstrap` builds, and belongs to servers alone: no command imports what mail needs.
"""

from email.message import EmailMessage
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from farebox.alerts import relay
from farebox.alerts.account_mail import AccountMails
from farebox.alerts.dispatcher import Dispatcher
from farebox.alerts.mail import MailSettings
from farebox.alerts.operator_files import load_operator_files
from farebox.alerts.outbox import Outbox
from farebox.alerts.report_mail import ReportMails, ReportWriter
from farebox.alerts.staff_warnings import StaffWarnings
from farebox.alerts.transport import FolderTransport, Transport
from farebox.bootstrap import MAIL_FOLDER, Farebox
from farebox.config import Settings
from farebox.service.address_guard import AddressGuard
from farebox.service.insight import refusals
from farebox.service.insight.forecast import RunwayReader
from farebox.service.insight.runway_snapshots import ROUND_SECONDS, RunwaySnapshots
from farebox.service.insight.usage import ROLLUP_REST_SECONDS, ROLLUP_SECONDS, UsageRollup
from farebox.service.ledger.expiry import SWEEP_SECONDS, Expiry
from farebox.service.ledger.grant_sweep import GrantSweep
from farebox.service.operator.database_watch import WATCH_SECONDS, DatabaseWatch
from farebox.service.operator.grant_notices import NOTICE_SECONDS, GrantNotices
from farebox.service.operator.spending_watch import LOOK_SECONDS
from farebox.service.operator.throughput import SAMPLE_SECONDS
from farebox.service.people.destination_secrets import DestinationSecrets
from farebox.service.people.key_last_used import WRITE_SECONDS
from farebox.service.periodic import Periodic
from farebox.service.repeats import FORGET_SECONDS
from farebox.service.reports.sweep import REPORT_SECONDS, ReportSweep
from farebox.storage.destination_records import Channel
from farebox.webhooks.client import WebhookClient
from farebox.webhooks.dispatcher import DeliveryTimes, DestinationDispatcher
from farebox.webhooks.history import HISTORY_FORGET_SECONDS, AttemptHistory
from farebox.webhooks.send_result import SEND_SECONDS_MAX
from farebox.webhooks.transport import WebhookTransport


class DeliveryLimits(Struct, frozen=True):
    """How long deliveries take and wait, and how often it is looked whether some are owed; tests have shorter ones."""

    mail_seconds_max: float = relay.SEND_SECONDS_MAX
    message_seconds_max: float = SEND_SECONDS_MAX
    message_times: DeliveryTimes = DeliveryTimes()
    look_seconds: float = LOOK_SECONDS
    """Between looks at what merchants spend."""


DELIVERY_LIMITS: Final = DeliveryLimits()


def make_transport(settings: Settings) -> Transport[EmailMessage]:
    """Make what takes the mails away: the mail server that the settings name, or the mail folder."""
    if not settings.smtp_url:
        return FolderTransport(MAIL_FOLDER)
    from farebox.alerts.smtp import SmtpTransport

    return SmtpTransport(settings.smtp_url)


def make_mail_settings(settings: Settings) -> tuple[MailSettings, tuple[str, ...]]:
    """Read what mails need of the settings, and of the operator's files; tell which of those can't be used, and why."""
    plain = MailSettings(
        mail_from=settings.mail_from,
        public_url=settings.links_url,
        support_contact=settings.support_contact,
        operator=settings.operator_name,
        language=settings.language,
    )
    files = load_operator_files(plain, logo_file=settings.logo_file, folder=settings.templates)
    return replace(plain, logo=files.logo, templates=files.templates), files.problems


def background_work(farebox: Farebox, limits: DeliveryLimits = DELIVERY_LIMITS) -> tuple[Periodic, ...]:
    """List what a server does beside answering, and how often."""
    return (
        Periodic(
            "holds to expire",
            Expiry(farebox.stores.holds, farebox.committer, farebox.clock).expire_due,
            pause_seconds=SWEEP_SECONDS,
        ),
        Periodic(
            "grants to settle",
            GrantSweep(farebox.stores.grants, farebox.committer, farebox.clock).settle_due,
            pause_seconds=SWEEP_SECONDS,
        ),
        Periodic(
            "notices of credit that ends",
            GrantNotices(farebox.stores.deliveries, farebox.clock, days=farebox.settings.credit_notice_days).owe_due,
            pause_seconds=NOTICE_SECONDS,
        ),
        Periodic("reports to owe", ReportSweep(farebox.stores, farebox.clock).owe_due, pause_seconds=REPORT_SECONDS),
        *_mails(farebox, limits),
        *_messages(farebox, limits),
        Periodic(
            "looks at the database",
            DatabaseWatch(farebox.stores.connector).look,
            pause_seconds=WATCH_SECONDS,
            is_pause_first=True,
        ),
        Periodic("looks at spending", farebox.spending_watch.look, pause_seconds=limits.look_seconds),
        *_rollups(farebox.usage_rollup),
        Periodic(
            "runway snapshots",
            RunwaySnapshots(farebox.stores, farebox.clock).refresh_stretch,
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
            "counts of refusals",
            farebox.refusal_counts.write,
            pause_seconds=refusals.WRITE_SECONDS,
            is_pause_first=True,
            on_stop=farebox.refusal_counts.write,
        ),
        Periodic(
            "refusals to forget",
            farebox.refusal_counts.forget_old,
            pause_seconds=refusals.FORGET_SECONDS,
            is_pause_first=True,
        ),
        Periodic(
            "repeats to forget", farebox.services.repeats.forget_old, pause_seconds=FORGET_SECONDS, is_pause_first=True
        ),
        Periodic(
            "samples of throughput",
            farebox.services.throughput.sample,
            pause_seconds=SAMPLE_SECONDS,
            is_pause_first=True,
        ),
    )


def _rollups(usage_rollup: UsageRollup) -> tuple[Periodic, ...]:
    """List what sums books up for figures, which are as exact without."""
    return (
        Periodic("usage rollups", usage_rollup.roll_up, pause_seconds=ROLLUP_SECONDS),
        # A server that has just started is busy with those who waited for it.
        Periodic(
            "rollups of all books", usage_rollup.roll_up_rest, pause_seconds=ROLLUP_REST_SECONDS, is_pause_first=True
        ),
    )


def _mails(farebox: Farebox, limits: DeliveryLimits) -> tuple[Periodic, ...]:
    """List what hands mails to the mail server."""
    stores, clock, settings = farebox.stores, farebox.clock, farebox.settings
    # What of the operator's files can't be used was told by the process that started this one.
    mail_settings, _ = make_mail_settings(settings)
    mail_relay = relay.Relay(
        make_transport(settings),
        stores.mail_servers,
        clock,
        server=settings.mail_server,
        connections_max=settings.smtp_connections,
        send_seconds_max=limits.mail_seconds_max,
    )
    outbox = Outbox(stores, RunwayReader(stores, clock), mail_settings, farebox.services.unsubscribing)
    services = farebox.services
    writer = ReportWriter(
        services.merchant_reports,
        services.staff_reports,
        services.console,
        services.statements,
        public_url=mail_settings.public_url,
    )
    account_mails = AccountMails(
        stores,
        services.sign_in,
        mail_settings,
        clock,
        services.approvals,
        ReportMails(stores, writer, mail_settings, services.report_links),
        StaffWarnings(stores, mail_settings, services.warning_choices),
    )
    return (
        Dispatcher(outbox, mail_relay, clock).periodic("alert mails"),
        Dispatcher(account_mails, mail_relay, clock).periodic("account mails"),
    )


def _messages(farebox: Farebox, limits: DeliveryLimits) -> tuple[Periodic, ...]:
    """List what takes messages to destinations, and forgets what came of old ones."""
    queue, clock, settings = farebox.stores.message_queue, farebox.clock, farebox.settings
    guard = AddressGuard(settings.webhook_networks)
    client = WebhookClient(guard, send_seconds_max=limits.message_seconds_max)
    secrets = DestinationSecrets(*settings.secret_key.keys)
    webhooks = DestinationDispatcher(
        queue,
        WebhookTransport(client, secrets.signing_secrets),
        clock,
        channel=Channel.WEBHOOK,
        times=limits.message_times,
        on_stop=client.close,
    )
    chats = DestinationDispatcher(queue, farebox.chat, clock, channel=Channel.CHAT, times=limits.message_times)
    return (
        webhooks.periodic("webhooks"),
        chats.periodic("chats"),
        Periodic(
            "attempts to forget",
            AttemptHistory(queue, clock).forget_old,
            pause_seconds=HISTORY_FORGET_SECONDS,
            is_pause_first=True,
        ),
    )
