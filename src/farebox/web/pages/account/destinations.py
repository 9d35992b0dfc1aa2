"""A merchant's webhooks and chats, for its owners to set up, and those that are a user's own."""

from typing import Any, Final

from starlette.responses import Response

from farebox.service.languages import gettext_noop
from farebox.web.pages.account.common import account_page, account_url
from farebox.web.pages.dashboard import ROOT
from farebox.web.pages.destinations import DESTINATION, EVENT, DestinationPages, Whose
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

_DESTINATIONS: Final = f"{ROOT}/webhooks"
_EMPTY: Final = gettext_noop("Nothing is told to a server or a chat of yours yet. Mails go out all the same.")


class AccountDestinationPages(DestinationPages):
    """A merchant's webhooks and chats: everybody sees the account's, owners change them, and each has their own."""

    def routes(self) -> list[PageRoute]:
        """List the pages; each looks whose destination it is."""
        viewer, one = Audience.VIEWER, f"{_DESTINATIONS}/{DESTINATION}"
        return [
            PageRoute(_DESTINATIONS, viewer, get=self.show, post=self.create, is_done_once=True),
            PageRoute(f"{_DESTINATIONS}/new", viewer, get=self.show_new),
            PageRoute(one, viewer, get=self.show_one),
            PageRoute(f"{one}/change", viewer, post=self.change),
            PageRoute(f"{one}/rotate", viewer, post=self.rotate, is_done_once=True),
            PageRoute(f"{one}/on", viewer, post=self.set_on),
            PageRoute(f"{one}/test", viewer, post=self.test, is_done_once=True),
            PageRoute(f"{one}/replay", viewer, post=self.replay_range, is_done_once=True),
            PageRoute(f"{one}/delete", viewer, get=self.ask_delete, post=self.delete, is_done_once=True),
            PageRoute(f"{one}/events/{EVENT}", viewer, get=self.show_event),
            PageRoute(f"{one}/events/{EVENT}/replay", viewer, post=self.replay, is_done_once=True),
        ]

    async def whose(self, request: PageRequest) -> Whose:
        """Tell what the reader may do: staff look, and see what users' own there are."""
        if request.role is None:
            return Whose(request.merchant_id, None, may_manage=False)
        user = await request.services.choices.user(request.merchant_id, request.login.email)
        return Whose(request.merchant_id, user.user_id, may_manage=request.is_owner)

    def url(self, request: PageRequest) -> str:
        """Write where the list is."""
        return f"{account_url(request)}/webhooks"

    async def page(self, request: PageRequest, template: str, status: int, **values: Any) -> Response:
        """Show one of the merchant's own pages."""
        known = {
            "frame": "account/frame.html",
            "is_first": True,
            "heading": request.language.gettext("Webhooks and chats"),
            "empty": request.language.gettext(_EMPTY),
        }
        return await account_page(request, template, status, **{**known, **values})
