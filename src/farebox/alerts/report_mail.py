"""Report mails: what a week or month came to, for one reader, with the balance's line and the statement.

A mail is written when it is sent: the figures of a period that is over are the same then as ever, and its balance and
runway are of that moment. It is withdrawn if its reader is no longer one, or does not want it any more.
"""

import asyncio
import base64
from collections.abc import Mapping, Sequence
from datetime import date
from email.message import EmailMessage
from typing import Any, Final
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from farebox.alerts.balance_image import SHOWN_HEIGHT, SHOWN_WIDTH, draw_balance
from farebox.alerts.email_address import mailbox
from farebox.alerts.mail import Headers, MailSettings, Picture, compose_mail
from farebox.alerts.report_words import merchant_words
from farebox.alerts.staff_report_words import staff_words
from farebox.alerts.transport import Withdrawn
from farebox.core import ids
from farebox.service import inputs
from farebox.service.errors import UnknownMerchant
from farebox.service.languages import ENGLISH, Language
from farebox.service.operator.console import ConsoleQueries, MerchantRow
from farebox.service.reports.links import ReportLinks
from farebox.service.reports.merchant import MerchantReport, MerchantReports
from farebox.service.reports.periods import ReportPeriod, period_from, reader_zone
from farebox.service.reports.staff import StaffReport, StaffReports
from farebox.service.statements.reader import Selection, Statements
from farebox.storage.records import AccountMail, Login
from farebox.storage.report_records import ALL_MERCHANTS, ReportKind
from farebox.storage.stores import Stores

STATEMENT_TRANSFERS_MAX: Final = 5_000
"""A statement of more transfers is not attached: it would be some megabytes; the mail says where it is."""

SOON_MAX: Final = 10
"""How many merchants that run out a report names."""

_IMAGE: Final = "balance"
_NOBODY: Final = "nobody@localhost"
_PREVIEW: Final = "<preview@localhost>"


class ReportOrder(Struct, frozen=True):
    """A report that is to be written: whose, of which period, and whether with its statement."""

    merchant_id: int
    period: ReportPeriod
    zone: ZoneInfo
    has_statement: bool = False
    language: Language = ENGLISH


class WrittenReport(Struct, frozen=True):
    """A report as it is written: what its templates take, and what goes beside them; nothing of its reader."""

    template: str
    title: str
    words: Mapping[str, Any]
    language: Language
    image: bytes | None = None
    statement: bytes | None = None
    statement_name: str = ""


class ReportWriter:
    """Writes reports, of one merchant or of all."""

    def __init__(
        self,
        merchants: MerchantReports,
        staff: StaffReports,
        console: ConsoleQueries,
        statements: Statements,
        *,
        public_url: str,
        transfers_max: int = STATEMENT_TRANSFERS_MAX,
    ) -> None:
        """Write from these.

        Args:
            merchants: the figures of merchants.
            staff: those of all merchants.
            console: who runs out, and names.
            statements: what is attached.
            public_url: where people reach the dashboard, without a slash at its end.
            transfers_max: how many transfers an attached statement has at most.
        """
        self._transfers_max = transfers_max
        self._merchants = merchants
        self._staff = staff
        self._console = console
        self._statements = statements
        self._public_url = public_url

    async def write(self, order: ReportOrder) -> WrittenReport:
        """Write a report.

        Raises:
            UnknownMerchant: there is no such merchant.
            Unavailable: the database can't be read.
        """
        if order.merchant_id == ALL_MERCHANTS:
            return await self._write_staff(order)
        report = await self._merchants.read(order.merchant_id, order.period, order.zone)
        written = merchant_report(
            report,
            order.language,
            public_url=self._public_url,
            has_statement=order.has_statement,
            transfers_max=self._transfers_max,
        )
        # It takes some milliseconds of computing, in which a server has others to answer.
        image = await asyncio.to_thread(draw_balance, report.history)
        if order.has_statement and 0 < report.transfer_count <= self._transfers_max:
            return replace(written, image=image, statement=await self._statement(order))
        return replace(written, image=image)

    async def _write_staff(self, order: ReportOrder) -> WrittenReport:
        report = await self._staff.read(order.period, order.zone)
        soon = await self._console.soon(SOON_MAX, order.zone)
        names = await self._console.names(line.merchant_id for line in report.failed if line.merchant_id)
        return staff_report(report, soon, names, order.language, self._public_url, now=self._console.now())

    async def _statement(self, order: ReportOrder) -> bytes:
        start, end = order.period.starts_at(order.zone), order.period.ends_at(order.zone)
        pieces = await self._statements.export_csv(
            order.merchant_id, Selection(start=inputs.format_time(start), end=inputs.format_time(end))
        )
        return b"".join([piece async for piece in pieces])


