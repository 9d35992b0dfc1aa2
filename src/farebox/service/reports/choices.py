"""Who wants reports by mail: a merchant's users of its weeks and months, the operator's staff of all merchants'.

Days are those of the reader's own time zone, as on the pages that they see; so each choice has its zone. The first
report that somebody gets is that of the week or month in which they chose it, when that is over.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from farebox.service import inputs
from farebox.service.clock import Clock
from farebox.service.errors import InvalidInput, Missing, translated
from farebox.service.reports.periods import present_period
from farebox.storage.records import Login, Realm
from farebox.storage.report_records import ALL_MERCHANTS, ReportChoice, ReportKind
from farebox.storage.stores import Stores

__all__ = ["ALL_MERCHANTS", "REPORT_KINDS", "ReportChoice", "ReportChoices", "ReportKind"]

REPORT_KINDS: Final[Mapping[str, ReportKind]] = {"weekly": ReportKind.WEEKLY, "monthly": ReportKind.MONTHLY}
"""Kinds of reports by the words of forms and commands."""

_WEEKDAYS: Final = range(1, 8)


class ReportChoices:
    """Reads and writes choices. Every method may raise Unavailable and, if it writes, FateUnknown."""

    def __init__(self, stores: Stores, clock: Clock) -> None:
        """Work on these stores."""
        self._stores = stores
        self._clock = clock

    async def list(self, login: Login, merchant_id: int) -> Sequence[ReportChoice]:
        """List which reports of a merchant somebody wants; of ALL_MERCHANTS for one of the staff."""
        with translated():
            return await self._stores.reports.choices(login.login_id, merchant_id)

    async def choose(
        self,
        login: Login,
        merchant_id: int,
        *,
        wanted: Collection[ReportKind],
        zone: str,
        week_start: int,
        has_statement: bool,
    ) -> None:
        """Write which reports of a merchant somebody wants, and that they want no others.

        A report goes on as it is if neither its zone nor its first weekday changes.

        Raises:
            InvalidInput: there is no such zone, or no such weekday.
            Missing: they are not registered on the merchant's account, or not of the staff.
        """
        zone_info = inputs.time_zone("zone", zone)
        if week_start not in _WEEKDAYS:
            raise InvalidInput("weekStart", "a weekday is 1 for Monday to 7 for Sunday")
        with translated(missing="this login is closed"):
            if not await self._may_read(login, merchant_id):
                raise Missing("only users of the account get its reports")
            before = {item.kind: item for item in await self._stores.reports.choices(login.login_id, merchant_id)}
            for kind in ReportKind:
                if kind not in wanted:
                    if kind in before:
                        await self._stores.reports.remove_choice(login.login_id, merchant_id, kind)
                    continue
                period = present_period(kind, self._clock.now(), zone_info, week_start=week_start)
                starts_on, due_at = str(period.first), period.due_at(zone_info)
                old = before.get(kind)
                if old is not None and (old.zone, old.week_start) == (zone_info.key, week_start):
                    starts_on, due_at = old.starts_on, old.due_at
                choice = ReportChoice(
                    login.login_id,
                    merchant_id,
                    kind,
                    zone_info.key,
                    week_start,
                    int(has_statement and merchant_id != ALL_MERCHANTS),
                    starts_on,
                    due_at,
                )
                if choice != old:
                    await self._stores.reports.put_choice(choice)

    async def stop(self, login: Login, merchant_id: int, kind: ReportKind) -> None:
        """Write that somebody wants a report no more."""
        with translated():
            await self._stores.reports.remove_choice(login.login_id, merchant_id, kind)

    async def _may_read(self, login: Login, merchant_id: int) -> bool:
        if merchant_id == ALL_MERCHANTS:
            return login.realm == Realm.SUPPORT
        if login.realm != Realm.MERCHANT:
            return False
        return await self._stores.users.role(merchant_id, login.email) is not None
