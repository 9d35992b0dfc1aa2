"""The one place where the parts are put together: settings in, a Farebox out. It knows nothing of the web.

Here is what every command and every server needs; what a server does beside answering is added by `background`.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from farebox.config import Settings
from farebox.service.clock import Clock, SystemClock
from farebox.service.insight.usage import UsageReader, UsageRollup
from farebox.service.ledger.committer import LIMITS, Committer, CommitterLimits
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
from farebox.storage.interface import Database
from farebox.storage.office import Office
from farebox.storage.people import People

MAIL_FOLDER: Final = Path("mail")
"""Where mails go when no mail server is set, below the working directory."""


def open_store(settings: Settings) -> Database:
    """Make the store that the settings name; it is not connected yet."""
    path = settings.database_url.sqlite_path
    if path is None:
        from farebox.storage.postgres import PostgresStore

        return PostgresStore(settings.database_url)
    from farebox.storage.sqlite import SqliteStore

    return SqliteStore(path)


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
    usage_rollup: UsageRollup

    @classmethod
    def build(
        cls, settings: Settings, *, clock: Clock | None = None, committer_limits: CommitterLimits = LIMITS
    ) -> "Farebox":
        """Put the parts together, by the system's clock unless another is given."""
        store = open_store(settings)
        clock = clock or SystemClock()
        usage_rollup = UsageRollup(store)
        committer = Committer(store, clock, limits=committer_limits, on_commit=usage_rollup.note)

        people, office, passwords = People(store), Office(store), Passwords()
        sign_in = SignIn(people, clock, Signer(settings.secret_key), passwords)
        services = Services(
            balances=Balances(store, clock),
            queries=Queries(store, clock),
            operations=Operations(committer, clock, approval_above=settings.approval_above),
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
                public_url=settings.public_url,
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
            usage_rollup=usage_rollup,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open the store and start the committer.

        On the way out, what was accepted is committed before the store is closed.
        """
        await self.store.open()
        try:
            await self.committer.start()
            try:
                yield
            finally:
                await self.services.verifications.close()
                await self.committer.close()
        finally:
            self.passwords.close()
            await self.store.close()