def merchant_report(
    report: MerchantReport,
    spoken: Language,
    *,
    public_url: str,
    has_statement: bool,
    transfers_max: int = STATEMENT_TRANSFERS_MAX,
) -> WrittenReport:
    """Write a merchant's report, but for its image and its statement."""
    words, period = merchant_words(report, spoken), report.period
    public_id = ids.public_id(ids.MERCHANT, report.merchant.merchant_id)
    url = f"{public_url}/accounts/{public_id}"
    return WrittenReport(
        "report",
        spoken.gettext("%(merchant)s: %(news)s", merchant=words.merchant, news=words.period),
        {
            "words": words,
            "image_url": f"cid:{_IMAGE}",
            "image": {"width": SHOWN_WIDTH, "height": SHOWN_HEIGHT},
            "statement": _statement_words(report, spoken, transfers_max) if has_statement else "",
            "statement_url": f"{url}/statement?from={period.first}&to={period.last}",
            "url": url,
            "choices_url": f"{url}/alerts/reports",
        },
        spoken,
        statement_name=f"{public_id}-{period.first}-{period.last}.csv",
    )


def staff_report(
    report: StaffReport,
    soon: Sequence[MerchantRow],
    names: Mapping[int, str],
    spoken: Language,
    public_url: str,
    *,
    now: int,
) -> WrittenReport:
    """Write a report of all merchants, whose names those of failed deliveries are looked up in."""
    words = staff_words(report, soon, names, spoken, now=now)
    return WrittenReport(
        "staff_report",
        spoken.gettext("All merchants: %(period)s", period=words.period),
        {
            "words": words,
            "root": public_url,
            "url": f"{public_url}/support",
            "choices_url": f"{public_url}/support/profile/reports",
        },
        spoken,
    )


def report_message(
    written: WrittenReport,
    settings: MailSettings,
    *,
    to: str,
    at: int,
    message_id: str,
    unsubscribe_url: str | None = None,
) -> EmailMessage:
    """Put the mail to one reader together.

    Raises:
        InvalidAddress: the address is not one; no mail can ever go there.
    """
    message = compose_mail(
        settings,
        mailbox(to),
        Headers(written.title, at=at, message_id=message_id),
        template=written.template,
        words=written.words,
        language=written.language,
        unsubscribe_url=unsubscribe_url,
        pictures=[] if written.image is None else [Picture(_IMAGE, "png", written.image)],
    )
    if written.statement is not None:
        message.add_attachment(written.statement, maintype="text", subtype="csv", filename=written.statement_name)
    return message


class ReportPreview(Struct, frozen=True):
    """What a report's mail looks like: its plain text, and a page that needs nothing beside itself."""

    text: str
    page: str


def preview_report(written: WrittenReport, settings: MailSettings) -> ReportPreview:
    """Write what the mail looks like; the pictures that it carries are within the page."""
    message = report_message(replace(written, statement=None), settings, to=_NOBODY, at=0, message_id=_PREVIEW)
    page = _content_of(message, "html")
    for part in message.walk():
        if part.get_content_maintype() == "image":
            picture = base64.b64encode(part.get_content()).decode()
            shown = f"data:{part.get_content_type()};base64,{picture}"
            page = page.replace(f"cid:{str(part['Content-ID']).strip('<>')}", shown)
    return ReportPreview(_content_of(message, "plain"), page)


def _content_of(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    if part is None:
        raise LookupError(f"the mail has no {kind} text")
    return str(part.get_content())


class ReportMails:
    """The account mails that are reports."""

    def __init__(self, stores: Stores, writer: ReportWriter, settings: MailSettings, links: ReportLinks) -> None:
        """Read what each tells of, and let it be written; `links` are those by which a reader ends them."""
        self._links = links
        self._stores = stores
        self._writer = writer
        self._settings = settings

    async def compose(self, mail: AccountMail, login: Login, message_id: str) -> EmailMessage:
        """Write the report that a mail is, whose reader may still sign in.

        Raises:
            InvalidAddress: no mail can ever go there.
            Withdrawn: its reader does not want it any more, or the merchant is gone.
        """
        report = await self._stores.reports.find(mail.account_mail_id)
        if report is None:
            raise Withdrawn("it is not known what it tells of")
        choices = await self._stores.reports.choices(report.login_id, report.merchant_id)
        if report.kind not in [choice.kind for choice in choices]:
            raise Withdrawn("its reader does not want it any more")
        period = period_from(ReportKind(report.kind), date.fromisoformat(report.starts_on))
        order = ReportOrder(
            report.merchant_id,
            period,
            reader_zone(report.zone),
            bool(report.has_statement),
            self._settings.language_of(login.language),
        )
        try:
            written = await self._writer.write(order)
        except UnknownMerchant as error:
            raise Withdrawn("the merchant is gone") from error
        unsubscribe_url = await self._links.url(
            report.login_id, report.merchant_id, report.kind, public_url=self._settings.public_url
        )
        return report_message(
            written,
            self._settings,
            to=mail.email,
            at=mail.created_at,
            message_id=message_id,
            unsubscribe_url=unsubscribe_url,
        )


def _statement_words(report: MerchantReport, spoken: Language, transfers_max: int) -> str:
    """Tell where the statement is: attached, at the dashboard, or nowhere as nothing happened."""
    if not report.transfer_count:
        return spoken.gettext("Nothing happened on the account, so no statement is attached.")
    if report.transfer_count <= transfers_max:
        return spoken.ngettext(
            "The statement is attached as CSV, with %(count)s transfer.",
            "The statement is attached as CSV, with %(count)s transfers.",
            report.transfer_count,
        )
    return spoken.gettext(
        "The statement has %(count)s transfers, too many for a mail.", count=spoken.number(report.transfer_count)
    )
