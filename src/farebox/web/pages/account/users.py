"""The users of the account: each sees them all, owners invite, change roles and remove; one owner stays."""

from collections.abc import Awaitable
from typing import Any, Final

from starlette.responses import Response

from farebox.web.pages.account.common import account_page, account_url
from farebox.web.pages.dashboard import ROOT
from farebox.web.pages.house import Audience, PageRequest, PageRoute
from farebox.web.pages.users import PeoplePage

_PEOPLE: Final = f"{ROOT}/people"


class People(PeoplePage):
    """The people registered on a merchant's account."""

    is_owner_needed = True

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [
            PageRoute(_PEOPLE, Audience.VIEWER, get=self.show, post=self.invite, posts=Audience.OWNER),
            PageRoute(f"{_PEOPLE}/again", Audience.OWNER, post=self.invite_again),
            PageRoute(f"{_PEOPLE}/role", Audience.OWNER, post=self.set_role),
            PageRoute(f"{_PEOPLE}/remove", Audience.OWNER, post=self.remove),
        ]

    def merchant(self, ask: PageRequest) -> int:
        """Return whose page it is."""
        return ask.merchant_id

    def url(self, ask: PageRequest) -> str:
        """Write where it is."""
        return f"{account_url(ask)}/people"

    def page(self, ask: PageRequest, status: int, **values: Any) -> Awaitable[Response]:
        """Show it among the merchant's own."""
        return account_page(ask, "account/people.html", status, **values)
