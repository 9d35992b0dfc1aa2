"""Webhooks and chats for support: a merchant's, and the operator's own, which are told of all merchants."""

from typing import Any, Final

from starlette.responses import Response

from farebox.core.permissions import Operation
from farebox.web.pages.console.common import MERCHANT, merchant_of, merchant_page, merchant_url
from farebox.web.pages.destinations import DESTINATION, EVENT, DestinationPages, Whose
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

_OPERATOR: Final = "/support/webhooks"


class ConsoleDestinationPages(DestinationPages):
    """The destinations of one merchant and its users, or the operator's own."""

    def __init__(self, *, is_merchants: bool) -> None:
        """Show a merchant's, or the operator's own."""
        self._is_merchants = is_merchants

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        root = f"{MERCHANT}/webhooks" if self._is_merchants else _OPERATOR
        one = f"/{DESTINATION}"

        def route(path: str, **handlers: Any) -> PageRoute:
            operation = Operation.MANAGE_DESTINATIONS
            return PageRoute(f"{root}{path}", Audience.SUPPORT, is_console=True, operation=operation, **handlers)

        return [
            route("", get=self.show, post=self.create, is_done_once=True),
            route("/new", get=self.show_new, is_form=True),
            route(one, get=self.show_one),
            route(f"{one}/change", post=self.change),
            route(f"{one}/rotate", post=self.rotate, is_done_once=True),
            route(f"{one}/on", post=self.set_on),
            route(f"{one}/test", post=self.test, is_done_once=True),
            route(f"{one}/replay", post=self.replay_range, is_done_once=True),
            route(f"{one}/delete", get=self.ask_delete, post=self.delete, is_form=True, is_done_once=True),
            route(f"{one}/events/{EVENT}", get=self.show_event),
            route(f"{one}/events/{EVENT}/replay", post=self.replay, is_done_once=True),
        ]

    async def whose(self, request: PageRequest) -> Whose:
        """Tell whose they are, and whether this of the staff may change them."""
        merchant_id = merchant_of(request) if self._is_merchants else None
        return Whose(merchant_id, None, may_manage=request.principal.may(Operation.MANAGE_DESTINATIONS))

    def url(self, request: PageRequest) -> str:
        """Write where the list is."""
        return f"{merchant_url(merchant_of(request))}/webhooks" if self._is_merchants else _OPERATOR

    async def page(self, request: PageRequest, template: str, status: int, **values: Any) -> Response:
        """Show one of the merchant's pages in the console, or of the console's own."""
        if self._is_merchants:
            known = {
                "frame": "console/frame.html",
                "is_first": False,
                "heading": "Webhooks and chats",
                "empty": "It has nothing told to a server or a chat of its own.",
            }
            return await merchant_page(request, template, status, **{**known, **values})
        known = {
            "frame": "console/plain.html",
            "is_first": True,
            "heading": "The operator's webhooks and chats",
            "empty": "Nothing that happens on merchants' accounts is told to a server or a chat of yours yet.",
        }
        return request.page(template, status, **{**known, **values})
