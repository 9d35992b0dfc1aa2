"""The one place where the parts are put together: settings in, a Farebox out. It knows nothing of the web.

Here is what every command and every server needs; what a server does beside answering is added by `background`.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from msgspec import Struct

from farebox.chat.transport import ChatTransport
from farebox.config import Settings, SettingsError
from farebox.core.approvals import ApprovalLimits
from farebox.service.address_guard import AddressGuard
from farebox.service.catalogue.imports import PriceImports
from farebox.service.clock import Clock, SystemClock
from farebox.service.destination_url import read_destination_url
from farebox.service.gate.files import load_rules
from farebox.service.gate.rules import Rules
from farebox.service.importing.imports import Imports
from farebox.service.insight.forecast import RunwayReader
from farebox.service.insight.key_usage import KeyUsageReader
from farebox.service.insight.refusals import RefusalCounts, RefusalReader
from farebox.service.insight.revenue import RevenueReader
from farebox.service.insight.usage import UsageReader, UsageRollup
from farebox.service.ledger.committer import LIMITS, Committer, CommitterLimits
from farebox.service.ledger.open_holds import OpenHolds
from farebox.service.ledger.operations import Operations
from farebox.service.ledger.queries import Balances, Queries
from farebox.service.ledger.quotes import Quotes
from farebox.service.ledger.shortfalls import Shortfalls
from farebox.service.operator.annotations import Annotations
from farebox.service.operator.approvals import Approvals
from farebox.service.operator.audit_log import AuditLog
from farebox.service.operator.console import ConsoleQueries
from farebox.service.operator.grants import Grants
from farebox.service.operator.health import HealthCheck
from farebox.service.operator.key_budgets import KeyBudgets
from farebox.service.operator.merchant_changes import MerchantChanges
from farebox.service.operator.merchants import Merchants
from farebox.service.operator.prices import Prices
from farebox.service.operator.runway_thresholds import RunwayThresholds
from farebox.service.operator.spending_watch import SpendingWatch
from farebox.service.operator.throughput import Throughput
from farebox.service.operator.unusual_spending import UnusualSpendings
from farebox.service.operator.verifications import Verifications
from farebox.service.people.choices import Choices
from farebox.service.people.destination_secrets import DestinationSecrets
from farebox.service.people.destinations import ChannelRules, Destinations, host_of
from farebox.service.people.erasure import Erasure
from farebox.service.people.imported_keys import ImportedKeys
from farebox.service.people.key_last_used import LastUsed
from farebox.service.people.passwords import Passwords
from farebox.service.people.sign_in import SignIn
from farebox.service.people.signing import Signer
from farebox.service.people.unsubscribing import Unsubscribing
from farebox.service.people.users import Staff, Users
from farebox.service.people.warnings import WarningChoices
from farebox.service.repeats import Repeats
from farebox.service.reports.choices import ReportChoices
from farebox.service.reports.links import ReportLinks
from farebox.service.reports.merchant import MerchantReports
from farebox.service.reports.staff import StaffReports
from farebox.service.statements.reader import Statements
from farebox.services import OperatorInfo, Services
from farebox.storage.destination_records import Channel
from farebox.storage.examination import DatabaseFacts
from farebox.storage.interface import Connector
from farebox.storage.stores import Stores
from farebox.webhooks.client import WebhookClient
from farebox.webhooks.trial import WebhookTrials

MAIL_FOLDER: Final = Path("mail")
"""Where mails go when no mail server is set, below the working directory."""


def make_connector(settings: Settings) -> Connector:
    """Make the connector to the database that the settings name; it is not open yet."""
    path = settings.database_url.sqlite_path
    if path is None:
        from farebox.storage.postgres import PostgresConnector

        return PostgresConnector(settings.database_url)
    from farebox.storage.sqlite import SqliteConnector

    return SqliteConnector(path)


async def examine(settings: Settings, clock: Clock, *, check_seconds_max: int) -> DatabaseFacts:
    """Tell of the database that the settings name, whatever is in it.

    Raises:
        StorageError: it can't be reached or read.
    """
    path = settings.database_url.sqlite_path
    if path is None:
        from farebox.storage.postgres.examination import examine as examine_postgres

        return await examine_postgres(settings.database_url, clock.now)
    from farebox.storage.sqlite.examination import examine as examine_sqlite

    return await asyncio.to_thread(examine_sqlite, path, check_seconds_max=check_seconds_max)


def gate_rules(settings: Settings) -> Rules | None:
    """Read the gate's rules; None if there is no gate.

    Raises:
        SettingsError: the gate has no secret.
        BadRules: the file can't be used.
    """
    if not settings.gate_file:
        return None
    if not settings.gate_secret:
        raise SettingsError(
            "FAREBOX_GATE_SECRET is missing, which the gate of FAREBOX_GATE_FILE needs; write random characters, such "
            "as `openssl rand -hex 32` prints"
        )
    return load_rules(Path(settings.gate_file))


def ensure_tracing(settings: Settings) -> None:
    """See that what traces need is installed, if there are to be any.

    Raises:
        SettingsError: it is not.
    """
    if not settings.tracing.is_on:
        return
    try:
        is_installed = all(map(find_spec, ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")))
    except ModuleNotFoundError:
        is_installed = False
    if not is_installed:
        raise SettingsError("FAREBOX_TRACING is on, but what it needs is not installed: pip install 'farebox[tracing]'")


def _operator_info(settings: Settings) -> OperatorInfo:
    return OperatorInfo(
        public_url=settings.links_url,
        support_contact=settings.support_contact,
        mail_folder="" if settings.smtp_url else str(MAIL_FOLDER),
        language=settings.language,
        mail_server=settings.mail_server,
    )


def _destinations(
    settings: Settings, stores: Stores, clock: Clock
) -> tuple[Destinations, WebhookTrials, ChatTransport]:
    """Put the service of destinations together, with what tests webhooks and what sends to chats."""
    secrets, guard = DestinationSecrets(*settings.secret_key.keys), AddressGuard(settings.webhook_networks)
    trials = WebhookTrials(WebhookClient(guard), secrets, clock)
    chat = ChatTransport(guard, secrets, name_of=merchant_names(stores), public_url=settings.links_url)
    webhooks = ChannelRules(
        read_url=partial(read_destination_url, guard=guard), shown=str, called=host_of, send_test=trials.send_test
    )
    chats = ChannelRules(
        read_url=chat.services.read, shown=chat.services.shown, called=chat.services.called, send_test=chat.send_test
    )
    destinations = Destinations(stores, clock, secrets, {Channel.WEBHOOK: webhooks, Channel.CHAT: chats})
    return destinations, trials, chat


def _operations(
    committer: Committer, stores: Stores, clock: Clock, limits: ApprovalLimits, refusal_counts: RefusalCounts
) -> Operations:
    return Operations(
        committer,
        clock,
        stores.prices,
        limits=limits,
        on_refusal=refusal_counts.note,
        imported_keys=ImportedKeys(stores.api_keys),
    )


def merchant_names(stores: Stores) -> Callable[[int], Awaitable[str]]:
    """Return what tells the name of a merchant by its number."""

    async def name_of(merchant_id: int) -> str:
        merchant = await stores.merchants.find(merchant_id)
        return "" if merchant is None else merchant.name

    return name_of


class Farebox(Struct, frozen=True):
    """The parts of one process, put together over one database; nothing runs before `running`."""

    settings: Settings
    stores: Stores
    clock: Clock
    committer: Committer
    services: Services
    passwords: Passwords
    key_last_used: LastUsed
    usage_rollup: UsageRollup
    spending_watch: SpendingWatch
    refusal_counts: RefusalCounts
    chat: ChatTransport
    trials: WebhookTrials

    @classmethod
    def build(
        cls, settings: Settings, *, clock: Clock | None = None, committer_limits: CommitterLimits = LIMITS
    ) -> "Farebox":
        """Put the parts together, by the system's clock unless another is given."""
        connector = make_connector(settings)
        stores = Stores.over(connector)
        clock = clock or SystemClock()
        usage_rollup = UsageRollup(stores.usage)
        spending_watch = SpendingWatch(stores, clock)
        on_commit = (usage_rollup.note, spending_watch.note)
        committer = Committer(connector, clock, limits=committer_limits, on_commit=on_commit)
        passwords = Passwords()
        signer = Signer(*settings.secret_key.keys)
        sign_in = SignIn(stores, clock, signer, passwords)
        destinations, trials, chat = _destinations(settings, stores, clock)
        limits = settings.approval_above.limits
        refusal_counts = RefusalCounts(stores.refusals, clock)
        operations = _operations(committer, stores, clock, limits, refusal_counts)
        merchants = Merchants(stores, clock, limits=limits)
        annotations, price_imports = Annotations(stores, clock), PriceImports(stores, clock)
        usage, refusals = UsageReader(stores.usage, clock), RefusalReader(stores.refusals, clock)
        runway_thresholds = RunwayThresholds(stores, clock, merchants)
        services = Services(
            balances=Balances(connector, clock),
            queries=Queries(stores, clock),
            operations=operations,
            grants=Grants(stores, operations),
            merchants=merchants,
            open_holds=OpenHolds(stores, clock),
            shortfalls=Shortfalls(stores),
            quotes=Quotes(stores, clock),
            price_imports=price_imports,
            imports=Imports(stores, committer, clock, price_imports, limits=limits),
            prices=Prices(stores, clock),
            merchant_changes=MerchantChanges(merchants, operations, annotations, runway_thresholds),
            annotations=annotations,
            repeats=Repeats(stores, clock),
            users=Users(stores, clock, sign_in),
            choices=Choices(stores, clock),
            destinations=destinations,
            staff=Staff(stores, clock, sign_in, limits=limits),
            sign_in=sign_in,
            unsubscribing=Unsubscribing(stores, signer, clock),
            warning_choices=WarningChoices(stores, signer, clock),
            erasure=Erasure(stores, clock),
            approvals=Approvals(stores, committer, limits=limits),
            audit_log=AuditLog(stores),
            key_budgets=KeyBudgets(stores, clock, merchants),
            runway_thresholds=runway_thresholds,
            key_usage=KeyUsageReader(stores.usage, clock),
            usage=usage,
            revenue=RevenueReader(stores.revenue, clock),
            refusals=refusals,
            report_choices=ReportChoices(stores, clock),
            report_links=ReportLinks(stores, signer),
            merchant_reports=MerchantReports(stores, usage, refusals, RunwayReader(stores, clock), clock),
            staff_reports=StaffReports(stores, clock),
            statements=Statements(stores),
            console=ConsoleQueries(stores, clock),
            verifications=Verifications(stores, clock, {**os.environ, **settings.environment}),
            throughput=Throughput(committer),
            unusual_spendings=UnusualSpendings(stores, clock),
            health=HealthCheck(stores, committer, clock),
            operator=_operator_info(settings),
        )
        parts = (settings, stores, clock, committer, services, passwords, LastUsed(stores.api_keys, clock))
        return cls(*parts, usage_rollup, spending_watch, refusal_counts, chat=chat, trials=trials)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open the database and start the committer.

        On the way out, what was accepted is committed before the database is closed.
        """
        await self.stores.connector.open()
        try:
            await self.committer.start()
            try:
                yield
            finally:
                await self.services.verifications.close()
                await self.committer.close()
        finally:
            self.passwords.close()
            self.chat.close()
            await self.trials.close()
            await self.stores.connector.close()
