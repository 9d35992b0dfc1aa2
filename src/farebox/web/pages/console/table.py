"""The console's pages, all of them."""

from farebox.web.pages.console.approvals import Approvals
from farebox.web.pages.console.audit import Verifier
from farebox.web.pages.console.keys import Keys
from farebox.web.pages.console.merchant import Merchant
from farebox.web.pages.console.merchants import Merchants
from farebox.web.pages.console.money import Money
from farebox.web.pages.console.outbox import Outbox
from farebox.web.pages.console.prices import Prices
from farebox.web.pages.console.staff import Staff
from farebox.web.pages.console.system import System
from farebox.web.pages.console.transfers import Transfers
from farebox.web.pages.console.users import People
from farebox.web.pages.house import PageRoute


def console_routes() -> list[PageRoute]:
    """List the console's pages."""
    rooms = (
        Merchants(),
        Merchant(),
        Money(),
        Transfers(),
        Prices(is_merchants=True),
        People(),
        Keys(is_merchants=True),
        Approvals(),
        Prices(is_merchants=False),
        Outbox(),
        Verifier(),
        Staff(),
        Keys(is_merchants=False),
        System(),
    )
    return [route for room in rooms for route in room.routes()]
