"""What writes reports and warnings over any stores, as a server puts it together."""

from farebox.alerts.mail import MailSettings
from farebox.alerts.report_mail import STATEMENT_TRANSFERS_MAX, ReportMails, ReportWriter
from farebox.alerts.staff_warnings import StaffWarnings
from farebox.service.clock import Clock
from farebox.service.insight.forecast import RunwayReader
from farebox.service.insight.refusals import RefusalReader
from farebox.service.insight.usage import UsageReader
from farebox.service.operator.console import ConsoleQueries
from farebox.service.people.signing import Signer
from farebox.service.people.warnings import WarningChoices
from farebox.service.reports.links import ReportLinks
from farebox.service.reports.merchant import MerchantReports
from farebox.service.reports.staff import StaffReports
from farebox.service.statements.reader import Statements
from farebox.storage.stores import Stores


def merchant_reports(stores: Stores, clock: Clock) -> MerchantReports:
    """Put together what reads merchants' reports."""
    return MerchantReports(
        stores,
        UsageReader(stores.usage, clock),
        RefusalReader(stores.refusals, clock),
        RunwayReader(stores, clock),
        clock,
    )


def report_mails(
    stores: Stores, clock: Clock, settings: MailSettings, *, transfers_max: int = STATEMENT_TRANSFERS_MAX
) -> ReportMails:
    """Put together what writes the mails."""
    writer = ReportWriter(
        merchant_reports(stores, clock),
        StaffReports(stores, clock, stretch_seconds=0),
        ConsoleQueries(stores, clock),
        Statements(stores),
        public_url=settings.public_url,
        transfers_max=transfers_max,
    )
    return ReportMails(stores, writer, settings, ReportLinks(stores, Signer("a key")))


def staff_warnings(stores: Stores, clock: Clock, settings: MailSettings) -> StaffWarnings:
    """Put together what writes the mails that warn staff."""
    return StaffWarnings(stores, settings, WarningChoices(stores, Signer("a key"), clock))
