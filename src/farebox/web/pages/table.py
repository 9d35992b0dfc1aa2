"""The table of all pages."""

from farebox.web.pages.account.table import account_routes
from farebox.web.pages.console.table import console_routes
from farebox.web.pages.dashboard import Overview
from farebox.web.pages.house import AccessControl, PageRoute
from farebox.web.pages.live import Live
from farebox.web.pages.sign_in import SignInPages


def page_routes(gate: AccessControl, live: Live) -> list[PageRoute]:
    """List every page: the ways in, the dashboard, the console."""
    return [*SignInPages(gate).routes(), *Overview(live).routes(), *account_routes(), *console_routes()]
