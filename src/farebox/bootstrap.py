"""The one place where the parts are put together: settings in, a running Farebox out."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from litestar import Litestar
from litestar.types import ASGIApp
from msgspec import Struct

from farebox.alerts.account_mail import AccountMails
from farebox.alerts.dispatcher import Dispatcher
from farebox.alerts.messages import MailSettings
from farebox.alerts.outbox import Outbox
from farebox.alerts.smtp import FolderTransport, InvalidSmtpUrl, SmtpTransport, Transport
from farebox.config import Settings, SettingsError
from farebox.core.accounts import Account
from farebox.core.money import InvalidAmount, parse_amount
from farebox.observe import configure_logging
from farebox.processes import hold_signals, stop_once
from farebox.service.clock import Clock, SystemClock
from farebox.service.insight.forecast import in_words, read_runway
from farebox.service.insight.runway_snapshots import RunwaySnapshots
from farebox.service.insight.usage import UsageReader, UsageRollup
from farebox.service.ledger.committer import Committer
from farebox.service.ledger.expiry import Expiry
from farebox.service.ledger.operations import Operations
from farebox.service.ledger.queries import Balances, Queries
from farebox.service.operator.approvals import Approvals
from farebox.service.operator.audit_log import AuditLog
from farebox.service.operator.console import ConsoleQueries
from farebox.service.operator.merchants import Merchants
from farebox.service.operator.throughput import Throughput
from farebox.service.operator.verifications import Verifications
from farebox.service.people.key_last_used import LastUsed
from farebox.service.people.passwords import Passwords
from farebox.service.people.sign_in import SignIn
from farebox.service.people.signing import Signer
from farebox.service.people.users import Staff, Users
from farebox.service.statements.reader import Statements
from farebox.storage.interface import Database, StorageError
from farebox.storage.office import Office
from farebox.storage.people import People
from farebox.storage.postgres import PostgresStore
from farebox.storage.rows import AccountMail, OutboxMail
from farebox.storage.sqlite import SqliteStore
from farebox.web.api.base import Services
from farebox.web.app import create_app
from farebox.web.client_address import Addresses, InvalidNetwork
from farebox.web.health import Health
from farebox.web.pages.house import PageServices
from farebox.web.pages.live import Live
from farebox.web.rate_limits import Limits

MAIL_FOLDER: Final = Path("mail")
"""Where mails go when no mail server is set, below the working directory."""

GC_THRESHOLD: Final = 50_000
"""How many more objects made than freed start a collection in a server."""


def open_store(settings: Settings) -> Database:
    """Make the store that the settings name; it is not connected yet."""
    path = settings.sqlite_path
    return PostgresStore(settings.database_url) if path is None else SqliteStore(path)


def make_transport(settings: Settings) -> Transport:
    """Make what takes the mails away: the mail server that the settings name, or the mail folder.

    Raises:
        SettingsError: the mail server's URL makes no sense.
    """
    if not settings.smtp_url:
        return FolderTransport(MAIL_FOLDER)
    try:
        return SmtpTransport(settings.smtp_url)
    except InvalidSmtpUrl as error:
        raise SettingsError(f"FAREBOX_SMTP_URL: {error}") from error


def _approval_above(settings: Settings) -> int | None:
    if not settings.approval_above:
        return None
    try:
        return parse_amount(settings.approval_above)
    except InvalidAmount as error:
        raise SettingsError(f"FAREBOX_APPROVAL_ABOVE: {error}") from error


def _addresses(settings: Settings) -> Addresses:
    try:
        return Addresses(settings.trusted_proxy_list)
    except InvalidNetwork as error:
        raise SettingsError(f"FAREBOX_TRUSTED_PROXIES: {error}") from error


class Farebox(Struct, frozen=True):
    """The parts of one process, put together over one store; nothing runs before `running`."""

    settings: Settings
    store: Database
    clock: Clock
    committer: Committer
    balances: Balances
    queries: Queries
    operations: Operations
    merchants: Merchants
    approvals: Approvals
    audit_log: AuditLog
    usage: UsageReader
    statements: Statements
    addresses: Addresses
    people: People
    office: Office
    passwords: Passwords
    sign_in: SignIn
    users: Users
    staff: Staff
    key_last_used: LastUsed
    runway_snapshots: RunwaySnapshots
    desk: ConsoleQueries
    verifications: Verifications
    pace: Throughput
    summer: UsageRollup
    expiry: Expiry
    dispatcher: Dispatcher[OutboxMail]
    account_mail_dispatcher: Dispatcher[AccountMail]

    @classmethod
    def build(cls, settings: Settings) -> "Farebox":
        """Put the parts together."""
        store = open_store(settings)
        clock = SystemClock()
        summer = UsageRollup(store)
        committer = Committer(store, clock, on_commit=summer.note)

        async def describe_runway(account: Account, now: int) -> str | None:
            return in_words(await read_runway(store, account, now))

        mail_settings = MailSettings(settings.mail_from, settings.public_url, settings.support_contact)
        transport = make_transport(settings)
        people, office, passwords = People(store), Office(store), Passwords()
        sign_in = SignIn(people, clock, Signer(settings.secret_key), passwords)
        return cls(
            settings=settings,
            store=store,
            clock=clock,
            committer=committer,
            balances=Balances(store, clock),
            queries=Queries(store, clock),
            operations=Operations(committer, clock, approval_above=_approval_above(settings)),
            merchants=Merchants(store, clock),
            approvals=Approvals(store, committer),
            audit_log=AuditLog(store),
            usage=UsageReader(store, clock),
            statements=Statements(store),
            addresses=_addresses(settings),
            people=people,
            office=office,
            passwords=passwords,
            sign_in=sign_in,
            users=Users(store, people, clock, sign_in),
            staff=Staff(people, clock, sign_in),
            key_last_used=LastUsed(office, clock),
            runway_snapshots=RunwaySnapshots(store, office, clock),
            desk=ConsoleQueries(store, office, people, clock),
            verifications=Verifications(store, office, clock, {**os.environ, **settings.environment}),
            pace=Throughput(committer),
            summer=summer,
            expiry=Expiry(store, committer, clock),
            dispatcher=Dispatcher(
                Outbox(store, mail_settings, now=clock.now, describe_runway=describe_runway), transport, now=clock.now
            ),
            account_mail_dispatcher=Dispatcher(
                AccountMails(store, people, mail_settings, link_text=sign_in.link_text), transport, now=clock.now
            ),
        )

    @asynccontextmanager
    async def running(self, *, is_server: bool) -> AsyncIterator[None]:
        """Open the store and start the committer; a server expires holds and sends mails as well.

        On the way out, what was accepted is committed before the store is closed.
        """
        await self.store.open()
        try:
            await self.committer.start()
            tasks = [asyncio.create_task(run()) for run in (self._background if is_server else ())]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task
                await self.verifications.close()
                await self.committer.close()
                if is_server:
                    with suppress(StorageError):
                        await self.key_last_used.write()
        finally:
            self.passwords.close()
            await self.store.close()

    @property
    def _background(self) -> tuple[Callable[[], Coroutine[Any, Any, None]], ...]:
        """What a server does beside answering."""
        mail = (self.dispatcher.run, self.account_mail_dispatcher.run)
        return (
            self.expiry.run,
            *mail,
            self.summer.run,
            self.runway_snapshots.run,
            self.key_last_used.run,
            self.pace.run,
        )

    @property
    def services(self) -> Services:
        """What the API is built on."""
        return Services(
            balances=self.balances,
            queries=self.queries,
            operations=self.operations,
            merchants=self.merchants,
            users=self.users,
            approvals=self.approvals,
            audit_log=self.audit_log,
            usage=self.usage,
            statements=self.statements,
            addresses=self.addresses,
        )

    @property
    def house(self) -> PageServices:
        """What the pages are built on."""
        return PageServices(
            sign_in=self.sign_in,
            users=self.users,
            staff=self.staff,
            queries=self.queries,
            statements=self.statements,
            usage=self.usage,
            merchants=self.merchants,
            operations=self.operations,
            approvals=self.approvals,
            audit_log=self.audit_log,
            addresses=self.addresses,
            desk=self.desk,
            verifications=self.verifications,
            pace=self.pace,
            check_health=self.health,
            mail_folder="" if self.settings.smtp_url else str(MAIL_FOLDER),
            public_url=self.settings.public_url.rstrip("/"),
            support_contact=self.settings.support_contact,
        )

    @property
    def limits(self) -> Limits:
        """How much of the API anyone may have."""
        return Limits(
            self.addresses,
            per_merchant_key=self.settings.rate_limit_per_second,
            per_staff_key=self.settings.staff_rate_limit_per_second,
            failures_per_address=self.settings.bad_keys_per_second,
            on_good=self.key_last_used.note,
        )

    async def health(self) -> Health:
        """Tell whether the database answers, and how much work waits."""
        try:
            await self.store.merchant(0)
            status = "ok"
        except StorageError:
            status = "database unavailable"
        return Health(
            status=status,
            version=metadata.version("farebox"),
            engine=self.store.engine,
            waiting_commands=self.committer.waiting_count,
            committed_batches=self.committer.batches_count,
            committed_commands=self.committer.commands_count,
        )


def web_app() -> ASGIApp:
    """Make the application of one server process, from the process's own settings."""
    hold_signals()
    configure_logging()
    farebox = Farebox.build(Settings.load())
    live = Live()

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with farebox.running(is_server=True):
            _settle_garbage_collector()
            stop_once(live.close)
            yield

    return create_app(
        farebox.services,
        farebox.house,
        limits=farebox.limits,
        cors_origins=farebox.settings.cors_origin_list,
        check_health=farebox.health,
        lifespan=lifespan,
        live=live,
    )


def _settle_garbage_collector() -> None:
    """Keep what was built at the start out of every collection, and collect less often.

    The hot path makes no cycles (its values are Structs without gc), so collections found nothing and took a fifth of
    the time; see docs/explanation/performance.md.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 50)
