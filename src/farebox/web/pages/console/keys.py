"""API keys for support: a merchant's, and those of services and support themselves."""

from typing import Any, ClassVar, Final

from starlette.responses import Response

from farebox.core.commands import KeyKind
from farebox.service.errors import InvalidInput
from farebox.service.operator.merchants import NewKey
from farebox.web.pages.console.common import MERCHANT, merchant_of, merchant_page, merchant_url
from farebox.web.pages.keys import KEY, KeyPages
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

_STAFF: Final = "/support/keys"
_KINDS: Final = {"service": KeyKind.SERVICE, "support": KeyKind.SUPPORT}


class ConsoleKeyPages(KeyPages):
    """The keys of one merchant, or with none those of services and support."""

    overlaps: ClassVar = {
        "0": "not at all",
        "3600": "for an hour",
        "86400": "for a day",
        "604800": "for a week",
        "2592000": "for 30 days",
    }

    def __init__(self, *, is_merchants: bool) -> None:
        """Show a merchant's keys, or the operator's own."""
        self._is_merchants = is_merchants

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        root = f"{MERCHANT}/keys" if self._is_merchants else _STAFF
        return [
            PageRoute(root, Audience.SUPPORT, get=self.show, post=self.create, is_console=True),
            PageRoute(f"{root}/{KEY}", Audience.SUPPORT, get=self.show_one, is_console=True),
            PageRoute(f"{root}/{KEY}/rotate", Audience.SUPPORT, post=self.rotate, is_console=True),
            PageRoute(f"{root}/{KEY}/end", Audience.SUPPORT, post=self.end, is_console=True),
            PageRoute(f"{root}/{KEY}/revoke", Audience.SUPPORT, post=self.revoke, is_console=True),
        ]

    def merchant(self, request: PageRequest) -> int | None:
        """Return whose keys they are."""
        return merchant_of(request) if self._is_merchants else None

    def url(self, request: PageRequest) -> str:
        """Write where the list is."""
        return f"{merchant_url(merchant_of(request))}/keys" if self._is_merchants else _STAFF

    async def make(self, request: PageRequest, expires: str | None) -> NewKey:
        """Make a key of the merchant's, or of a service or support person."""
        create = request.services.merchants.create_key
        if self._is_merchants:
            return await create(
                KeyKind.MERCHANT, merchant_id=merchant_of(request), expires=expires, principal=request.principal
            )
        kind = _KINDS.get(request.form.text("kind"))
        if kind is None:
            raise InvalidInput("kind", "choose whose key it is")
        return await create(kind, name=request.form.text("name"), expires=expires, principal=request.principal)

    async def page(self, request: PageRequest, name: str, status: int, **values: Any) -> Response:
        """Show one of the merchant's pages in the console, or of the console's own."""
        values["kinds"] = {int(kind): word for word, kind in _KINDS.items()}
        if self._is_merchants:
            return await merchant_page(request, f"console/{name}.html", status, frame="console/frame.html", **values)
        return request.page(f"console/{name}.html", status, frame="console/plain.html", **values)
