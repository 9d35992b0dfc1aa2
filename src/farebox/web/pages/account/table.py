"""The table of a merchant's own pages beside the overview."""

from farebox.web.pages.account.alerts import AlertPages
from farebox.web.pages.account.destinations import AccountDestinationPages
from farebox.web.pages.account.developers import DeveloperPages
from farebox.web.pages.account.grants import AccountGrantPages
from farebox.web.pages.account.holds import AccountHoldPages
from farebox.web.pages.account.keys import AccountKeyPages
from farebox.web.pages.account.prices import AccountPricePages
from farebox.web.pages.account.refusals import AccountRefusalPages
from farebox.web.pages.account.reports import AccountReportPages
from farebox.web.pages.account.statement import StatementPages
from farebox.web.pages.account.users import AccountUserPages
from farebox.web.pages.routes import PageRoute


def account_routes() -> list[PageRoute]:
    """List the pages, in the order of the menu."""
    pages = (
        StatementPages(),
        AccountHoldPages(),
        AccountRefusalPages(),
        AccountGrantPages(),
        AccountPricePages(),
        AlertPages(),
        AccountReportPages(),
        AccountDestinationPages(),
        AccountKeyPages(),
        AccountUserPages(),
        DeveloperPages(),
    )
    return [route for page in pages for route in page.routes()]
