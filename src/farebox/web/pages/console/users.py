"""A merchant's people for support: invite, change roles, remove."""

from collections.abc import Awaitable
from typing import Any, Final

from starlette.responses import Response

from farebox.web.pages.console.common import MERCHANT, merchant_of, merchant_page, merchant_url
from farebox.web.pages.house import Audience, PageRequest, PageRoute
from farebox.web.pages.users import PeoplePage

_PEOPLE: Final = f"{MERCHANT}/people"


class People(PeoplePage):
    """The people registered on a merchant's account."""

    is_owner_needed = False

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [
            PageRoute(_PEOPLE, Audience.SUPPORT, get=self.show, post=self.invite, is_console=True),
            PageRoute(f"{_PEOPLE}/again", Audience.SUPPORT, post=self.invite_again, is_console=True),
            PageRoute(f"{_PEOPLE}/role", Audience.SUPPORT, post=self.set_role, is_console=True),
            PageRoute(f"{_PEOPLE}/remove", Audience.SUPPORT, post=self.remove, is_console=True),
        ]

    def merchant(self, ask: PageRequest) -> int:
        """Return whose page it is."""
        return merchant_of(ask)

    def url(self, ask: PageRequest) -> str:
        """Write where it is."""
        return f"{merchant_url(merchant_of(ask))}/people"

    def page(self, ask: PageRequest, status: int, **values: Any) -> Awaitable[Response]:
        """Show it among the merchant's in the console."""
        return merchant_page(ask, "console/people.html", status, **values)
