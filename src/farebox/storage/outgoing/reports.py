"""Reports: who wants them, those that are owed, each once, and sums over all merchants that the staff's are made of."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import astuple

from farebox.storage import rows
from farebox.storage.interface import Fetch
from farebox.storage.records import AccountMail
from farebox.storage.report_records import (
    FailedDelivery,
    MerchantSpend,
    RefusedRequests,
    ReportChoice,
    ReportMail,
    UncollectedSum,
)
from farebox.storage.subject import SubjectStore


class OwedReport(Struct, frozen=True):
    """A report that falls due: whose choice it comes of, how that goes on, and the mail; no mail if nobody gets it."""

    choice: ReportChoice
    next_choice: ReportChoice
    mail: AccountMail | None
    report: ReportMail


class ReportStore(SubjectStore):
    """The reports of one database."""

    async def put_choice(self, choice: ReportChoice) -> None:
        """Write that somebody wants a report, or wants it otherwise.

        Raises:
            NotFound: no such login.
        """
        await self._write("put_report_choice", *astuple(choice))

    async def remove_choice(self, login_id: int, merchant_id: int, kind: int) -> None:
        """Write that somebody wants a report no more; nothing happens if they did not."""
        await self._write("remove_report_choice", login_id, merchant_id, kind)

    async def choices(self, login_id: int, merchant_id: int) -> Sequence[ReportChoice]:
        """List which reports of a merchant somebody wants."""
        return [ReportChoice(*row) for row in await self._rows("report_choices", login_id, merchant_id)]

    async def due(self, now: int, limit: int) -> Sequence[ReportChoice]:
        """List the choices whose reports are due, the longest due first."""
        return [ReportChoice(*row) for row in await self._rows("due_report_choices", now, limit)]

    async def owe(self, owed: Sequence[OwedReport]) -> int:
        """Owe reports, and go on to each reader's next one; return how many mails are owed.

        A report is owed once, however many processes ask for it at once, and even if its reader wanted it, then no
        more, and wants it again.
        """

        async def write(fetch: Fetch) -> int:
            # In one order in every process, so that two of them never wait for each other.
            ordered = sorted(owed, key=lambda item: (item.choice.login_id, item.choice.merchant_id, item.choice.kind))
            return sum([await self._owe(fetch, item) for item in ordered])

        return await self._connector.run_in_transaction(write)

    async def _owe(self, fetch: Fetch, owed: OwedReport) -> bool:
        choice, after, report = owed.choice, owed.next_choice, owed.report
        reader = (choice.login_id, choice.merchant_id, choice.kind)
        advanced = await fetch(
            self._sql["advance_report_choice"], *reader, choice.starts_on, after.starts_on, after.due_at
        )
        if not advanced or owed.mail is None or await fetch(self._sql["report_of_period"], *reader, report.starts_on):
            return False
        await fetch(self._sql["insert_account_mail"], *astuple(owed.mail))
        await fetch(self._sql["insert_report"], *astuple(report))
        return True

    async def find(self, account_mail_id: int) -> ReportMail | None:
        """Read what a mail tells of; None if it is no report."""
        row = await self._row("report", account_mail_id)
        return None if row is None else ReportMail(*row)

    async def spent_by_merchants(
        self, after: int, *, limit: int, first_before: int, first: int, last: int
    ) -> Sequence[MerchantSpend]:
        """Sum up what merchants behind `after` spent, in order, exact to the last transfer committed.

        Args:
            after: the merchant that the ones before ended with.
            limit: how many merchants at most.
            first_before: the first quarter of an hour of the period before.
            first: the first quarter of the period, which is the one before ends ahead of.
            last: its last quarter.
        """
        values = (after, limit, first_before, first, last)
        return [MerchantSpend(*row) for row in await self._rows("spent_by_merchants", *values)]

    async def refusals(
        self, merchant_ids: Sequence[int], *, first_quarter: int, last_quarter: int
    ) -> Sequence[RefusedRequests]:
        """Count what was refused of merchants, by merchant and reason."""
        values = (list(merchant_ids), first_quarter, last_quarter)
        return [RefusedRequests(*row) for row in await self._rows("refusals_of_merchants", *values)]

    async def failed_deliveries(self, *, start: int, end: int) -> Sequence[FailedDelivery]:
        """Tell what was given up of what was owed in a time, its end not included, by channel and merchant."""
        return [FailedDelivery(*row) for row in await self._rows("failed_deliveries", start, end)]

    async def uncollected(self, *, start: int, end: int) -> Sequence[UncollectedSum]:
        """Sum up what was left uncollected in a time, its end not included, by currency and of what."""
        return [
            UncollectedSum(currency, bool(is_top_up), count, rows.whole_sum(billions, rest))
            for currency, is_top_up, count, billions, rest in await self._rows("uncollected_between", start, end)
        ]
