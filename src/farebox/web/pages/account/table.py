"""The table of a merchant's own pages beside the overview."""

from farebox.web.pages.account.alerts import Alerts
from farebox.web.pages.account.developers import Developers
from farebox.web.pages.account.keys import Keys
from farebox.web.pages.account.prices import Prices
from farebox.web.pages.account.statement import Statement
from farebox.web.pages.account.users import People
from farebox.web.pages.house import PageRoute


def account_routes() -> list[PageRoute]:
    """List the pages, in the order of the menu."""
    rooms = (Statement(), Prices(), Alerts(), Keys(), People(), Developers())
    return [route for room in rooms for route in room.routes()]
