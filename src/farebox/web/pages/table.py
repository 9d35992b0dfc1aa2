"""The table of all pages."""

from farebox.web.pages.account.table import account_routes
from farebox.web.pages.console.table import console_routes
from farebox.web.pages.dashboard import OverviewPages
from farebox.web.pages.live import Live
from farebox.web.pages.routes import PageRoute
from farebox.web.pages.sign_in import SignInPages
from farebox.web.pages.throttle import SignInThrottle
from farebox.web.pages.unsubscribe import UnsubscribePages


def page_routes(throttle: SignInThrottle, live: Live) -> list[PageRoute]:
    """List every page: signing in, ending mails, a merchant's own pages, the console."""
    return [
        *SignInPages(throttle).routes(),
        *UnsubscribePages().routes(),
        *OverviewPages(live).routes(),
        *account_routes(),
        *console_routes(),
    ]
