"""The one place where the parts are put together: settings in, a running Farebox out."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from farebox.alerts.account_mail import AccountMails
from farebox.alerts.dispatcher import Dispatcher
from farebox.alerts.messages import MailSettings
from farebox.alerts.outbox import Outbox
from farebox.alerts.smtp import FolderTransport, InvalidSmtpUrl, SmtpTransport, Transport
from farebox.config import Settings, SettingsError
from farebox.core.accounts import Account
from farebox.core.money import InvalidAmount, parse_amount
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
from farebox.service.operator.health import HealthCheck
from farebox.service.operator.merchants import Merchants
from farebox.service.operator.throughput import Throughput
from farebox.service.operator.verifications import Verifications
from farebox.service.people.key_last_used import LastUsed
from farebox.service.people.passwords import Passwords
from farebox.service.people.sign_in import SignIn
from farebox.service.people.signing import Signer
from farebox.service.people.users import Staff, Users
from farebox.service.statements.reader import Statements
from farebox.services import OperatorInfo, Services
from farebox.storage.interface import Database, StorageError
from farebox.storage.office import Office
from farebox.storage.people import People
from farebox.storage.postgres import PostgresStore
from farebox.storage.rows import AccountMail, OutboxMail
from farebox.storage.sqlite import SqliteStore

MAIL_FOLDER: Final = Path("mail")
"""Where mails go when no mail server is set, below the working directory."""


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


class Farebox(Struct, frozen=True):
    """The parts of one process, put together over one store; nothing runs before `running`."""

    settings: Settings
    store: Database
    clock: Clock
    committer: Committer
    services: Services
    people: People
    office: Office
    passwords: Passwords
    key_last_used: LastUsed
    runway_snapshots: RunwaySnapshots
    usage_rollup: UsageRollup
    expiry: Expiry
    dispatcher: Dispatcher[OutboxMail]
    account_mail_dispatcher: Dispatcher[AccountMail]

    @classmethod
    def build(cls, settings: Settings) -> "Farebox":
        """Put the parts together."""
        store = open_store(settings)
        clock = SystemClock()
        usage_rollup = UsageRollup(store)
        committer = Committer(store, clock, on_commit=usage_rollup.note)

        async def describe_runway(account: Account, now: int) -> str | None:
            return in_words(await read_runway(store, account, now))

        mail_settings = MailSettings(settings.mail_from, settings.public_url, settings.support_contact)
        transport = make_transport(settings)
        people, office, passwords = People(store), Office(store), Passwords()
        sign_in = SignIn(people, clock, Signer(settings.secret_key), passwords)
        services = Services(
            balances=Balances(store, clock),
            queries=Queries(store, clock),
            operations=Operations(committer, clock, approval_above=_approval_above(settings)),
            merchants=Merchants(store, clock),
            users=Users(store, people, clock, sign_in),
            staff=Staff(people, clock, sign_in),
            sign_in=sign_in,
            approvals=Approvals(store, committer),
            audit_log=AuditLog(store),
            usage=UsageReader(store, clock),
            statements=Statements(store),
            console=ConsoleQueries(store, office, people, clock),
            verifications=Verifications(store, office, clock, {**os.environ, **settings.environment}),
            throughput=Throughput(committer),
            health=HealthCheck(store, committer),
            operator=OperatorInfo(
                public_url=settings.public_url.rstrip("/"),
                support_contact=settings.support_contact,
                mail_folder="" if settings.smtp_url else str(MAIL_FOLDER),
            ),
        )
        return cls(
            settings=settings,
            store=store,
            clock=clock,
            committer=committer,
            services=services,
            people=people,
            office=office,
            passwords=passwords,
            key_last_used=LastUsed(office, clock),
            runway_snapshots=RunwaySnapshots(store, office, clock),
            usage_rollup=usage_rollup,
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
                await self.services.verifications.close()
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
            self.usage_rollup.run,
            self.runway_snapshots.run,
            self.key_last_used.run,
            self.services.throughput.run,
        )
