"""A merchant's API keys, for its owners to make, rotate, end and revoke; everybody sees which there are."""

from collections.abc import Awaitable
from typing import Any, ClassVar, Final

from starlette.responses import Response

from farebox.core.commands import KeyKind
from farebox.service.operator.merchants import NewKey
from farebox.web.pages.account.common import account_page, account_url
from farebox.web.pages.dashboard import ROOT
from farebox.web.pages.house import Audience, PageRequest, PageRoute
from farebox.web.pages.keys import KEY, KeyPages

_KEYS: Final = f"{ROOT}/keys"


class Keys(KeyPages):
    """A merchant's keys."""

    overlaps: ClassVar = {"0": "not at all", "3600": "for an hour", "86400": "for a day", "604800": "for a week"}

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [
            PageRoute(_KEYS, Audience.VIEWER, get=self.show, post=self.create, posts=Audience.OWNER),
            PageRoute(f"{_KEYS}/{KEY}", Audience.OWNER, get=self.show_one),
            PageRoute(f"{_KEYS}/{KEY}/rotate", Audience.OWNER, post=self.rotate),
            PageRoute(f"{_KEYS}/{KEY}/end", Audience.OWNER, post=self.end),
            PageRoute(f"{_KEYS}/{KEY}/revoke", Audience.OWNER, post=self.revoke),
        ]

    def merchant(self, ask: PageRequest) -> int:
        """Return whose keys they are."""
        return ask.merchant_id

    def url(self, ask: PageRequest) -> str:
        """Write where the list is."""
        return f"{account_url(ask)}/keys"

    def make(self, ask: PageRequest, expires: str | None) -> Awaitable[NewKey]:
        """Make a key of the merchant's."""
        return ask.services.merchants.create_key(
            KeyKind.MERCHANT, merchant_id=ask.merchant_id, expires=expires, principal=ask.principal
        )

    def page(self, ask: PageRequest, name: str, status: int, **values: Any) -> Awaitable[Response]:
        """Show one of the merchant's own pages."""
        return account_page(ask, f"account/{name}.html", status, **values)
