"""The list of services: what the API, the pages and the command line are built on. It is written here alone."""

from msgspec import Struct

from farebox.service.catalogue.imports import PriceImports
from farebox.service.importing.imports import Imports
from farebox.service.insight.key_usage import KeyUsageReader
from farebox.service.insight.refusals import RefusalReader
from farebox.service.insight.revenue import RevenueReader
from farebox.service.insight.usage import UsageReader
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
from farebox.service.operator.throughput import Throughput
from farebox.service.operator.unusual_spending import UnusualSpendings
from farebox.service.operator.verifications import Verifications
from farebox.service.people.choices import Choices
from farebox.service.people.destinations import Destinations
from farebox.service.people.erasure import Erasure
from farebox.service.people.sign_in import SignIn
from farebox.service.people.unsubscribing import Unsubscribing
from farebox.service.people.users import Staff, Users
from farebox.service.people.warnings import WarningChoices
from farebox.service.repeats import Repeats
from farebox.service.reports.choices import ReportChoices
from farebox.service.reports.links import ReportLinks
from farebox.service.reports.merchant import MerchantReports
from farebox.service.reports.staff import StaffReports
from farebox.service.statements.reader import Statements


class OperatorInfo(Struct, frozen=True):
    """What pages and mails say of the operator."""

    public_url: str
    """Where people reach the server, without a slash at the end."""
    support_contact: str
    mail_folder: str
    """Where mails are written; empty if a mail server takes them."""
    language: str
    """What people are spoken to in who chose no language, and whose browser names none."""
    mail_server: str
    """What takes the mails away: a mail server's host and port, or the mail folder."""

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach the pages by TLS alone."""
        return self.public_url.startswith("https://")


class Services(Struct, frozen=True):
    """Everything that may be asked of Farebox, by whichever way in."""

    balances: Balances
    queries: Queries
    operations: Operations
    grants: Grants
    open_holds: OpenHolds
    shortfalls: Shortfalls
    quotes: Quotes
    merchants: Merchants
    prices: Prices
    price_imports: PriceImports
    imports: Imports
    merchant_changes: MerchantChanges
    annotations: Annotations
    repeats: Repeats
    users: Users
    choices: Choices
    destinations: Destinations
    staff: Staff
    sign_in: SignIn
    unsubscribing: Unsubscribing
    warning_choices: WarningChoices
    erasure: Erasure
    approvals: Approvals
    audit_log: AuditLog
    key_budgets: KeyBudgets
    runway_thresholds: RunwayThresholds
    key_usage: KeyUsageReader
    usage: UsageReader
    revenue: RevenueReader
    refusals: RefusalReader
    report_choices: ReportChoices
    report_links: ReportLinks
    merchant_reports: MerchantReports
    staff_reports: StaffReports
    statements: Statements
    console: ConsoleQueries
    verifications: Verifications
    throughput: Throughput
    unusual_spendings: UnusualSpendings
    health: HealthCheck
    operator: OperatorInfo
