"""The console's pages, all of them."""

from farebox.web.pages.console.annotations import AnnotationPages
from farebox.web.pages.console.approvals import ApprovalPages
from farebox.web.pages.console.audit import AuditLogPages
from farebox.web.pages.console.closing import ClosingPages
from farebox.web.pages.console.destinations import ConsoleDestinationPages
from farebox.web.pages.console.developers import ServiceDeveloperPages
from farebox.web.pages.console.grants import ConsoleGrantPages
from farebox.web.pages.console.holds import ConsoleHoldPages
from farebox.web.pages.console.keys import ConsoleKeyPages
from farebox.web.pages.console.merchant import MerchantPages
from farebox.web.pages.console.merchants import MerchantListPages
from farebox.web.pages.console.money import MoneyPages
from farebox.web.pages.console.outbox import OutboxPages
from farebox.web.pages.console.price_imports import PriceImportPages
from farebox.web.pages.console.prices import ConsolePricePages
from farebox.web.pages.console.refusals import ConsoleRefusalPages
from farebox.web.pages.console.reports import ConsoleReportPages
from farebox.web.pages.console.revenue import RevenuePages
from farebox.web.pages.console.shortfalls import ConsoleShortfallPages
from farebox.web.pages.console.staff import StaffPages
from farebox.web.pages.console.system import SystemPages
from farebox.web.pages.console.transfers import TransferPages
from farebox.web.pages.console.users import ConsoleUserPages
from farebox.web.pages.routes import PageRoute


def console_routes() -> list[PageRoute]:
    """List the console's pages."""
    pages = (
        MerchantListPages(),
        MerchantPages(),
        ClosingPages(),
        AnnotationPages(),
        MoneyPages(),
        TransferPages(),
        ConsoleHoldPages(),
        ConsoleRefusalPages(),
        ConsoleGrantPages(),
        ConsoleShortfallPages(),
        ConsolePricePages(is_merchants=True),
        PriceImportPages(is_merchants=True),
        ConsoleUserPages(),
        ConsoleKeyPages(is_merchants=True),
        ConsoleDestinationPages(is_merchants=True),
        ApprovalPages(),
        ConsolePricePages(is_merchants=False),
        PriceImportPages(is_merchants=False),
        RevenuePages(),
        ConsoleReportPages(),
        OutboxPages(),
        ConsoleDestinationPages(is_merchants=False),
        AuditLogPages(),
        StaffPages(),
        ConsoleKeyPages(is_merchants=False),
        ServiceDeveloperPages(),
        SystemPages(),
    )
    return [route for page in pages for route in page.routes()]
