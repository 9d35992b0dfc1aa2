"""A merchant's users for support: invite, change roles, remove."""

from collections.abc import Awaitable
from typing import Any, Final

from starlette.responses import Response

from farebox.core.permissions import Operation
from farebox.web.pages.console.common import MERCHANT, merchant_of, merchant_page, merchant_url
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute
from farebox.web.pages.users import UserPages

_USERS: Final = f"{MERCHANT}/people"


class ConsoleUserPages(UserPages):
    """A merchant's users, as support sees them."""

    is_owner_needed = False

    def routes(self) -> list[PageRoute]:
        """List the pages."""

        def route(path: str, **handlers: Any) -> PageRoute:
            return PageRoute(
                f"{_USERS}{path}", Audience.SUPPORT, is_console=True, operation=Operation.MANAGE_USERS, **handlers
            )

        return [
            route("", get=self.show, post=self.invite, is_done_once=True),
            route("/again", post=self.invite_again, is_done_once=True),
            route("/role", post=self.set_role),
            route("/remove", get=self.ask_remove, post=self.remove, is_form=True, is_done_once=True),
        ]

    def merchant(self, request: PageRequest) -> int:
        """Return the merchant whose page it is."""
        return merchant_of(request)

    def url(self, request: PageRequest) -> str:
        """Write where it is."""
        return f"{merchant_url(merchant_of(request))}/people"

    def page(self, request: PageRequest, name: str, status: int, **values: Any) -> Awaitable[Response]:
        """Show it among the merchant's in the console."""
        return merchant_page(request, f"console/{name}.html", status, **values)
