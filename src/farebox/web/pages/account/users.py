"""The users of the account: each sees them all, owners invite, change roles and remove; one owner stays."""

from collections.abc import Awaitable
from typing import Any, Final

from starlette.responses import Response

from farebox.web.pages.account.common import account_page, account_url
from farebox.web.pages.dashboard import ROOT
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute
from farebox.web.pages.users import UserPages

_USERS: Final = f"{ROOT}/people"


class AccountUserPages(UserPages):
    """A merchant's users, as its own owners see them."""

    is_owner_needed = True

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [
            PageRoute(
                _USERS, Audience.VIEWER, get=self.show, post=self.invite, posts=Audience.OWNER, is_done_once=True
            ),
            PageRoute(f"{_USERS}/again", Audience.OWNER, post=self.invite_again, is_done_once=True),
            PageRoute(f"{_USERS}/role", Audience.OWNER, post=self.set_role),
            PageRoute(f"{_USERS}/remove", Audience.OWNER, get=self.ask_remove, post=self.remove, is_done_once=True),
        ]

    def merchant(self, request: PageRequest) -> int:
        """Return the merchant whose page it is."""
        return request.merchant_id

    def url(self, request: PageRequest) -> str:
        """Write where it is."""
        return f"{account_url(request)}/people"

    def page(self, request: PageRequest, name: str, status: int, **values: Any) -> Awaitable[Response]:
        """Show it among the merchant's own."""
        return account_page(request, f"account/{name}.html", status, **values)
