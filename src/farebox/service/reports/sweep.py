"""Reports that fall due: each reader is owed the mail about each week or month once, when that is over.

Several processes may look at once: which report a reader is owed next is a row that the first one moves on. If no
server ran when a report fell due, the one of the last period that is over is owed late, and older ones never.
"""

from datetime import date
from typing import Final

from msgspec.structs import replace

from farebox.service.clock import Clock
from farebox.service.id_generator import IdGenerator
from farebox.service.reports.periods import ReportPeriod, last_due, period_from, reader_zone
from farebox.storage.outgoing.reports import OwedReport
from farebox.storage.records import AccountMail, DeliveryState, Login, Purpose, Realm
from farebox.storage.report_records import ALL_MERCHANTS, ReportChoice, ReportKind, ReportMail
from farebox.storage.stores import Stores

REPORT_SECONDS: Final = 30.0
"""How often to look for reports that are due."""

REPORTS_MAX: Final = 50
"""How many reports one transaction owes; more follow without a pause."""


class ReportSweep:
    """Owes reports."""

    def __init__(self, stores: Stores, clock: Clock, *, reports_max: int = REPORTS_MAX) -> None:
        """Work on these stores, on so many reports at a time."""
        self._stores = stores
        self._clock = clock
        self._reports_max = reports_max
        self._id_generator = IdGenerator(clock)

    async def owe_due(self) -> float | None:
        """Owe what is due; return 0 seconds if more may be, else None for the usual pause.

        Raises:
            StorageError: the database is away.
        """
        now = self._clock.now()
        due = await self._stores.reports.due(now, self._reports_max)
        if due:
            await self._stores.reports.owe([await self._owed(choice, now) for choice in due])
        return 0.0 if len(due) == self._reports_max else None

    async def _owed(self, choice: ReportChoice, now: int) -> OwedReport:
        zone = reader_zone(choice.zone)
        chosen = period_from(ReportKind(choice.kind), date.fromisoformat(choice.starts_on))
        last = last_due(chosen.kind, now, zone, week_start=choice.week_start)
        # It is due, so the one that was to be next is over; later ones may be as well.
        period = max(chosen, last, key=lambda item: item.first)
        after = period.after()
        login = await self._stores.logins.get(choice.login_id)
        is_reader = login is not None and await self._is_reader(login, choice.merchant_id, period.starts_at(zone))
        number = self._id_generator.next()
        return OwedReport(
            choice,
            replace(choice, starts_on=str(after.first), due_at=after.due_at(zone)),
            _mail(number, login, choice, period, now) if login is not None and is_reader else None,
            ReportMail(
                number,
                choice.login_id,
                choice.merchant_id,
                choice.kind,
                str(period.first),
                choice.zone,
                choice.has_statement,
            ),
        )

    async def _is_reader(self, login: Login, merchant_id: int, start: int) -> bool:
        """Tell whether somebody is to get a report of a merchant from `start` on; a closed account has none."""
        if login.disabled_at is not None:
            return False
        if merchant_id == ALL_MERCHANTS:
            return login.realm == Realm.SUPPORT
        account = await self._stores.accounts.find(merchant_id)
        if account is None or (account.closed_at is not None and account.closed_at < start):
            return False
        return await self._stores.users.role(merchant_id, login.email) is not None


def _mail(number: int, login: Login, choice: ReportChoice, period: ReportPeriod, now: int) -> AccountMail:
    """Write the mail that is owed. It has no link of its own, so its seed is no secret."""
    return AccountMail(
        account_mail_id=number,
        purpose=Purpose.REPORT,
        login_id=login.login_id,
        merchant_id=choice.merchant_id or None,
        email=login.email,
        seed=bytes(32),
        created_at=now,
        expires_at=period.after().due_at(reader_zone(choice.zone)),
        used_at=None,
        state=DeliveryState.WAITING,
        attempts=0,
        next_attempt_at=now,
    )
